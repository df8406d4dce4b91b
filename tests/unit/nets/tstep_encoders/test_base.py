import gymnasium as gym
import numpy as np
import pytest
import torch

from amago.nets.tstep_encoders import (
    FFTstepEncoder,
    TstepEncoder,
    get_tstep_encoder_cls,
    list_registered_tstep_encoders,
    register_tstep_encoder,
)

OBS_SPACE = gym.spaces.Dict({"x": gym.spaces.Box(-1, 1, (2,))})
RL2_SPACE = gym.spaces.Box(-np.inf, np.inf, (3,))


class ShowsRl2s(TstepEncoder):
    """Returns what it gets to see of previous rewards and actions."""

    emb_dim = 3

    def inner_forward(self, obs, rl2s, log_dict=None):
        return rl2s


@pytest.mark.parametrize(
    "hidden, seen",
    (
        ({}, [1.0, 2.0, 3.0]),
        ({"hide_rewards": True}, [0.0, 2.0, 3.0]),
        ({"hide_rl2s": True}, [0.0, 0.0, 0.0]),
        ({"hide_rewards": True, "hide_rl2s": True}, [0.0, 0.0, 0.0]),
    ),
)
def test_what_is_hidden_is_zero(hidden, seen):
    encoder = ShowsRl2s(OBS_SPACE, RL2_SPACE, **hidden)
    rl2s = torch.tensor([[[1.0, 2.0, 3.0]]])
    assert encoder({"x": torch.zeros(1, 1, 2)}, rl2s).tolist() == [[seen]]
    assert rl2s.tolist() == [[[1.0, 2.0, 3.0]]]


def test_encoders_are_found_by_name():
    assert set(list_registered_tstep_encoders()) >= {"ff", "cnn"}
    assert get_tstep_encoder_cls("ff") is FFTstepEncoder
    with pytest.raises(KeyError, match="Available: cnn, ff"):
        get_tstep_encoder_cls("fff")
    with pytest.raises(ValueError, match="already registered"):
        register_tstep_encoder("ff")(ShowsRl2s)
