"""An environment that raises, or returns what it did not promise, in this process or a worker."""

import sys

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box

from amago.core.errors import AmagoWarning, ConfigError, EnvError
from amago.core.rng import derive_seed
from amago.envs import AMAGOEnv
from amago.envs.exploration import EpsilonGreedy

cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.parametrize("mode", ["sync", "async"])


def stumble(env):
    raise ZeroDivisionError("lost my way")


def misconfigured(env):
    raise ConfigError("no such map")


def first_timesteps(pool):
    return pool.reset().timestep.obs["observation"].copy()


def test_an_exception_interrupts_its_row_only(open_pool, frail, stand_still, mode):
    pool = open_pool([frail(), frail({0: (2, stumble)}), frail()], mode)
    pool.reset()
    assert not stand_still(pool).interrupted.any()
    with pytest.warns(AmagoWarning, match="environment 1 .'frail'. raised ZeroDivisionError"):
        step = stand_still(pool)
    assert step.interrupted.tolist() == step.started.tolist() == [False, True, False]
    assert step.stepped.tolist() == [True, False, True]
    assert not step.ended.any()
    assert step.reward.tolist() == [1, 0, 1]
    assert step.timestep.time_idx.tolist() == [2, 0, 2]
    assert step.timestep.reward.tolist() == [1, 0, 1]
    next_seed = derive_seed(0, "test", 1, "episode", 1) % 1000
    assert step.timestep.obs["observation"][1].tolist() == [next_seed, 0]
    assert step.env_names == ["frail"] * 3
    assert pool.num_faults == 1
    assert pool.episodes() == [1, 2, 1]
    step = stand_still(pool)
    assert step.stepped.all()
    assert not step.interrupted.any()
    assert step.timestep.time_idx.tolist() == [3, 1, 3]


def test_an_environment_that_raised_is_made_anew(open_pool, frail, stand_still, mode):
    pool = open_pool([frail(), frail({0: (1, stumble)})], mode)
    pool.reset()
    pool.call("mark")
    with pytest.warns(AmagoWarning):
        stand_still(pool)
    assert pool.call("has_mark") == [True, False]


def test_only_the_first_fault_of_a_kind_comes_with_its_traceback(
    open_pool, frail, stand_still, mode
):
    pool = open_pool([frail({0: (1, stumble), 1: (1, stumble)})], mode)
    pool.reset()
    with pytest.warns(AmagoWarning, match="fault 1: (.|\n)*Traceback(.|\n)*in stumble"):
        stand_still(pool)
    with pytest.warns(AmagoWarning, match="fault 2: ") as second:
        stand_still(pool)
    assert "Traceback" not in str(second[0].message)


def test_too_many_faults_in_a_row_are_an_error_with_the_traceback(
    open_pool, frail, stand_still, mode
):
    always = dict.fromkeys(range(9), (1, stumble))
    pool = open_pool([frail(), frail(always)], mode, max_failures=3)
    pool.reset()
    for _ in range(2):
        with pytest.warns(AmagoWarning):
            stand_still(pool)
    with pytest.raises(EnvError, match="lost my way\nThis was fault 3 in a row") as caught:
        stand_still(pool)
    assert "stumble" in str(caught.value) or isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(EnvError, match="the pool is closed"):
        stand_still(pool)


def test_a_finished_episode_forgives_the_faults_before_it(open_pool, frail, stand_still, mode):
    every_other = {episode: (1, stumble) for episode in range(0, 10, 2)}
    pool = open_pool([frail(every_other, horizon=2)], mode, max_failures=2)
    pool.reset()
    with pytest.warns(AmagoWarning):
        steps = [stand_still(pool).ended[0] for _ in range(12)]
    assert sum(steps) == pool.num_faults == 4


def test_a_fault_can_be_an_error_at_once(open_pool, frail, stand_still, mode):
    pool = open_pool([frail({0: (1, stumble)})], mode, max_failures=1)
    pool.reset()
    with pytest.raises(EnvError, match=r"environment 0 \('frail'\) raised ZeroDivisionError"):
        stand_still(pool)


def test_an_automatic_reset_that_raises_costs_no_transition(open_pool, frail, stand_still, mode):
    pool = open_pool([frail({1: (0, stumble), 2: (0, stumble)}, horizon=2)], mode)
    pool.reset()
    stand_still(pool)
    with pytest.warns(AmagoWarning, match="in reset: lost my way. Its last episode was complete"):
        step = stand_still(pool)
    assert (step.terminated[0], step.stepped[0], step.started[0]) == (True, True, True)
    assert not step.interrupted[0]
    assert step.final.time_idx[0] == 2
    assert step.timestep.time_idx[0] == 0
    assert pool.num_faults == 2
    assert pool.episodes() == [4]


def test_a_reset_that_is_asked_for_later_is_supervised_too(open_pool, frail, mode):
    pool = open_pool([frail({1: (0, stumble)})], mode)
    pool.reset()
    with pytest.warns(AmagoWarning, match="in reset"):
        step = pool.reset()
    assert step.started[0]
    assert not step.interrupted[0]


def test_the_first_reset_is_an_error_at_once(open_pool, frail, mode):
    pool = open_pool([frail(), frail({0: (0, stumble)})], mode)
    with pytest.raises(EnvError, match=r"environment 1 .* raised ZeroDivisionError in reset"):
        pool.reset()


def test_an_error_in_the_configuration_is_never_endured(open_pool, frail, stand_still, mode):
    pool = open_pool([frail({0: (1, misconfigured)})], mode)
    pool.reset()
    with pytest.raises(ConfigError, match="no such map"):
        stand_still(pool)


