"""Both gymnasium autoreset worlds, and the one before: the same episodes must come out of each."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import SyncVectorEnv

from amago.core.errors import ConfigError
from amago.envs import AMAGOEnv
from amago.envs.batched import Autoreset, autoreset_mode, final_observations
from amago.envs.pool import make_pool

can_choose_mode = pytest.mark.skipif(
    not hasattr(gym.vector, "AutoresetMode"), reason="gymnasium 1.0 has one mode, NEXT_STEP"
)


class Ladder(gym.Env):
    """Climbs one rung a step. Every observation, (episode, rung), is different."""

    observation_space = Box(-1, 1000, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, height):
        self.height = height
        self.episode = -1

    def _obs(self):
        return np.array([self.episode, self.rung], np.float32)

    def reset(self, seed=None, options=None):
        self.episode += 1
        self.rung = 0
        return self._obs(), {}

    def step(self, action):
        self.rung += 1
        done = self.rung >= self.height
        info = {"AMAGO_LOG_METRIC Height": self.rung} if done else {}
        return self._obs(), float(self.rung), done, False, info


HEIGHTS = (2, 3)


def vector_env(mode):
    makers = [lambda h=h: Ladder(h) for h in HEIGHTS]
    return SyncVectorEnv(makers, autoreset_mode=mode.value)


def pool(mode):
    return make_pool(
        [lambda: AMAGOEnv(vector_env(mode), "ladder", batched_envs=2)], "already_vectorized"
    )


def episodes(pool, steps):
    """Finished episodes of each row, as lists of (episode, rung, reward, time, terminal)."""
    finished = [[], []]
    step = pool.reset()
    running = [[_facts(step.timestep, row)] for row in range(2)]
    for _ in range(steps):
        step = pool.step(np.ones((2, 1), np.uint8))
        for row in range(2):
            if step.ended[row]:
                finished[row].append([*running[row], _facts(step.final, row)])
                running[row] = []
            elif step.stepped[row]:
                running[row].append(_facts(step.timestep, row))
            if step.started[row]:
                running[row] = [_facts(step.timestep, row)]
    return finished


def _facts(timestep, row):
    episode, rung = timestep.obs["observation"][row].tolist()
    return episode, rung, timestep.reward[row], timestep.time_idx[row], timestep.terminal[row]


@can_choose_mode
@pytest.mark.parametrize("mode", list(Autoreset))
def test_every_autoreset_mode_gives_the_same_whole_episodes(mode):
    finished = episodes(pool(mode), steps=12)
    for row, height in enumerate(HEIGHTS):
        assert len(finished[row]) >= 3
        for number, episode in enumerate(finished[row]):
            assert episode == [
                (number, rung, rung, rung, rung == height) for rung in range(height + 1)
            ]


@can_choose_mode
def test_next_step_resets_make_no_transition():
    envs = pool(Autoreset.NEXT_STEP)
    envs.reset()
    steps = [envs.step(np.ones((2, 1), np.uint8)) for _ in range(3)]
    assert [step.ended[0] for step in steps] == [False, True, False]
    assert [step.started[0] for step in steps] == [False, False, True]
    assert [step.stepped[0] for step in steps] == [True, True, False]
    assert steps[2].timestep.prev_action[0].tolist() == [0, 0]
    assert steps[2].reward[0] == 0


@can_choose_mode
@pytest.mark.parametrize("mode", [Autoreset.SAME_STEP, Autoreset.DISABLED])
def test_same_step_resets_begin_the_next_episode_at_once(mode):
    envs = pool(mode)
    envs.reset()
    envs.step(np.ones((2, 1), np.uint8))
    step = envs.step(np.ones((2, 1), np.uint8))
    assert step.ended.tolist() == step.started.tolist() == [True, False]
    assert step.stepped.all()
    assert step.final.obs["observation"][0].tolist() == [0, 2]
    assert step.timestep.obs["observation"][0].tolist() == [1, 0]
    assert step.timestep.prev_action.tolist() == [[0, 0], [0, 1]]
    assert step.reward.tolist() == [2, 2]


@can_choose_mode
@pytest.mark.parametrize("mode", list(Autoreset))
def test_metrics_of_the_last_step_arrive_in_every_mode(mode):
    envs = pool(mode)
    envs.reset()
    seen = [m for _ in range(3) for m in envs.step(np.ones((2, 1), np.uint8)).metrics]
    assert seen == [(0, "Height", 2), (1, "Height", 3)]


class Custom(gym.Env):
    """A batch without metadata, as written for gymnasium 0.29: same-step resets, no final_obs."""

    observation_space = Box(0, 9, (1,), np.float32)
    action_space = Discrete(2)

    def reset(self, seed=None, options=None):
        return np.zeros((2, 1), np.float32), {}

    def step(self, action):
        self.action = action
        done = np.array([True, False])
        info = {"AMAGO_LOG_METRIC Wins": [1, 0, 1]}
        return np.array([[0], [5]], np.float32), np.ones(2), done, ~done & done, info


def test_a_batch_that_does_not_say_is_taken_as_same_step():
    env = AMAGOEnv(Custom(), "custom", batched_envs=2)
    envs = make_pool([lambda: env], "already_vectorized")
    envs.reset()
    step = envs.step(np.array([[1], [0]], np.uint8))
    assert env.unwrapped.action.tolist() == [1, 0]
    assert step.started.tolist() == [True, False]
    assert step.timestep.time_idx.tolist() == [0, 1]
    assert step.final.time_idx.tolist() == [1, 1]
    assert step.final.terminal.tolist() == [True, False]
    assert step.metrics == [(0, "Wins", [1, 0, 1])]


@can_choose_mode
def test_the_size_of_a_vector_env_must_be_stated():
    with pytest.raises(ConfigError, match="pass batched_envs=2"):
        AMAGOEnv(vector_env(Autoreset.NEXT_STEP), "ladder")


def test_a_vector_env_of_one_row_is_still_a_batch():
    env = SyncVectorEnv([lambda: Ladder(2)])
    envs = make_pool([lambda: AMAGOEnv(env, "one", batched_envs=1)], "already_vectorized")
    assert envs.reset().timestep.obs["observation"].shape == (1, 2)
    assert envs.step(np.zeros((1, 1), np.uint8)).timestep.time_idx.tolist() == [1]


def test_the_mode_may_be_a_string():
    env = Custom()
    env.metadata = {"autoreset_mode": "NextStep"}
    assert autoreset_mode(env) is Autoreset.NEXT_STEP


@pytest.mark.parametrize(
    "info",
    [
        {"final_obs": np.array([None, np.array([7.0])], dtype=object)},
        {"final_observation": [None, {"x": np.array([7.0])}]},
        {"final_obs": {"x": np.array([[0.0], [7.0]])}},
        {"final_obs": np.array([[0.0], [7.0]])},
        {"final_obs": np.array([[0], [7]], np.int32)},
    ],
)
def test_final_observations_are_found_in_each_spelling(info):
    obs = {"x": np.array([[1.0], [2.0]])}
    final = final_observations(obs, np.array([False, True]), info)
    assert final["x"].tolist() == [[1.0], [7.0]]
    assert obs["x"].tolist() == [[1.0], [2.0]]
