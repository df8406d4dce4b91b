import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from amago.core.errors import ConfigError, EnvError
from amago.core.rng import derive_seed
from amago.envs import AMAGOEnv
from amago.envs.exploration import EpsilonGreedy
from amago.envs.pool import SyncPool, make_pool


class Walk(gym.Env):
    """Observes (seed of the episode modulo 1000, step); ends at `horizon`."""

    observation_space = Box(-1, 1000, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, horizon=2, truncates=False, bad_at=None):
        self.horizon = horizon
        self.truncates = truncates
        self.bad_at = bad_at
        self.num_resets = 0
        self.is_closed = False

    def reset(self, seed=None, options=None):
        self.num_resets += 1
        self.seed, self.t = seed, 0
        return self._obs(), {}

    def step(self, action):
        self.t += 1
        done = self.t >= self.horizon
        info = {"AMAGO_LOG_METRIC Steps": self.t, "other": 1} if done else {}
        return self._obs(), 0.5, done and not self.truncates, done and self.truncates, info

    def _obs(self):
        step = np.nan if self.t == self.bad_at else self.t
        return np.array([self.seed % 1000, step], np.float32)

    def greet(self, name):
        return f"{name} at {self.t}"

    def stumble(self):
        raise KeyError("shoe")

    def render(self):
        return f"frame {self.t}"

    def close(self):
        self.is_closed = True


class Renaming(AMAGOEnv):
    @property
    def env_name(self):
        return f"task{self.env.num_resets}"


def walk(**kwargs):
    return lambda: AMAGOEnv(Walk(**kwargs), "walk")


def actions(pool, value=0):
    return np.full((pool.num_envs, 1), value, np.uint8)


def test_reset_starts_every_environment():
    pool = make_pool([walk(), walk()], "sync")
    assert isinstance(pool, SyncPool)
    step = pool.reset()
    assert step.started.all()
    assert not step.stepped.any()
    assert not step.ended.any()
    assert step.timestep.time_idx.tolist() == [0, 0]
    assert step.env_names == ["walk", "walk"]


def test_spaces_are_those_of_one_environment():
    pool = make_pool([walk()], "sync")
    assert pool.single_observation_space["observation"] == Walk.observation_space
    assert pool.single_action_space == Discrete(2)
    assert pool.rl2_space.shape == (3,)
    assert pool.description == "SyncPool(Gym Env x 1)"


def test_a_finished_environment_is_reset_in_the_same_step():
    pool = make_pool([walk(horizon=1), walk(horizon=2)], "sync")
    pool.reset()
    step = pool.step(actions(pool, 1))
    assert step.terminated.tolist() == step.started.tolist() == [True, False]
    assert step.stepped.all()
    assert step.reward.tolist() == [0.5, 0.5]
    assert step.final.time_idx[0] == 1
    assert step.final.prev_action[0].tolist() == [0, 1]
    assert step.final.reward[0] == 0.5
    assert step.final.terminal[0]
    assert step.final.obs["observation"][0, 1] == 1
    assert step.timestep.time_idx.tolist() == [0, 1]
    assert step.timestep.obs["observation"][:, 1].tolist() == [0, 1]
    assert step.timestep.prev_action.tolist() == [[0, 0], [0, 1]]
    assert step.timestep.reward.tolist() == [0, 0.5]
    assert not step.timestep.terminal.any()


def test_a_truncated_episode_ends_without_a_terminal():
    pool = make_pool([walk(horizon=1, truncates=True)], "sync")
    pool.reset()
    step = pool.step(actions(pool))
    assert (step.truncated[0], step.terminated[0], step.ended[0]) == (True, False, True)
    assert not step.final.terminal[0]


def test_metrics_name_their_row():
    pool = make_pool([walk(horizon=2), walk(horizon=1)], "sync")
    pool.reset()
    assert pool.step(actions(pool)).metrics == [(1, "Steps", 1)]


def test_names_are_those_of_the_episode_that_was_stepped():
    pool = make_pool([lambda: Renaming(Walk(horizon=1))], "sync")
    assert pool.reset().env_names == ["task1"]
    assert pool.step(actions(pool)).env_names == ["task1"]
    assert pool.step(actions(pool)).env_names == ["task2"]


def test_every_episode_of_every_environment_has_its_seed():
    pool = make_pool([walk(horizon=1)] * 2, "sync", seed=5, role="val")
    step = pool.reset()
    for episode in range(3):
        wanted = [derive_seed(5, "val", env, "episode", episode) % 1000 for env in range(2)]
        assert step.timestep.obs["observation"][:, 0].tolist() == wanted
        assert wanted[0] != wanted[1]
        step = pool.step(actions(pool))


def test_a_step_overwrites_the_arrays_of_the_one_before():
    pool = make_pool([walk(horizon=9)], "sync")
    first = pool.reset()
    pool.step(actions(pool))
    assert first.timestep.time_idx[0] == 1


def test_exploration_wraps_each_environment_with_noise_of_its_own():
    def random_actions(seed):
        pool = make_pool([walk(horizon=100)] * 2, "sync", EpsilonGreedy, seed=seed)
        pool.reset()
        taken = [pool.step(actions(pool)).timestep.prev_action[:, 1].copy() for _ in range(30)]
        return np.array(taken).T.tolist()

    first = random_actions(0)
    assert first == random_actions(0) != random_actions(1)
    assert first[0] != first[1]


def test_call_reaches_methods_and_attributes_through_wrappers():
    pool = make_pool([walk(), walk()], "sync", EpsilonGreedy)
    pool.reset()
    pool.step(actions(pool))
    assert pool.call("greet", "Ada") == ["Ada at 1", "Ada at 1"]
    assert pool.call("horizon") == [2, 2]
    assert pool.call("env_name") == ["walk", "walk"]
    assert pool.call("global_step") == [1, 1]
    assert pool.render() == ["frame 1", "frame 1"]
    with pytest.raises(AttributeError, match="nothing"):
        pool.call("nothing")
    with pytest.raises(EnvError, match="raised KeyError in stumble"):
        pool.call("stumble")


@pytest.mark.parametrize("horizon", [1, 5])  # also when it is the last observation
def test_nan_in_an_observation_is_refused(horizon):
    pool = make_pool([walk(horizon=horizon, bad_at=1)], "sync")
    pool.reset()
    with pytest.raises(EnvError, match="'walk' returned an observation whose 'observation' is not"):
        pool.step(actions(pool))


def test_close_closes_every_environment_and_may_be_repeated():
    pool = make_pool([walk(), walk()], "sync")
    pool.close()
    assert pool.call("is_closed") == [True, True]
    pool.close()


def test_environments_with_different_spaces_are_refused():
    class Other(Walk):
        observation_space = Box(-1, 1, (3,), np.float32)

    with pytest.raises(
        ConfigError, match=r"observation 'observation' of environment 0 .*\(2,\).*1"
    ):
        make_pool([walk(), lambda: AMAGOEnv(Other(), "other")], "sync")
