from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from amago.core.errors import ConfigError
from amago.nets import cnn
from amago.nets.tstep_encoders import CNNTstepEncoder

OBS_SPACE = gym.spaces.Dict(
    {
        "image": gym.spaces.Box(0, 255, (8, 8, 3), dtype=np.uint8),
        "vector": gym.spaces.Box(-1, 1, (2,)),
    }
)
RL2_SPACE = gym.spaces.Box(-np.inf, np.inf, (3,))
make_encoder = partial(
    CNNTstepEncoder, OBS_SPACE, RL2_SPACE, cnn_type=cnn.GridworldCNN, obs_key="image"
)


def inputs(B: int = 4) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    images = torch.randint(0, 256, (B, 2, 8, 8, 3), dtype=torch.uint8)
    return {"image": images}, torch.randn(B, 2, 3)


def test_shifts_touch_the_last_part_of_the_batch_in_training_only():
    encoder = make_encoder(drqv2_aug=True, aug_pct_of_batch=0.5)
    obs, rl2s = inputs()
    plain = encoder.eval()(obs, rl2s)
    assert_close(encoder(obs, rl2s), plain)
    shifted = encoder.train()(obs, rl2s)
    assert_close(shifted[:2], plain[:2])
    assert not torch.allclose(shifted[2:], plain[2:])


def test_activations_are_logged():
    log = {}
    make_encoder()(*inputs(), log_dict=log)
    logged = {name.split("-")[1] for name in log}
    assert logged == {"cnn_out", "img_features", "tstep_encoder_prenorm"}


def test_a_partial_can_be_the_network():
    narrow = partial(cnn.GridworldCNN, channels=(4, 4, 4))
    encoder = make_encoder(cnn_type=narrow)
    assert encoder.img_features.in_features == 4 * 5 * 5


@pytest.mark.parametrize(
    "wrong, message",
    (
        ({"obs_key": "picture"}, "no image under"),
        ({"obs_key": "vector"}, "must have 3 axes"),
        ({"aug_pct_of_batch": 1.5}, "aug_pct_of_batch"),
    ),
)
def test_settings_that_cannot_work_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        make_encoder(**wrong)
