"""Every registered encoder returns `[B, L, emb_dim]` of finite numbers, whatever `B` and `L`."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from amago.core.errors import MissingExtraError
from amago.nets import cnn
from amago.nets.traj_encoders import get_traj_encoder_cls, list_registered_traj_encoders
from amago.nets.tstep_encoders import get_tstep_encoder_cls, list_registered_tstep_encoders

SIZES = (1, 2, 5)
ACTION = 3
RL2_SPACE = gym.spaces.Box(-np.inf, np.inf, (1 + ACTION,))
IMAGES = {
    cnn.NatureishCNN: (36, 36, 3),
    cnn.GridworldCNN: (5, 6, 3),
    cnn.IMPALAishCNN: (20, 18, 3),
    cnn.DrQCNN: (17, 18, 3),
}

batch_sizes = pytest.mark.parametrize("B", SIZES)
lengths = pytest.mark.parametrize("L", SIZES)


def constructible(name: str) -> bool:
    try:
        get_traj_encoder_cls(name)(tstep_dim=2, max_seq_len=2)
    except MissingExtraError:
        return False  # tested with a stand-in for its package, in the unit tests
    return True


TRAJ_ENCODERS = [name for name in list_registered_traj_encoders() if constructible(name)]


@batch_sizes
@lengths
@pytest.mark.parametrize("name", TRAJ_ENCODERS)
def test_trajectory_encoder(name, B, L):
    encoder = get_traj_encoder_cls(name)(tstep_dim=6, max_seq_len=4)
    seq = torch.randn(B, L, 6, requires_grad=True)
    time_idxs = torch.arange(L).expand(B, -1).unsqueeze(-1)
    states, _ = encoder(seq, time_idxs)
    assert states.shape == (B, L, encoder.emb_dim)
    assert states.isfinite().all()
    states.square().sum().backward()
    assert seq.grad is not None
    assert seq.grad.isfinite().all()


@batch_sizes
@pytest.mark.parametrize("name", TRAJ_ENCODERS)
@torch.no_grad()
def test_trajectory_encoder_in_a_rollout(name, B):
    encoder = get_traj_encoder_cls(name)(tstep_dim=6, max_seq_len=4).eval()
    hidden_state = encoder.init_hidden_state(B, torch.device("cpu"))
    for t in range(6):
        time_idxs = torch.full((B, 1, 1), t)
        states, hidden_state = encoder(torch.randn(B, 1, 6), time_idxs, hidden_state=hidden_state)
        assert states.shape == (B, 1, encoder.emb_dim)
        assert states.isfinite().all()
        hidden_state = encoder.reset_hidden_state(hidden_state, np.arange(B) == t)


@batch_sizes
@lengths
@pytest.mark.parametrize("name", list_registered_tstep_encoders())
def test_timestep_encoder(name, B, L):
    image = gym.spaces.Box(0, 255, (36, 36, 3), dtype=np.uint8)
    encoder = get_tstep_encoder_cls(name)(
        obs_space=gym.spaces.Dict({"observation": image}), rl2_space=RL2_SPACE
    )
    obs = {"observation": torch.randint(0, 256, (B, L, *image.shape), dtype=torch.uint8)}
    for mode in (True, False):
        embedding = encoder.train(mode)(obs, torch.randn(B, L, 1 + ACTION))
        assert embedding.shape == (B, L, encoder.emb_dim)
        assert embedding.isfinite().all()


@pytest.mark.parametrize("name", list_registered_tstep_encoders())
@torch.no_grad()
def test_timestep_encoder_looks_at_one_timestep_at_a_time(name):
    image = gym.spaces.Box(0, 255, (36, 36, 3), dtype=np.uint8)
    encoder = get_tstep_encoder_cls(name)(
        obs_space=gym.spaces.Dict({"observation": image}), rl2_space=RL2_SPACE
    ).eval()
    obs = torch.randint(0, 256, (2, 5, *image.shape), dtype=torch.uint8)
    rl2s = torch.randn(2, 5, 1 + ACTION)
    whole = encoder({"observation": obs}, rl2s)
    for t in range(5):
        now = slice(t, t + 1)
        alone = encoder({"observation": obs[:, now]}, rl2s[:, now])
        torch.testing.assert_close(alone, whole[:, now], rtol=1e-4, atol=1e-5)


@batch_sizes
@lengths
@pytest.mark.parametrize("channels_first", (True, False))
@pytest.mark.parametrize("cls", IMAGES)
def test_cnn(cls, channels_first, B, L):
    shape = np.roll(IMAGES[cls], 1) if channels_first else IMAGES[cls]
    network = cls(img_shape=tuple(shape), channels_first=channels_first, activation="relu")
    images = torch.randint(0, 256, (B, L, *shape), dtype=torch.uint8)
    flat, maps = network(images), network(images, flatten=False)
    assert flat.shape[:2] == maps.shape[:2] == (B, L)
    assert flat.shape[2:] == (maps[0, 0].numel(),)
    torch.testing.assert_close(maps.flatten(2), flat)
    assert flat.shape[2:] == network(network.blank_img).shape[2:]
