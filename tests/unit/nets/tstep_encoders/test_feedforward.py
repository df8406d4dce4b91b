import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from amago.core.errors import ConfigError
from amago.nets.tstep_encoders import FFTstepEncoder

OBS_SPACE = gym.spaces.Dict(
    {
        "b": gym.spaces.Box(0, 255, (2, 2), dtype=np.uint8),
        "a": gym.spaces.Box(-1, 1, (1,)),
        "scalar": gym.spaces.Box(-1, 1, ()),
    }
)
RL2_SPACE = gym.spaces.Box(-np.inf, np.inf, (3,))


def inputs(B: int = 2, L: int = 4) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    obs = {
        "a": torch.randn(B, L, 1),
        "b": torch.randint(0, 255, (B, L, 2, 2), dtype=torch.uint8),
        "scalar": torch.randn(B, L),
    }
    return obs, torch.randn(B, L, 3)


def test_statistics_of_inputs_follow_in_training_only():
    encoder = FFTstepEncoder(OBS_SPACE, RL2_SPACE, d_hidden=8, d_output=4)
    before = encoder.in_norm.mu.clone()
    encoder.eval()(*inputs())
    assert_close(encoder.in_norm.mu, before)
    encoder.train()(*inputs())
    assert (encoder.in_norm.mu != before).any()


def test_features_stand_in_alphabetical_order_of_their_keys():
    encoder = FFTstepEncoder(OBS_SPACE, RL2_SPACE, d_hidden=8, d_output=4).train()
    obs, rl2s = inputs(1, 1)
    encoder(obs, rl2s)
    features = torch.cat([obs["a"], obs["b"].flatten(2), obs["scalar"][..., None], rl2s], dim=-1)
    assert_close(encoder.in_norm.mu, features[0, 0] / 2, rtol=1e-3, atol=1e-4)


def test_only_specified_keys_are_seen():
    encoder = FFTstepEncoder(OBS_SPACE, RL2_SPACE, specify_obs_keys=["scalar", "a"]).eval()
    obs, rl2s = inputs()
    seen = encoder(obs, rl2s)
    obs["b"] = obs["b"] + 1
    assert_close(encoder(obs, rl2s), seen)
    obs["a"] = obs["a"] + 1
    assert not torch.allclose(encoder(obs, rl2s), seen)


def test_widths_grow_with_the_input_on_request():
    small = {"d_hidden": 2, "d_output": 3}
    assert FFTstepEncoder(OBS_SPACE, RL2_SPACE, **small).emb_dim == 3
    assert FFTstepEncoder(OBS_SPACE, RL2_SPACE, auto_scale=True, **small).emb_dim == 9


@pytest.mark.parametrize("keys", (["c"], []))
def test_keys_that_are_not_there_are_refused(keys):
    with pytest.raises(ConfigError, match="the observation has"):
        FFTstepEncoder(OBS_SPACE, RL2_SPACE, specify_obs_keys=keys)


def test_an_observation_space_without_keys_is_refused():
    with pytest.raises(ConfigError, match="Dict observation space"):
        FFTstepEncoder(OBS_SPACE["a"], RL2_SPACE)
