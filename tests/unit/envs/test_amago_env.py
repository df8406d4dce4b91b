import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary

from amago.core.errors import ConfigError, EnvError
from amago.envs import AMAGOEnv
from amago.envs.checks import BadValueError, clamped


class Counter(gym.Env):
    """Observes its step count; `scripted` replaces parts of what it returns."""

    def __init__(self, action_space=None, horizon=3, **scripted):
        self.action_space = action_space or Discrete(3)
        self.observation_space = Box(0, 100, (2,), np.float32)
        self.horizon = horizon
        self.scripted = scripted

    def reset(self, seed=None, options=None):
        self.seed_given = seed
        self.count = 0
        return self.scripted.get("first", np.zeros(2, np.float32)), {"where": "reset"}

    def step(self, action):
        self.count += 1
        self.action = action
        obs = self.scripted.get("obs", np.full(2, self.count, np.float32))
        reward = self.scripted.get("reward", 0.5)
        return obs, reward, self.count >= self.horizon, False, {"where": "step"}


def test_reset_gives_a_first_timestep():
    env = AMAGOEnv(Counter(), "counter")
    timestep, info = env.reset(seed=7)
    np.testing.assert_array_equal(timestep.obs["observation"], [[0, 0]])
    np.testing.assert_array_equal(timestep.prev_action, [[0, 0, 0]])
    assert (timestep.reward, timestep.time_idx, timestep.terminal) == (0, 0, False)
    assert info == {"where": "reset"}
    assert env.unwrapped.seed_given == 7


def test_step_gives_a_timestep_with_the_action_that_led_to_it():
    env = AMAGOEnv(Counter(), "counter")
    env.reset()
    timestep, reward, terminated, truncated, info = env.step(np.array([2], dtype=np.uint8))
    np.testing.assert_array_equal(timestep.obs["observation"], [[1, 1]])
    np.testing.assert_array_equal(timestep.prev_action, [[0, 0, 1]])
    assert timestep.prev_action.dtype == np.uint8
    assert (timestep.reward, timestep.time_idx, timestep.terminal) == (0.5, 1, False)
    assert (reward, terminated, truncated) == (np.array([0.5]), [False], [False])
    assert reward.dtype == np.float32
    assert info == {"where": "step"}
    assert env.unwrapped.action == 2


@pytest.mark.parametrize("action", [1, np.array([1]), np.array([[1]]), np.uint8(1)])
def test_an_action_may_come_with_or_without_axes(action):
    env = AMAGOEnv(Counter(), "counter")
    env.reset()
    env.step(action)
    assert env.unwrapped.action == 1


def test_the_step_count_is_zero_again_after_the_end():
    env = AMAGOEnv(Counter(horizon=2), "counter")
    env.reset()
    env.step(0)
    assert env.step_count.tolist() == [1]
    timestep, _, terminated, _, _ = env.step(0)
    assert terminated
    assert (timestep.time_idx, timestep.terminal) == (2, True)
    assert env.step_count.tolist() == [0]


@pytest.mark.parametrize(
    "space, size, dtype, flags",
    [
        (Discrete(4), 4, np.uint8, (True, False)),
        (Discrete(1000), 1000, np.int64, (True, False)),
        (MultiBinary(5), 5, np.uint8, (False, True)),
        (Box(-2, 2, (2, 3)), 6, np.float32, (False, False)),
    ],
)
def test_the_kind_of_actions_is_known(space, size, dtype, flags):
    env = AMAGOEnv(Counter(space), "counter")
    assert (env.action_size, env.action_dtype) == (size, dtype)
    assert (env.discrete, env.multibinary) == flags


def test_a_continuous_action_is_remembered_as_the_policy_gave_it():
    env = AMAGOEnv(Counter(Box(0, 10, (2,))), "counter")
    env.reset()
    given = np.array([-1.0, 0.5], dtype=np.float32)
    timestep = env.step(given)[0]
    np.testing.assert_array_equal(timestep.prev_action, [[-1.0, 0.5]])
    np.testing.assert_allclose(env.unwrapped.action, [0.0, 7.5])
    given[:] = 0
    assert timestep.prev_action[0, 1] == 0.5


def test_names_are_safe_for_paths_and_required():
    assert AMAGOEnv(Counter(), "a/b/c").env_name == "a_b_c"
    with pytest.raises(ConfigError, match="has no name"):
        _ = AMAGOEnv(Counter()).env_name


def test_a_subclass_may_add_an_observation_and_change_its_name():
    class WithClock(AMAGOEnv):
        def __init__(self, env):
            super().__init__(env)
            self.observation_space["clock"] = Box(0, 1, (1,), np.float32)

        @property
        def env_name(self):
            return f"clock-{self.env.count}"

        def inner_reset(self, seed=None, options=None):
            obs, info = self.env.reset(seed=seed, options=options)
            return {"observation": obs, "clock": np.zeros(1, np.float32)}, info

        def inner_step(self, action):
            obs, *rest = self.env.step(action)
            return {"observation": obs, "clock": np.ones(1, np.float32)}, *rest

    env = WithClock(Counter())
    assert env.reset()[0].obs["clock"].shape == (1, 1)
    assert env.step(0)[0].obs["clock"][0, 0] == 1
    assert env.env_name == "clock-1"


def test_an_inner_reset_without_a_seed_works():
    class Seedless(AMAGOEnv):
        def inner_reset(self):
            return self.env.reset()

    assert Seedless(Counter(), "x").reset(seed=1)[0].time_idx == 0


