import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from amago.core import config
from amago.core.errors import ConfigError
from amago.envs import AMAGOEnv
from amago.envs.exploration import (
    BilevelEpsilonGreedy,
    EpsilonGreedy,
    ExplorationWrapper,
    get_exploration_cls,
    list_registered_explorations,
    register_exploration,
)


class Endless(gym.Env):
    observation_space = Box(-1, 1, (1,), np.float32)

    def __init__(self, action_space, horizon=10**9):
        self.action_space = action_space
        self.horizon = horizon

    def reset(self, seed=None, options=None):
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.time += 1
        return np.zeros(1, np.float32), 0.0, self.time >= self.horizon, False, {}


class Batch(Endless):
    """Two rows; the second ends its episode at every step."""

    def reset(self, seed=None, options=None):
        return np.zeros((2, 1), np.float32), {}

    def step(self, action):
        done = np.array([False, True])
        return np.zeros((2, 1), np.float32), np.zeros(2), done, ~done & done, {}


def discrete(n=4, **kwargs):
    return AMAGOEnv(Endless(Discrete(n), **kwargs), "endless")


def continuous():
    return AMAGOEnv(Endless(Box(-2, 2, (3,))), "endless")


ZERO = np.zeros(1, dtype=np.uint8)


def test_epsilon_anneals_linearly_and_then_stays():
    wrapper = EpsilonGreedy(
        discrete(), eps_start=1.0, eps_end=0.2, steps_anneal=100, randomize_eps=False
    )
    levels = []
    for wrapper.global_step in (0, 50, 100, 1000):
        levels.append(wrapper.current_eps(np.array([7]))[0])
    np.testing.assert_allclose(levels, [1.0, 0.6, 0.2, 0.2])


def test_the_bilevel_schedule_goes_from_start_to_end_level_over_a_rollout():
    wrapper = BilevelEpsilonGreedy(
        discrete(),
        rollout_horizon=10,
        eps_start_start=1.0,
        eps_start_end=0.2,
        eps_end_start=0.5,
        eps_end_end=0.1,
        steps_anneal=100,
        randomize_eps=False,
    )
    wrapper.global_step = 50  # start level 0.6, end level 0.3
    levels = [wrapper.current_eps(np.array([t]))[0] for t in (0, 5, 10)]
    np.testing.assert_allclose(levels, [0.6, 0.45, 0.3])


def test_epsilon_stays_a_probability_beyond_the_horizon():
    wrapper = BilevelEpsilonGreedy(
        discrete(), rollout_horizon=10, eps_end_start=0.0, randomize_eps=False
    )
    assert wrapper.current_eps(np.array([10**6])).tolist() == [0.0]


def test_the_horizon_must_be_given_or_bound():
    with pytest.raises(RuntimeError, match="rollout_horizon"):
        BilevelEpsilonGreedy(discrete())
    config.bind({"amago.envs.exploration.BilevelEpsilonGreedy.rollout_horizon": 50})
    assert BilevelEpsilonGreedy(discrete()).rollout_horizon == 50


def test_bindings_of_the_bilevel_wrapper_do_not_reach_epsilon_greedy():
    config.bind({"BilevelEpsilonGreedy.eps_start_start": 0.1, "EpsilonGreedy.eps_end": 0.3})
    wrapper = EpsilonGreedy(discrete())
    assert (wrapper.eps_start_start, wrapper.eps_end_end) == (1.0, 0.3)


@pytest.mark.parametrize("n", [4, 300])
def test_full_exploration_draws_every_action_equally_often(n):
    env = discrete(n)
    wrapper = EpsilonGreedy(env, eps_end=1.0, randomize_eps=False)
    wrapper.seed(0)
    wrapper.reset()
    given = np.zeros(1, env.action_dtype)
    actions = np.array([wrapper.action(given)[0] for _ in range(100 * n)])
    assert actions.dtype == env.action_dtype
    counts = np.bincount(actions, minlength=n)
    assert len(counts) == n
    assert (abs(counts - 100) < 5 * np.sqrt(100)).all()


def test_full_exploration_draws_every_choice_of_every_factor_independently():
    env = AMAGOEnv(Endless(MultiDiscrete([2, 3], start=[1, 0])), "endless")
    wrapper = EpsilonGreedy(env, eps_end=1.0, randomize_eps=False)
    wrapper.seed(0)
    wrapper.reset()
    given = np.zeros(2, env.action_dtype)
    actions = np.array([wrapper.action(given) for _ in range(600)])
    assert actions.dtype == env.action_dtype
    counts = np.bincount(3 * actions[:, 0] + actions[:, 1], minlength=6)
    assert len(counts) == 6
    assert (abs(counts - 100) < 5 * np.sqrt(100)).all()


def test_an_explored_action_is_random_in_all_factors_and_a_kept_one_in_none():
    env = AMAGOEnv(Endless(MultiDiscrete([1000, 1000])), "endless")
    wrapper = EpsilonGreedy(env, eps_start=0.5, eps_end=0.5, randomize_eps=False)
    wrapper.seed(0)
    kept = np.array([wrapper.action(np.zeros(2, np.int64)) == 0 for _ in range(400)])
    assert kept.mean() == pytest.approx(0.5, abs=0.1)
    assert np.mean(kept[:, 0] != kept[:, 1]) < 0.02


