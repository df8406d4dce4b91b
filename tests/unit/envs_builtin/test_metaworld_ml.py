"""Attempts, tasks and metrics of `Metaworld`, on simulators without physics."""

import pickle

import numpy as np
import pytest
from fake_metaworld import FakeBenchmark, FakeSimulator

from amago.core.errors import ConfigError
from amago.envs.builtin.metaworld_ml import KEpisodeMetaworld, Metaworld, pinned_tasks

STAY = np.zeros(4, dtype=np.float32)


def rollout(env, seed=0):
    """Observations, rewards and the last info of one rollout."""
    observations, rewards = [env.reset(seed=seed)[0]], []
    while True:
        obs, reward, terminated, truncated, info = env.step(STAY)
        observations.append(obs)
        rewards.append(reward)
        assert not terminated
        if truncated:
            return np.array(observations), rewards, info
        assert info == {}


def make(**settings):
    defaults = {"k_episodes": 3, "max_episode_length": 4, "task": "task-7-v3"}
    return KEpisodeMetaworld(FakeBenchmark(), "train", **(defaults | settings))


def test_a_rollout_is_k_attempts_and_its_end_is_a_truncation():
    observations, rewards, _ = rollout(make())
    assert len(rewards) == 3 * 4
    assert observations.shape == (13, 40)
    assert observations.dtype == np.float32
    attempts = observations[:, 1]  # the fake shows its attempt and its step
    assert attempts.tolist() == [0] * 4 + [1] * 4 + [2] * 5
    assert observations[:, 2].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4]


def test_the_last_number_marks_the_first_observation_of_an_attempt():
    observations, _, _ = rollout(make())
    assert np.flatnonzero(observations[:, -1]).tolist() == [0, 4, 8]


def test_metrics_come_once_at_the_end_of_the_rollout():
    env = make()
    seen = set()
    for seed in range(20):
        _, _, info = rollout(env, seed)
        values = list(info.values())
        assert list(info) == [
            "AMAGO_LOG_METRIC Trial 0 Success",
            "AMAGO_LOG_METRIC Trial 1 Success",
            "AMAGO_LOG_METRIC Trial 2 Success",
            "AMAGO_LOG_METRIC Total Successes",
        ]
        assert values[3] == sum(values[:3])
        seen.add(tuple(values))
    # One success at the first step of an attempt counts, though its last step fails.
    assert seen == {(1, 1, 1, 3), (0, 1, 1, 2), (0, 0, 1, 1), (0, 0, 0, 0)}


def test_the_same_seed_gives_the_same_task_and_variant():
    env = make(task=None)
    first, *_ = rollout(env, seed=5)
    name = env.task_name
    rollout(env, seed=6)
    again, *_ = rollout(env, seed=5)
    assert env.task_name == name
    np.testing.assert_array_equal(first, again)


def test_without_a_seed_every_reset_draws_again():
    env = make(task=None)
    env.reset(seed=0)
    names = set()
    for _ in range(30):
        env.reset()
        names.add(env.task_name)
    assert len(names) > 15


def test_there_is_one_simulator_at_a_time():
    env = make(task=None)
    env.reset(seed=0)
    one = env._simulator
    env.reset(seed=1)
    assert env._simulator is not one
    assert one.is_closed
    other = env._simulator
    env.reset(seed=1)
    assert env._simulator is other
    env.close()
    assert other.is_closed


def test_a_pinned_task_is_known_before_the_first_reset():
    env = make(task="task-7-v3")
    assert env.task_name == "task-7-v3"
    assert isinstance(env._simulator, FakeSimulator)
    assert make(task=44).task_name == "task-44-v3"
    assert make(task=None).task_name == ""


def test_rewards_may_be_scaled_by_task():
    class Scaled(KEpisodeMetaworld):
        reward_scales = {"task-7-v3": 0.1}

    _, rewards, _ = rollout(Scaled(FakeBenchmark(), "train", 1, 4, task=7))
    assert rewards == [pytest.approx(0.7)] * 4
    _, rewards, _ = rollout(Scaled(FakeBenchmark(), "train", 1, 4, task=8))
    assert rewards == [8.0] * 4


def test_the_environment_is_named_after_its_task():
    env = Metaworld(FakeBenchmark(), "train", 3, 4)
    assert env.env_name == "fake45"
    timestep, _ = env.reset(seed=1)
    assert env.env_name.startswith("task-")
    assert timestep.obs["observation"].shape == (1, 40)
    assert env.action_size == 4


def test_pinned_tasks_are_all_tasks_of_the_split_in_order():
    names = [make_env().env_name for make_env in pinned_tasks(FakeBenchmark(), "train", 3, 4)]
    assert names == [f"task-{i}-v3" for i in range(45)]
    names = [make_env().env_name for make_env in pinned_tasks(FakeBenchmark(), "test", 3, 4)]
    assert names == [f"task-{i}-v3" for i in range(45, 50)]


def test_pinned_tasks_are_repeated_in_turn_for_more_actors():
    made = pinned_tasks(FakeBenchmark(), "test", 3, 4, actors=12)
    names = [make_env().env_name for make_env in made]
    assert names == [f"task-{45 + i % 5}-v3" for i in range(12)]


def test_pinned_tasks_are_small_to_send():
    assert len(pickle.dumps(pinned_tasks(FakeBenchmark(), "train", 3, 4))) < 5000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k_episodes": 0}, "at least one attempt"),
        ({"max_episode_length": 0}, "1 to 500 steps"),
        ({"max_episode_length": 501}, "max_episode_length=501"),
        ({"task": "task-77-v3"}, "no task 'task-77-v3'; did you mean 'task-7-v3'"),
        ({"task": 45}, "tasks 0 to 44, not 45"),
        ({"task": -1}, "not -1"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        make(**settings)