def test_discrete_observations_arrive_as_one_integer():
    env = Counter(first=np.int64(0), obs=3)
    env.observation_space = Discrete(5)
    env = AMAGOEnv(env, "counter")
    assert env.reset()[0].obs["observation"].tolist() == [[0]]
    timestep = env.step(0)[0]
    assert timestep.obs["observation"].tolist() == [[3]]
    assert timestep.obs["observation"].dtype == np.int64


@pytest.mark.parametrize(
    "returned, wanted_dtype",
    [(np.ones(2, np.float64), np.float32), ([1, 2], np.float32), (np.ones(2, bool), np.float32)],
)
def test_observations_are_converted_where_nothing_is_lost(returned, wanted_dtype):
    env = AMAGOEnv(Counter(obs=returned), "counter")
    env.reset()
    assert env.step(0)[0].obs["observation"].dtype == wanted_dtype


@pytest.mark.parametrize("reward", [np.nan, np.inf, -np.inf])
def test_a_reward_that_is_no_finite_number_is_refused(reward):
    env = AMAGOEnv(Counter(reward=reward), "bad")
    env.reset()
    with pytest.raises(EnvError, match="'bad', in step: the reward is not a finite number"):
        env.step(0)


@pytest.mark.parametrize(
    "scripted, message",
    [
        ({"obs": np.zeros(3, np.float32)}, r"'observation' has shape \(3,\).*promises \(2,\)"),
        ({"obs": np.zeros((1, 2), np.float32)}, r"has shape \(1, 2\)"),
        ({"obs": {"vector": np.zeros(2)}}, r"keys \['vector'\].*has \['observation'\]"),
        ({"obs": np.array(["a", "b"])}, "dtype <U1.*promises float32"),
        ({"obs": None}, r"has shape \(\)"),
        ({"reward": [1.0, 2.0]}, r"reward must be one value, got \[1.0, 2.0\]"),
        ({"reward": "high"}, "reward must be one value, got 'high'"),
    ],
)
def test_a_broken_promise_names_environment_and_key(scripted, message):
    env = AMAGOEnv(Counter(**scripted), "bad")
    env.reset()
    with pytest.raises(EnvError, match=f"environment 'bad', in step: .*{message}"):
        env.step(0)


def test_integers_are_converted_only_if_they_keep_their_value():
    env = Counter(first=np.zeros(2, np.int64), obs=np.array([255, 256]))
    env.observation_space = Box(0, 255, (2,), np.uint8)
    env = AMAGOEnv(env, "bytes")
    assert env.reset()[0].obs["observation"].dtype == np.uint8
    with pytest.raises(EnvError, match="cannot be converted without loss"):
        env.step(0)


def test_results_of_the_old_gym_api_are_refused_with_the_new_one():
    class Old(Counter):
        def reset(self):
            return np.zeros(2, np.float32)

    with pytest.raises(EnvError, match=r"reset must return \(observation, info\), got ndarray"):
        AMAGOEnv(Old(), "old").reset()


def test_an_observation_space_of_dicts_keeps_its_keys():
    env = Counter(first={"a": np.zeros(1, np.float32), "b": np.zeros((2, 2), np.uint8)})
    env.observation_space = Dict({"a": Box(0, 1, (1,)), "b": Box(0, 255, (2, 2), np.uint8)})
    timestep, _ = AMAGOEnv(env, "dict").reset()
    assert {key: value.shape for key, value in timestep.obs.items()} == {
        "a": (1, 1),
        "b": (1, 2, 2),
    }


def test_the_last_action_is_kept_as_it_was_given():
    env = AMAGOEnv(Counter(), "counter")
    env.reset()
    env.step(np.array([2], np.uint8))
    assert env.last_action.tolist() == [[2]]
    assert env.last_action.dtype == np.uint8


def clamping(**scripted):
    env = AMAGOEnv(Counter(**scripted), "counter")
    env.clamps_bad_values = True
    env.reset()
    return env


@pytest.mark.parametrize(
    "returned, given",
    [
        ([np.nan, 1], [0, 1]),
        ([np.inf, -np.inf], [100, 0]),  # the bounds of the space
        ([3, 4], [3, 4]),
    ],
)
def test_observations_that_are_not_finite_can_be_replaced(returned, given):
    env = clamping(obs=np.array(returned, np.float32))
    timestep = env.step(0)[0]
    assert timestep.obs["observation"].tolist() == [given]
    assert timestep.obs["observation"].dtype == np.float32
    assert env.num_clamped == (returned != given)


def test_without_bounds_infinity_becomes_the_largest_number_of_the_dtype():
    limits = np.finfo(np.float32)
    values = clamped(np.array([[np.inf, -np.inf]], np.float32), Box(-np.inf, np.inf, (2,)))
    assert values.tolist() == [[limits.max, limits.min]]


@pytest.mark.parametrize("reward, given", [(np.nan, 0), (-np.inf, np.finfo(np.float32).min)])
def test_rewards_that_are_not_finite_can_be_replaced(reward, given):
    assert clamping(reward=reward).step(0)[1].tolist() == [given]


@pytest.mark.parametrize("scripted", [{"obs": np.zeros(3)}, {"reward": "high"}])
def test_what_has_another_shape_or_dtype_cannot_be_replaced(scripted):
    with pytest.raises(BadValueError, match="'counter', in step"):
        clamping(**scripted).step(0)