def test_exploration_goes_on_where_it_was(open_pool, frail, stand_still, mode):
    script = {0: (3, stumble)}
    pool = open_pool([frail(script)], mode, exploration=EpsilonGreedy)
    pool.reset()
    stand_still(pool)
    stand_still(pool)
    with pytest.warns(AmagoWarning):
        stand_still(pool)
    stand_still(pool)
    stand_still(pool)
    assert pool.call("global_step") == [5]


def test_an_action_out_of_range_is_nobodys_fault_but_the_policys(open_pool, mode, tmp_path):
    pool = open_pool([lambda: AMAGOEnv(Steerable(), "car")], mode)
    pool.reset()
    with pytest.raises(ValueError, match=r"must be in \[-1, 1\]"):
        pool.step(np.full((1, 1), np.nan, np.float32))
    assert pool.num_faults == 0
    assert pool.step(np.zeros((1, 1), np.float32)).stepped.all()


class Steerable(gym.Env):
    observation_space = Box(-1, 1, (1,), np.float32)
    action_space = Box(-2, 2, (1,), np.float32)

    def reset(self, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {}


# -------------------------------------------------------------------------------- bad values


def returns(obs=(0, 0), reward=1.0, done=False, dtype=np.float32):
    return lambda env: (np.array(obs, dtype), reward, done, False, {})


NOT_FINITE = {
    "a reward of NaN": returns(reward=np.nan),
    "an infinite reward": returns(reward=np.inf),
    "an observation of NaN": returns(obs=(0, np.nan)),
    "an infinite observation": returns(obs=(-np.inf, 0)),
    "a last observation of NaN": returns(obs=(0, np.nan), done=True),
}
NOT_PROMISED = {
    "a wrong shape": returns(obs=(0, 0, 0)),
    "a wrong dtype": returns(obs=("a", "b"), dtype=None),
    "two rewards": returns(reward=[1.0, 2.0]),
}
BAD = {**NOT_FINITE, **NOT_PROMISED}
MESSAGE = "not finite|not a finite number|has shape|has dtype|must be one value"


@pytest.mark.parametrize("what", BAD)
def test_bad_values_are_an_error(open_pool, frail, stand_still, mode, what):
    pool = open_pool([frail(), frail({0: (1, BAD[what])})], mode)
    pool.reset()
    with pytest.raises(EnvError, match=f"'frail'(.*)({MESSAGE})"):
        stand_still(pool)
    with pytest.raises(EnvError, match="closed"):
        stand_still(pool)


@pytest.mark.parametrize("what", BAD)
def test_bad_values_can_cost_the_episode(open_pool, frail, stand_still, mode, what):
    pool = open_pool([frail(), frail({0: (1, BAD[what])})], mode, bad_values="drop")
    pool.reset()
    pool.call("mark")
    with pytest.warns(AmagoWarning, match=f"'frail'(.*)({MESSAGE})(.*) episode was cut off"):
        step = stand_still(pool)
    assert step.interrupted.tolist() == [False, True]
    assert step.stepped.tolist() == [True, False]
    assert not step.ended.any()
    assert step.reward.tolist() == [1, 0]
    assert step.timestep.time_idx.tolist() == [1, 0]
    assert np.isfinite(step.timestep.obs["observation"]).all()
    assert pool.call("has_mark") == [True, True]  # the environment is kept
    assert pool.num_faults == 1


def test_bad_values_cannot_cost_every_episode(open_pool, frail, stand_still, mode):
    always = dict.fromkeys(range(9), (1, BAD["a reward of NaN"]))
    pool = open_pool([frail(always)], mode, bad_values="drop", max_failures=2)
    pool.reset()
    with pytest.warns(AmagoWarning):
        stand_still(pool)
    with pytest.raises(EnvError, match="fault 2 in a row"):
        stand_still(pool)


def make_nan(env):
    env.seed = np.nan


def test_a_first_observation_that_is_bad_costs_no_transition(open_pool, frail, stand_still, mode):
    pool = open_pool([frail({1: (0, make_nan)}, horizon=1)], mode, bad_values="drop")
    pool.reset()
    with pytest.warns(AmagoWarning, match="not finite.*Its last episode was complete"):
        step = stand_still(pool)
    assert (step.terminated[0], step.stepped[0], step.started[0]) == (True, True, True)
    assert not step.interrupted[0]
    assert pool.episodes() == [3]


@pytest.mark.parametrize("what", NOT_FINITE)
def test_numbers_that_are_not_finite_can_be_replaced(open_pool, frail, stand_still, mode, what):
    script = {0: (1, BAD[what]), 1: (1, BAD[what])}
    pool = open_pool([frail(script)], mode, bad_values="clamp")
    pool.reset()
    with pytest.warns(AmagoWarning, match="environment 0 .'frail'. returned numbers that are not"):
        step = stand_still(pool)
    assert step.stepped.all()
    seen = step.final if step.ended[0] else step.timestep
    assert seen.obs["observation"][0, 0] == (-5 if "infinite obs" in what else 0)
    assert seen.obs["observation"][0, 1] == 0
    highest = np.finfo(np.float32).max
    assert step.reward[0] == {"a reward of NaN": 0, "an infinite reward": highest}.get(what, 1)
    assert pool.num_faults == 0
    stand_still(pool)  # said once


@pytest.mark.parametrize("what", NOT_PROMISED)
def test_what_cannot_be_replaced_stays_an_error(open_pool, frail, stand_still, mode, what):
    pool = open_pool([frail({0: (1, BAD[what])})], mode, bad_values="clamp")
    pool.reset()
    with pytest.raises(EnvError, match=MESSAGE):
        stand_still(pool)