@pytest.mark.parametrize("space", [Discrete(5), Discrete(300), MultiDiscrete([4, 7])], ids=str)
def test_one_environment_draws_what_a_batch_of_one_row_would(space):
    env = AMAGOEnv(Endless(space), "endless")
    wrapper = EpsilonGreedy(env, eps_start=0.5, eps_end=0.5, randomize_eps=False)
    wrapper.seed(3)
    draws = np.random.default_rng(3)
    choices = space.nvec if isinstance(space, MultiDiscrete) else [space.n]
    given = np.zeros((1, len(choices)), env.action_dtype)
    for _ in range(200):
        expected = given
        if draws.random(1)[0] < 0.5:
            expected = np.floor(draws.random((1, len(choices))) * choices).astype(given.dtype)
        np.testing.assert_array_equal(wrapper.action(given), expected, strict=True)


def test_half_exploration_keeps_half_of_the_actions():
    wrapper = EpsilonGreedy(discrete(), eps_start=0.5, eps_end=0.5, randomize_eps=False)
    wrapper.seed(0)
    kept = np.mean([wrapper.action(ZERO)[0] == 0 for _ in range(4000)])
    assert kept == pytest.approx(0.5 + 0.5 / 4, abs=0.03)  # a random action may be the same


def test_continuous_noise_has_scale_epsilon_and_stays_in_range():
    wrapper = EpsilonGreedy(continuous(), eps_start=0.1, eps_end=0.1, randomize_eps=False)
    wrapper.seed(0)
    given = np.zeros(3, np.float32)
    noisy = np.array([wrapper.action(given) for _ in range(2000)])
    assert noisy.dtype == np.float32
    assert noisy.std() == pytest.approx(0.1, rel=0.05)
    assert not given.any()
    loud = EpsilonGreedy(continuous(), eps_end=1.0, randomize_eps=False)
    assert np.abs([loud.action(np.ones(3, np.float32)) for _ in range(50)]).max() == 1.0


def test_a_continuous_action_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"must be in \[-1, 1\]"):
        EpsilonGreedy(continuous()).action(np.full(3, 1.5, np.float32))


def test_the_batch_axis_is_kept_as_it_came():
    wrapper = EpsilonGreedy(discrete())
    assert wrapper.action(ZERO).shape == (1,)
    assert wrapper.action(ZERO[np.newaxis]).shape == (1, 1)


def test_multipliers_are_drawn_at_each_reset():
    wrapper = EpsilonGreedy(discrete())
    wrapper.seed(0)
    drawn = []
    for _ in range(5):
        wrapper.reset()
        drawn.append(wrapper.global_multiplier[0])
    assert len(set(drawn)) == 5
    assert all(0 <= m < 1 for m in drawn)


def test_rows_of_a_batch_draw_a_new_multiplier_when_their_episode_ends():
    env = AMAGOEnv(Batch(Discrete(2)), "batch", batched_envs=2)
    wrapper = EpsilonGreedy(env)
    wrapper.reset()
    before = wrapper.global_multiplier.copy()
    wrapper.step(np.zeros((2, 1), np.uint8))
    assert (wrapper.global_multiplier == before).tolist() == [True, False]


@pytest.mark.parametrize("batched", [False, True])
def test_without_randomization_the_multiplier_stays_one_over_episode_ends(batched):
    if batched:
        env = AMAGOEnv(Batch(Discrete(2)), "batch", batched_envs=2)
    else:
        env = discrete(horizon=2)
    wrapper = EpsilonGreedy(env, randomize_eps=False)
    wrapper.reset()
    for _ in range(4):
        wrapper.step(np.zeros((env.batched_envs, 1), np.uint8))
    assert (wrapper.global_multiplier == 1).all()


def test_one_seed_gives_one_noise():
    def noise(seed):
        wrapper = EpsilonGreedy(discrete(100))
        wrapper.seed(seed)
        wrapper.reset()
        return [wrapper.action(ZERO)[0] for _ in range(20)]

    assert noise(1) == noise(1) != noise(2)


def test_a_restored_wrapper_goes_on_as_the_first_would_have():
    first, second = EpsilonGreedy(discrete(100)), EpsilonGreedy(discrete(100))
    first.seed(0)
    first.reset()
    for _ in range(10):
        first.action(ZERO)
    second.load_state_dict(first.state_dict())
    assert second.global_step == 10
    assert [first.action(ZERO)[0] for _ in range(20)] == [second.action(ZERO)[0] for _ in range(20)]


def test_multibinary_actions_are_refused():
    with pytest.raises(ConfigError, match="no noise to MultiBinary"):
        EpsilonGreedy(AMAGOEnv(Endless(MultiBinary(3)), "bits"))


@pytest.mark.parametrize("bad", [{"steps_anneal": 0}, {"rollout_horizon": 0}])
def test_a_schedule_over_no_steps_is_refused(bad):
    with pytest.raises(ConfigError, match="positive rollout_horizon and steps_anneal"):
        BilevelEpsilonGreedy(discrete(), **{"rollout_horizon": 5, **bad})


def test_a_schedule_of_ones_own_needs_one_method():
    class Never(EpsilonGreedy):
        def current_eps(self, local_step):
            return np.zeros(self.batched_envs)

    wrapper = Never(discrete())
    assert all(wrapper.action(ZERO)[0] == 0 for _ in range(50))


def test_built_in_strategies_are_registered_by_name():
    assert get_exploration_cls("egreedy") is EpsilonGreedy
    assert get_exploration_cls("bilevel") is BilevelEpsilonGreedy
    assert {"egreedy", "bilevel"} <= set(list_registered_explorations())
    with pytest.raises(ValueError, match="already registered"):
        register_exploration("egreedy")(EpsilonGreedy)
    with pytest.raises(KeyError, match="egreedy"):
        get_exploration_cls("greedy")


def test_the_wrapper_is_abstract():
    with pytest.raises(TypeError, match="add_exploration_noise"):
        ExplorationWrapper(discrete())
