"""However the environments of a pool run, the numbers are the same, bit for bit."""

import copy
import json
import sys

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary
from hypothesis import given, settings
from hypothesis import strategies as st

from amago.core import config
from amago.envs import AMAGOEnv
from amago.envs.exploration import BilevelEpsilonGreedy, EpsilonGreedy
from amago.envs.pool import AsyncPool, SyncPool
from amago.envs.pool.members import Recipe

cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Weather(gym.Env):
    """Random observations, rewards, episode lengths, endings and metrics."""

    observation_space = Dict(
        {"wind": Box(-9, 9, (3,), np.float32), "sky": Box(0, 255, (2, 2), np.uint8)}
    )

    def __init__(self, action_space):
        self.action_space = action_space

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.season = int(self.np_random.integers(3))
        return self._obs(), {}

    def step(self, action):
        draw = self.np_random.random()
        info = {"AMAGO_LOG_METRIC Sun": draw} if draw > 0.5 else {}
        reward = float(draw + np.sum(action))
        return self._obs(), reward, bool(draw < 0.1), bool(draw > 0.9), info

    def _obs(self):
        wind = self.np_random.standard_normal(3).clip(-9, 9)
        return {"wind": wind, "sky": self.np_random.integers(0, 256, (2, 2), np.uint8)}


class Seasons(AMAGOEnv):
    @property
    def env_name(self):
        return f"season{self.env.season}"


ACTION_SPACES = {
    "discrete": Discrete(300, start=-2),
    "continuous": Box(np.array([-3.0, 0.0]), np.array([1.0, 5.0]), dtype=np.float64),
    "bits": MultiBinary(3),
}
EXPLORATION = {"discrete": EpsilonGreedy, "continuous": BilevelEpsilonGreedy, "bits": None}


def recipe(kind, num_envs, seed, replayable=False):
    space = ACTION_SPACES[kind]
    factories = [lambda: Seasons(Weather(space))] * num_envs
    return Recipe(factories, EXPLORATION[kind], seed, "test", replayable=replayable)


def rollout(pool, kind, seed, length=30):
    """Copies of every `PoolStep`. What a row does is a function of the seed and its index."""
    steps = [copy.deepcopy(pool.reset()), *further(pool, kind, seed, length)]
    pool.close()
    return steps


def further(pool, kind, seed, length):
    """Copies of the `PoolStep`s that follow."""
    draws = [np.random.default_rng([seed, row]) for row in range(pool.num_envs)]
    return [
        copy.deepcopy(pool.step(np.stack([random_action(kind, rng) for rng in draws])))
        for _ in range(length)
    ]


def random_action(kind, rng):
    if kind == "discrete":
        return rng.integers(0, 300, 1)
    if kind == "continuous":
        return rng.uniform(-1, 1, 2).astype(np.float32)
    return rng.integers(0, 2, 3, dtype=np.uint8)


def assert_same(one, other):
    assert one.env_names == other.env_names
    assert one.metrics == other.metrics
    for name in ("reward", "terminated", "truncated", "started", "stepped", "interrupted"):
        assert_equal(getattr(one, name), getattr(other, name))
    assert_same_timestep(one.timestep, other.timestep, np.ones_like(one.ended))
    assert_same_timestep(one.final, other.final, one.ended)


def assert_same_timestep(one, other, rows):
    assert one.obs.keys() == other.obs.keys()
    for key in one.obs:
        assert_equal(one.obs[key][rows], other.obs[key][rows])
    for name in ("prev_action", "reward", "time_idx", "terminal"):
        assert_equal(getattr(one, name)[rows], getattr(other, name)[rows])


def assert_equal(one, other):
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)


def check(kind, num_envs, num_workers, seed, method):
    config.bind({"BilevelEpsilonGreedy.rollout_horizon": 7})
    order = recipe(kind, num_envs, seed)
    here = rollout(SyncPool(order), kind, seed)
    there = rollout(AsyncPool(order, mp_context=method, num_workers=num_workers), kind, seed)
    for one, other in zip(here, there, strict=True):
        assert_same(one, other)
    assert any(step.ended.any() for step in here)


