from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from amago.envs import AMAGOEnv, EnvCreator, SequenceWrapper
from amago.envs.env_utils import AlreadyVectorizedEnv, DummyAsyncVectorEnv
from amago.envs.exploration import EpsilonGreedy


class Climb(gym.Env):
    """The observation is the step count; ends at `horizon` with a metric."""

    observation_space = Box(0, 100, (1,), np.float32)
    action_space = Discrete(2)

    def __init__(self, horizon=3):
        self.horizon = horizon

    def reset(self, seed=None, options=None):
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        done = self.t >= self.horizon
        info = {"AMAGO_LOG_METRIC Height": self.t} if done else {}
        return np.full(1, self.t, np.float32), 1.0, done, False, info


class ClimbBatch(Climb):
    def reset(self, seed=None, options=None):
        self.t = 0
        return np.zeros((2, 1), np.float32), {}

    def step(self, action):
        self.t += 1
        done = np.array([self.t % 2 == 0, False])
        return np.full((2, 1), self.t, np.float32), np.ones(2), done, np.zeros(2, bool), {}


ACTION = np.zeros(1, np.uint8)


def climb():
    return AMAGOEnv(Climb(), "climb")


def test_an_episode_is_recorded_and_counted(tmp_path):
    env = SequenceWrapper(climb(), save_trajs_to=str(tmp_path))
    env.reset()
    for _ in range(3):
        _obs, reward, terminated, truncated, _info = env.step(ACTION)
    assert (reward, terminated, truncated) == (np.ones(1), [True], [False])
    assert env.return_history.data == {"climb": [3.0]}
    assert env.special_history.data == {"climb": {"Height": [3]}}
    assert env.total_frames == 3
    assert env.total_frames_by_env_name == {"climb": 3}
    assert len(env.finished_trajs) == 1
    assert env.save_finished_trajs() == 1
    (file,) = tmp_path.iterdir()
    with np.load(file) as stored:
        assert stored["_OBS_KEY_observation"].ravel().tolist() == [0, 1, 2, 3]


def test_statistics_are_forgotten_but_frames_are_not():
    env = SequenceWrapper(climb(), save_trajs_to=None)
    env.reset()
    for _ in range(3):
        env.step(ACTION)
    env.reset_stats()
    assert env.return_history.data == env.special_history.data == {}
    assert env.total_frames == 3


def test_the_current_timestep_is_what_a_policy_reads():
    env = SequenceWrapper(EpsilonGreedy(climb(), eps_start=0, eps_end=0), save_trajs_to=None)
    assert env.rl2_space["rl2"].shape == (3,)
    env.reset()
    env.step(ACTION)
    obs, rl2s, time_idxs = env.current_timestep
    assert obs["observation"].tolist() == [[1]]
    assert rl2s.tolist() == [[1, 1, 0]]  # reward, then the action
    assert time_idxs.tolist() == env.step_count[:, None].tolist() == [[1]]


def test_file_lengths_are_drawn_from_the_range(tmp_path):
    env = SequenceWrapper(climb(), str(tmp_path), save_every=(4, 6))
    assert {env.random_traj_length() for _ in range(50)} == {4, 5, 6}
    assert SequenceWrapper(climb(), None).random_traj_length() == float("inf")


def creator(make_env=climb, tmp_path=None):
    return EnvCreator(
        make_env=make_env,
        exploration_wrapper_type=EpsilonGreedy,
        save_trajs_to=tmp_path,
        save_every_low=100,
        save_every_high=200,
        save_trajs_as="npz",
    )


def test_a_creator_knows_the_environment_after_it_was_called():
    make = creator()
    env = make()
    assert isinstance(env, SequenceWrapper)
    assert isinstance(env.env, EpsilonGreedy)
    assert make.rl2_space == env.rl2_space
    assert make.already_vectorized is False


def test_the_sequential_vector_env_resets_finished_environments():
    envs = DummyAsyncVectorEnv([creator(), creator(lambda: AMAGOEnv(Climb(2), "low"))])
    obs, _ = envs.reset(seed=0)
    assert obs["observation"].shape == (2, 1)
    assert envs.single_action_space == Discrete(2)
    for _ in range(2):
        obs, rewards, terminated, truncated, _ = envs.step(np.zeros((2, 1), np.uint8))
    assert obs["observation"].ravel().tolist() == [2, 0]
    assert (rewards.tolist(), terminated.tolist()) == ([1, 1], [False, True])
    assert not truncated.any()
    envs.call_async("total_frames")
    assert envs.call_wait() == [2, 2]
    envs.call_async("reset_stats")
    assert envs.call_wait() == [None, None]
    envs.close()


def test_the_vectorised_env_takes_one_batch():
    make = creator(lambda: AMAGOEnv(ClimbBatch(), "batch", batched_envs=2))
    envs = AlreadyVectorizedEnv([make])
    assert make.already_vectorized is True
    obs, _ = envs.reset()
    assert obs["observation"].shape == (2, 1)
    for _ in range(2):
        envs.step(np.zeros((2, 1), np.uint8))
    envs.call_async("return_history")
    assert envs.call_wait()[0].data == {"batch": [2.0]}


def test_a_trajectory_can_be_finished_by_hand(tmp_path):
    env = SequenceWrapper(
        AMAGOEnv(ClimbBatch(), "batch", batched_envs=2), save_trajs_to=str(tmp_path)
    )
    env.reset()
    env.step(np.zeros((2, 1), np.uint8))
    first, _ = climb().reset()
    env.finish_active_traj(1, first)
    (finished,) = env.finished_trajs
    assert finished.row == 1
    assert finished.traj.time_idxs.ravel().tolist() == [0, 1]
    assert [len(traj.time_idxs) for traj in env.active_trajs] == [2, 1]
    with pytest.raises(ValueError, match="split_batched_timestep"):
        env.finish_active_traj(0, replace(first, batched_envs=2, **two_rows_of(first)))


def two_rows_of(timestep):
    names = ("prev_action", "reward", "time_idx", "terminal")
    return {name: np.repeat(getattr(timestep, name), 2, axis=0) for name in names}


def test_without_the_batch_axis_gymnasiums_vector_environments_take_the_values():
    env = SequenceWrapper(climb(), save_trajs_to=None)
    env.drop_batch_axis()
    obs, _ = env.reset()
    assert env.observation_space.contains(obs)
    obs, reward, terminated, truncated, _ = env.step(ACTION)
    assert env.observation_space.contains(obs)
    assert [np.shape(value) for value in (reward, terminated, truncated)] == [(), (), ()]
    batch = SequenceWrapper(AMAGOEnv(ClimbBatch(), "batch", batched_envs=2), save_trajs_to=None)
    batch.drop_batch_axis()
    batch.reset()
    assert batch.step(np.zeros((2, 1), np.uint8))[1].shape == (2,)
