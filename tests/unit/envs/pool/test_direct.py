"""The short way of a step gives what the long way gives, and is not taken where it would differ."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

from amago.core import config
from amago.envs import AMAGOEnv
from amago.envs.checks import BadValueError
from amago.envs.exploration import BilevelEpsilonGreedy, EpsilonGreedy, ExplorationWrapper
from amago.envs.pool import make_pool
from amago.envs.pool.direct import DirectEnv, can_be_direct

VECTOR = Box(-9, 9, (2,), np.float32)
SEEN = np.array([0.5, 2.0], np.float32)
PLAIN = (SEEN, 0.3, False, False, {})


class Scripted(gym.Env):
    """Returns what it is told to, step by step; remembers the actions."""

    def __init__(self, results, observation_space=VECTOR, action_space=None):
        self.observation_space = observation_space
        self.action_space = action_space or Discrete(3)
        self.results = list(results)
        self.actions = []

    def reset(self, seed=None, options=None):
        blank = Box(0, 0, (2,), np.float32).sample()
        is_dict = isinstance(self.observation_space, Dict)
        return {"x": blank, "n": 0} if is_dict else blank, {}

    def step(self, action):
        self.actions.append(np.array(action))
        return self.results.pop(0)


def scripted(*results, env_type=AMAGOEnv, **kwargs):
    env = env_type(Scripted(results, **kwargs), "scripted")
    env.reset()
    return env


def some_action(env, rng):
    """`[F]`, as a policy gives it."""
    space = env.action_space
    if isinstance(space, Box):
        return rng.uniform(-1, 1, space.shape).astype(np.float32)
    highest = {Discrete: lambda: [space.n], MultiDiscrete: lambda: space.nvec}
    return rng.integers(highest.get(type(space), lambda: [2] * space.n)()).astype(env.action_dtype)


def assert_same(one, other):
    """Two results of a step: values, dtypes and shapes."""

    def arrays(result):
        timestep = result[0]
        rest = (timestep.prev_action, timestep.reward, timestep.time_idx, timestep.terminal)
        return [*timestep.obs.values(), *rest, *result[1:4]]

    assert one[0].obs.keys() == other[0].obs.keys()
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
    assert one[4] == other[4]


def assert_both_ways_agree(*results, explore=lambda env: env, **kwargs):
    long, short = scripted(*results, **kwargs), scripted(*results, **kwargs)
    long_env, short_env = explore(long), explore(short)
    assert can_be_direct(short_env, short)
    direct = DirectEnv(short_env, short)
    rng = np.random.default_rng(0)
    for _ in results:
        action = some_action(long, rng)
        assert_same(long_env.step(action), direct.step(action[np.newaxis].copy()))
        np.testing.assert_array_equal(long.last_action, short.last_action, strict=True)
        np.testing.assert_array_equal(long.step_count, short.step_count, strict=True)
        taken = long.unwrapped.actions[-1], short.unwrapped.actions[-1]
        np.testing.assert_array_equal(*taken, strict=True)


@pytest.mark.parametrize(
    "reward",
    [1.5, 2, True, np.float32(0.1), np.float64(0.1), np.int64(3), np.array(0.1), [0.1], 3.4e38],
    ids=repr,
)
def test_rewards_are_the_same(reward):
    assert_both_ways_agree((SEEN, reward, False, False, {}), PLAIN)


@pytest.mark.parametrize("flag", [True, np.True_, 1, np.array(True), [True], 0, np.False_])
@pytest.mark.parametrize("place", [2, 3])
def test_flags_are_the_same_and_an_end_sets_the_count_back(flag, place):
    ends = [SEEN, 0.5, False, False, {"a": 1}]
    ends[place] = flag
    assert_both_ways_agree(PLAIN, PLAIN, tuple(ends), PLAIN)


@pytest.mark.parametrize(
    "obs", [SEEN, SEEN.tolist(), np.array([1, 2]), SEEN.astype(np.float16), {"observation": SEEN}]
)
def test_observations_are_the_same(obs):
    assert_both_ways_agree((obs, 0.3, False, False, {}), [obs, 0.3, False, False, {}])


@pytest.mark.parametrize("number", [2, np.int64(2), np.array([2])])
def test_observations_of_several_keys_are_the_same(number):
    space = Dict({"x": VECTOR, "n": Discrete(5)})
    result = ({"n": number, "x": SEEN}, 0.3, False, False, {})
    assert_both_ways_agree(result, result, observation_space=space)


@pytest.mark.parametrize(
    "space",
    [
        Discrete(4, start=2),
        Discrete(300),
        MultiDiscrete([2, 3]),
        MultiBinary(3),
        Box(-2, 3, (2,), np.float32),
    ],
    ids=str,
)
def test_actions_are_the_same(space):
    assert_both_ways_agree(*[PLAIN] * 5, action_space=space)


@pytest.mark.parametrize("space", [Discrete(4), MultiDiscrete([2, 30]), Box(-2, 3, (2,))], ids=str)
@pytest.mark.parametrize("kind", [EpsilonGreedy, BilevelEpsilonGreedy])
def test_noise_is_the_same(space, kind):
    if kind is BilevelEpsilonGreedy:
        config.bind({"amago.envs.exploration.BilevelEpsilonGreedy.rollout_horizon": 10})

    def explore(env):
        explorer = kind(env)
        explorer.seed(7)
        explorer.reset()
        return explorer

    assert_both_ways_agree(*[PLAIN] * 40, explore=explore, action_space=space)


@pytest.mark.parametrize(
    "result",
    [
        (SEEN, np.nan, False, False, {}),
        (SEEN, np.inf, False, False, {}),
        (SEEN, -1e39, False, False, {}),
        (SEEN, None, False, False, {}),
        (SEEN[:1], 0.3, False, False, {}),
        (np.array([0.5, 0.25]) + 0j, 0.3, False, False, {}),
        ({"observation": SEEN, "more": SEEN}, 0.3, False, False, {}),
        ({"other": SEEN}, 0.3, False, False, {}),
        (SEEN, 0.3, [False, True], False, {}),
        (SEEN, 0.3, False, {}),
        None,
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # 1e39 as float32
def test_what_is_refused_is_refused_in_the_same_words(result):
    long, short = scripted(result), scripted(result)
    with pytest.raises(BadValueError) as expected:
        long.step(np.array([1], np.uint8))
    with pytest.raises(BadValueError) as found:
        DirectEnv(short, short).step(np.array([[1]], np.uint8))
    assert str(found.value) == str(expected.value)
    assert short.step_count.tolist() == long.step_count.tolist() == [0]


def test_a_subclass_may_change_what_the_environment_returns():
    class Doubled(AMAGOEnv):
        def inner_step(self, action):
            obs, reward, *rest = super().inner_step(action)
            return (obs, 2 * reward, *rest)

    assert_both_ways_agree(PLAIN, env_type=Doubled)
    env = scripted(PLAIN, env_type=Doubled)
    assert DirectEnv(env, env).step(np.array([[1]], np.uint8))[1] == np.float32(0.6)


class OwnStep(AMAGOEnv):
    def step(self, action):
        timestep, reward, *rest = super().step(action)
        return timestep, reward + 1, *rest


class OwnRepresentation(AMAGOEnv):
    def make_action_rep(self, action):
        return 1 - super().make_action_rep(action)


class OwnAction(EpsilonGreedy):
    def action(self, action):
        return np.full_like(action, 2)


class OwnExploringStep(EpsilonGreedy):
    def step(self, action):
        return super().step(np.full_like(action, 2))


class OwnNoise(ExplorationWrapper):
    def add_exploration_noise(self, action, local_step):
        return np.full_like(action, 2)


def one_step(env_type=AMAGOEnv, exploration=None):
    pool = make_pool([lambda: scripted(PLAIN, env_type=env_type)], "sync", exploration)
    pool.reset()
    return pool.step(np.zeros((1, 1), np.uint8)), pool


def test_a_pool_calls_the_step_of_a_subclass():
    assert not can_be_direct(*[scripted(env_type=OwnStep)] * 2)
    assert one_step(OwnStep)[0].reward == np.float32(1.3)


def test_a_pool_remembers_actions_the_way_of_a_subclass():
    assert not can_be_direct(*[scripted(env_type=OwnRepresentation)] * 2)
    assert one_step(OwnRepresentation)[0].timestep.prev_action.tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("exploration", [OwnAction, OwnExploringStep, OwnNoise])
def test_a_pool_explores_the_way_of_a_subclass(exploration):
    amago_env = scripted()
    assert can_be_direct(exploration(amago_env), amago_env) == (exploration is OwnNoise)
    step, pool = one_step(exploration=exploration)
    if exploration is not OwnExploringStep:  # noise is added to its 2
        assert step.timestep.prev_action.tolist() == [[0, 0, 1]]
        assert pool.call("actions")[0] == [2]


class Doubling(gym.Wrapper):
    def step(self, action):
        return super().step(2 * action)


def test_a_wrapper_of_another_kind_is_stepped_itself():
    amago_env = scripted()
    assert can_be_direct(OwnNoise(amago_env), amago_env)
    assert not can_be_direct(Doubling(amago_env), amago_env)
    assert not can_be_direct(OwnNoise(scripted()), amago_env)


def test_a_replaced_method_of_an_instance_is_called():
    env = scripted()
    env.step = lambda action: None
    assert not can_be_direct(env, env)


def test_numbers_that_are_to_be_clamped_and_batches_go_the_long_way():
    env = scripted()
    env.clamps_bad_values = True
    assert not can_be_direct(env, env)
    env = scripted()
    env.batched = True
    assert not can_be_direct(env, env)
