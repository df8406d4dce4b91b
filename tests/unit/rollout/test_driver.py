"""The rollout loop, with a policy that counts the steps it remembers."""

from contextlib import nullcontext

import gymnasium as gym
import numpy as np
import pytest
import torch

from amago.envs import AMAGOEnv
from amago.envs.pool import make_pool
from amago.rollout.actor import Actor
from amago.rollout.driver import rollout
from amago.rollout.recorded import RecordedEnvs
from amago.rollout.recorder import Recorder


class Countdown(gym.Env):
    """An episode of `length` steps with reward 1 each; any action will do."""

    observation_space = gym.spaces.Box(0, 100, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length):
        self.length = length

    def reset(self, seed=None, options=None):
        self.left = self.length
        return np.full(1, self.left, np.float32), {}

    def step(self, action):
        self.left -= 1
        info = {"AMAGO_LOG_METRIC Steps": self.length} if self.left == 0 else {}
        return np.full(1, self.left, np.float32), 1.0, self.left == 0, False, info


class CountingPolicy:
    """Its memory is how many steps it has seen since it was last reset."""

    def __init__(self):
        self.seen = []

    def init_hidden_state(self, batch_size, device):
        return np.zeros(batch_size, dtype=int)

    def reset_hidden_state(self, hidden_state, dones):
        return np.where(dones, 0, hidden_state)

    def get_actions(self, obs, rl2s, time_idxs, hidden_state=None, sample=True):
        assert time_idxs.shape[1:] == (1, 1)
        assert np.array_equal(time_idxs.flatten().numpy(), hidden_state)
        self.seen.append(obs["observation"].flatten().tolist())
        return torch.ones(len(hidden_state), 1, 1, dtype=torch.uint8), hidden_state + 1


@pytest.fixture
def envs(tmp_path):
    factories = [lambda n=n: AMAGOEnv(Countdown(n), env_name=f"C{n}") for n in (2, 3)]
    made = RecordedEnvs(make_pool(factories, "sync"), Recorder(2, str(tmp_path)))
    yield made
    made.close()


def act(envs, steps, **options):
    envs.reset()
    policy = CountingPolicy()
    actor = Actor(policy, envs.num_envs, torch.device("cpu"), nullcontext, sample=True)
    actor.steps_taken = rollout(envs, actor, steps, **options)
    return policy, actor


def test_memory_is_emptied_where_an_episode_begins(envs):
    policy, actor = act(envs, 7)
    assert actor.hidden_state.tolist() == [1, 1]  # 7 = 3 * 2 + 1 = 2 * 3 + 1
    assert policy.seen[:3] == [[2, 3], [1, 2], [2, 1]]


def test_it_stops_after_so_many_episodes(envs):
    policy, _ = act(envs, 100, episodes=3)
    assert len(policy.seen) == 4  # episodes end after 2, 3 and 4 steps
    assert envs.statistics.episodes_finished == 3


@pytest.mark.parametrize(
    ("options", "taken"),
    [({}, 7), ({"episodes": 3}, 4), ({"episodes": 99}, 7), ({"should_stop": lambda: True}, 1)],
)
def test_it_tells_how_many_steps_it_took(envs, options, taken):
    _, actor = act(envs, 7, **options)
    assert actor.steps_taken == taken


def test_it_leaves_after_the_step_in_which_it_was_asked_to(envs):
    steps = []
    policy, _ = act(envs, 9, on_step=lambda: steps.append(1), should_stop=lambda: len(steps) == 3)
    assert len(policy.seen) == 3
    assert envs.timestep.time_idx.tolist() == [1, 0]


def test_no_steps_are_no_steps(envs):
    assert act(envs, 0)[1].steps_taken == 0


def test_a_row_that_a_fault_cut_off_is_forgotten_too(envs, monkeypatch):
    real = envs.pool.step

    def faulty(actions):
        step = real(actions)
        if envs.statistics.frames == [0, 0]:  # as a pool says it of an environment made anew
            step.stepped[0], step.started[0], step.interrupted[0] = False, True, True
            step.timestep.time_idx[0] = 0
        return step

    monkeypatch.setattr(envs.pool, "step", faulty)
    _, actor = act(envs, 1)
    assert actor.hidden_state.tolist() == [0, 1]


def test_hooks_see_every_step(envs):
    observations, steps = [], []
    act(envs, 5, on_observation=observations.append, on_step=lambda: steps.append(1))
    assert len(observations) == len(steps) == 5
    assert observations[0]["observation"].shape == (2, 1, 1)


def test_finished_trajectories_are_written_when_asked(envs, tmp_path):
    act(envs, 6)
    assert not list(tmp_path.glob("*.npz"))
    assert envs.save_finished_trajs() == 3 + 2
    assert len(list(tmp_path.glob("*.npz"))) == 5


@pytest.mark.parametrize(
    ("question", "answer"),
    [("total_frames", [6, 6]), ("total_frames_by_env_name", [{"C2": 6}, {"C3": 6}])],
)
def test_the_questions_of_older_scripts_are_answered(envs, question, answer):
    act(envs, 6)
    envs.call_async(question)
    assert envs.call_wait() == answer


def test_older_scripts_get_histories_and_the_current_timestep(envs):
    act(envs, 6)
    envs.call_async("return_history")
    assert [history.data for history in envs.call_wait()] == [{"C2": [2.0] * 3}, {"C3": [3.0] * 2}]
    envs.call_async("special_history")
    assert envs.call_wait()[1].data == {"C3": {"Steps": [3, 3]}}
    envs.call_async("current_timestep")
    obs, rl2s, time_idxs = envs.call_wait()[0]
    assert (obs["observation"].shape, rl2s.shape, time_idxs.shape) == ((1, 1), (1, 3), (1, 1))
    envs.call_async("length")
    assert envs.call_wait() == [2, 3]


def test_asking_nothing_has_no_answer(envs):
    with pytest.raises(RuntimeError, match="call_async"):
        envs.call_wait()