@pytest.mark.parametrize("method", ["fork", "forkserver"])
@settings(max_examples=8)
@given(
    kind=st.sampled_from(sorted(ACTION_SPACES)),
    num_envs=st.integers(1, 5),
    num_workers=st.integers(1, 5),
    seed=st.integers(0, 2**40),
)
def test_workers_give_the_numbers_of_one_process(method, kind, num_envs, num_workers, seed):
    check(kind, num_envs, num_workers, seed, method)


@pytest.mark.parametrize("kind", sorted(ACTION_SPACES))
def test_spawned_workers_give_the_numbers_of_one_process(kind):
    check(kind, num_envs=3, num_workers=2, seed=1, method="spawn")


@settings(max_examples=10)
@given(kind=st.sampled_from(sorted(ACTION_SPACES)), seed=st.integers(0, 2**40))
def test_an_environment_does_not_depend_on_its_neighbours(kind, seed):
    config.bind({"BilevelEpsilonGreedy.rollout_horizon": 7})
    alone = rollout(SyncPool(recipe(kind, 1, seed)), kind, seed)
    among_others = rollout(SyncPool(recipe(kind, 4, seed)), kind, seed)
    for one, other in zip(alone, among_others, strict=True):
        assert_equal(one.timestep.obs["wind"], other.timestep.obs["wind"][:1])
        assert_equal(one.timestep.prev_action, other.timestep.prev_action[:1])


def test_the_state_of_the_noise_is_the_same_and_can_be_given_back():
    order = recipe("discrete", 3, seed=4)
    states = []
    for pool in (SyncPool(order), AsyncPool(order, num_workers=2)):
        pool.reset()
        for _ in range(5):
            pool.step(np.zeros((3, 1), np.int64))
        states.append(pool.call("state_dict"))
        pool.close()
    here, there = (
        [(s["rng"], s["global_step"], s["global_multiplier"][0]) for s in each] for each in states
    )
    assert here == there
    again = AsyncPool(order, num_workers=2)
    again.call_each("load_state_dict", [(state,) for state in states[0]])
    assert [state["rng"] for state in again.call("state_dict")] == [rng for rng, *_ in here]
    again.close()


# ------------------------------------------------------------------------- saving and going on


def made(order, mode):
    return SyncPool(order) if mode == "sync" else AsyncPool(order, num_workers=2)


def check_going_on(kind, num_envs, seed, before, after, modes, carried):
    """`before` steps, saved, `after` steps: the same as those of a pool that is brought back."""
    config.bind({"BilevelEpsilonGreedy.rollout_horizon": 7})
    order = recipe(kind, num_envs, seed, replayable=True)
    first, second = (made(order, mode) for mode in modes)
    first.reset()
    steps = further(first, kind, seed, before)
    state = carried(first.state_dict())
    at = second.load_state_dict(state)
    assert not at.interrupted.any()
    assert not at.started.any()
    if steps:
        assert_same_timestep(at.timestep, steps[-1].timestep, np.ones(num_envs, bool))
        assert at.env_names == steps[-1].env_names
    here, there = (further(pool, kind, seed + 1, after) for pool in (first, second))
    for one, other in zip(here, there, strict=True):
        assert_same(one, other)
    assert_same_state(first.state_dict(), second.state_dict())
    first.close()
    second.close()


def assert_same_state(one, other):
    np.testing.assert_equal(one, other)


@pytest.mark.parametrize("second", ["sync", "async"])
@pytest.mark.parametrize("first", ["sync", "async"])
@settings(max_examples=8)
@given(
    kind=st.sampled_from(sorted(ACTION_SPACES)),
    num_envs=st.integers(2, 4),
    seed=st.integers(0, 2**40),
    before=st.integers(0, 25),
    after=st.integers(1, 15),
)
def test_a_pool_that_is_brought_back_gives_the_numbers_of_the_first(
    first, second, kind, num_envs, seed, before, after
):
    check_going_on(kind, num_envs, seed, before, after, (first, second), carried=lambda x: x)


@pytest.mark.parametrize("kind", sorted(ACTION_SPACES))
def test_what_is_saved_of_a_pool_survives_a_checkpoint(kind):
    from amago.checkpoint.encoding import decode, encode  # torch: the other tests do without

    def stored(state):
        encoded = encode(state, "envs")
        return decode(json.loads(json.dumps(encoded.tree)), encoded.tensors, encoded.aliases)

    check_going_on(kind, 3, 5, 12, 12, ("sync", "async"), stored)
