import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from amago import envs
from amago.core.errors import ConfigError
from amago.envs import amago_env, env_utils
from amago.envs.env_utils import AlreadyVectorizedEnv, extend_box_obs_space_by


def test_a_box_is_extended_at_its_end():
    space = extend_box_obs_space_by(Box(-1, 1, (2,), np.float32), by=2, low=0, high=5)
    assert space == Box(
        np.array([-1, -1, 0, 0], np.float32), np.array([1, 1, 5, 5], np.float32), dtype=np.float32
    )


@pytest.mark.parametrize("space", [Discrete(2), Box(0, 1, (2, 2))])
def test_only_a_flat_box_can_be_extended(space):
    with pytest.raises(ConfigError, match="only a Box with one axis"):
        extend_box_obs_space_by(space, by=1, low=0, high=1)


def test_more_than_one_batch_is_refused():
    with pytest.raises(ConfigError, match="exactly one environment, got 2"):
        AlreadyVectorizedEnv([lambda: None, lambda: None])


def test_names_are_found_where_earlier_versions_had_them():
    for name in ("SequenceWrapper", "EnvCreator", "ReturnHistory", "SpecialMetricHistory"):
        assert getattr(amago_env, name) is getattr(envs, name)
    for name in ("AMAGOEnv", "SequenceWrapper", "ExplorationWrapper", "ReturnHistory"):
        with pytest.warns(DeprecationWarning, match="from amago.envs"):
            assert getattr(env_utils, name) is getattr(envs, name)
    with pytest.warns(DeprecationWarning, match="import ReturnHistory from amago.envs"):
        assert env_utils.SuccessHistory is envs.ReturnHistory
    for module in (amago_env, env_utils, envs):
        with pytest.raises(AttributeError, match="nothing"):
            _ = module.nothing
