import gymnasium as gym
import pytest

from amago.core.errors import ConfigError, EnvError
from amago.envs import AMAGOEnv
from amago.envs.pool import make_pool

MODES = ("sync", "async", "already_vectorized")


def cartpole():
    return AMAGOEnv(gym.make("CartPole-v1"), "CartPole")


def batch():
    return AMAGOEnv(gym.make_vec("CartPole-v1", 2, "sync"), "CartPole", batched_envs=2)


def test_an_unknown_mode_is_a_value_error_that_lists_the_others():
    with pytest.raises(ValueError, match=r"'fast'; choose 'async'.*'sync'.*'already_vectorized'"):
        make_pool([cartpole], "fast")


@pytest.mark.parametrize("mode", MODES)
def test_no_environments_are_refused(mode):
    with pytest.raises(ConfigError, match="at least one"):
        make_pool([], mode)


@pytest.mark.parametrize("mode", MODES)
def test_an_environment_in_place_of_a_factory_is_refused(mode):
    with pytest.raises(ConfigError, match="must be callable"):
        make_pool([cartpole()], mode)


@pytest.mark.parametrize("mode", MODES)
def test_an_environment_without_its_wrapper_is_refused_with_how_to_wrap_it(mode):
    with pytest.raises(ConfigError, match=r"not an AMAGOEnv. Return AMAGOEnv\(env, env_name="):
        make_pool([lambda: gym.make("CartPole-v1")], mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_factory_that_makes_something_else_is_refused(mode):
    with pytest.raises(ConfigError, match="must return an AMAGOEnv, but returned NoneType"):
        make_pool([lambda: None], mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_factory_that_raises_is_an_environment_error(mode):
    with pytest.raises(EnvError, match=r"factory of environment 0 raised .*no_such_env"):
        make_pool([lambda: AMAGOEnv(gym.make("no_such_env"), "x")], mode)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_batch_is_refused_where_single_environments_are_stepped(mode):
    with pytest.raises(ConfigError, match="use env_mode='already_vectorized'"):
        make_pool([batch], mode)


def test_only_one_batch_is_taken():
    with pytest.raises(ConfigError, match=r"exactly one environment.*got 2"):
        make_pool([batch, batch], "already_vectorized")


def test_descriptions_say_how_and_how_many():
    assert make_pool([cartpole] * 3, "sync").description == "SyncPool(Gym Env x 3)"
    vectorised = make_pool([batch], "already_vectorized")
    assert vectorised.description == "VectorisedPool(Vectorized Gym Env x 2)"
