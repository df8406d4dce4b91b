"""Vector environments that a script made itself."""

import os
from contextlib import nullcontext
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from amago.core.errors import AmagoWarning, ConfigError
from amago.envs import AMAGOEnv, EnvCreator, SequenceWrapper
from amago.envs.batched import Autoreset
from amago.envs.env_utils import AlreadyVectorizedEnv, DummyAsyncVectorEnv
from amago.envs.exploration import EpsilonGreedy
from amago.loading import load_traj_from_disk
from amago.rollout.actor import Actor
from amago.rollout.driver import rollout
from amago.rollout.foreign import adopt
from amago.utils import call_async_env


class Climb(gym.Env):
    """The observation is the step count; ends at `horizon` with a metric."""

    observation_space = gym.spaces.Box(0, 100, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, horizon):
        self.horizon = horizon
        self.breaks = 0

    def reset(self, seed=None, options=None):
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        done = self.t >= self.horizon
        info = {"AMAGO_LOG_METRIC Height": self.t} if done else {}
        return np.full(1, self.t, np.float32), 1.0, done, False, info

    def take_long_break(self):
        self.breaks += 1
        return self.breaks


class ClimbBatch(gym.Env):
    """Two rows, the first of which ends, and resets itself, every second step."""

    observation_space = gym.spaces.Box(0, 100, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        self.t = 0
        return np.zeros((2, 1), np.float32), {}

    def step(self, action):
        self.t += 1
        done = np.array([self.t % 2 == 0, False])
        return np.full((2, 1), self.t, np.float32), np.ones(2), done, np.zeros(2, bool), {}


def climb(horizon):
    return AMAGOEnv(Climb(horizon), env_name=f"C{horizon}")


def creator(make_env, save_to):
    return EnvCreator(
        make_env=make_env,
        exploration_wrapper_type=partial(EpsilonGreedy, eps_start=0.5),
        save_trajs_to=None if save_to is None else str(save_to),
        save_every_low=100,
        save_every_high=200,
        save_trajs_as="npz",
    )


def creators(save_to):
    return [creator(partial(climb, horizon), save_to) for horizon in (2, 3)]


class CountingPolicy:
    """Its memory is how many steps it has seen since it was last reset."""

    def init_hidden_state(self, batch_size, device):
        return np.zeros(batch_size, dtype=int)

    def reset_hidden_state(self, hidden_state, dones):
        return np.where(dones, 0, hidden_state)

    def get_actions(self, obs, rl2s, time_idxs, hidden_state=None, sample=True):
        assert np.array_equal(time_idxs.flatten().numpy(), hidden_state)
        return torch.ones(len(hidden_state), 1, 1, dtype=torch.uint8), hidden_state + 1


def act(envs, steps, **options):
    envs.statistics.clear()
    actor = Actor(CountingPolicy(), envs.num_envs, torch.device("cpu"), nullcontext, sample=True)
    return rollout(envs, actor, steps, **options)


def vector_env_of(kind, save_to):
    if kind == "dummy":
        return DummyAsyncVectorEnv(creators(save_to))
    if kind is Autoreset.NEXT_STEP:  # what gymnasium does unless told otherwise
        return SyncVectorEnv(creators(save_to))
    return SyncVectorEnv(creators(save_to), autoreset_mode=kind.value)


needs_modes = pytest.mark.skipif(
    not hasattr(gym.vector, "AutoresetMode"), reason="gymnasium 1.0 has one mode, NEXT_STEP"
)


@pytest.mark.parametrize(
    "kind",
    [
        "dummy",
        Autoreset.NEXT_STEP,
        pytest.param(Autoreset.SAME_STEP, marks=needs_modes),
        pytest.param(Autoreset.DISABLED, marks=needs_modes),
    ],
)
def test_a_rollout_acts_remembers_records_and_counts(tmp_path, kind):
    envs = adopt(vector_env_of(kind, tmp_path))
    envs.reset()
    act(envs, 12)
    # Resets in a step of their own: the first climbs in steps 1-2, 4-5, ..., the second in 1-3, ...
    resets_later = kind is Autoreset.NEXT_STEP
    episodes = {"C2": 4, "C3": 3} if resets_later else {"C2": 6, "C3": 4}
    found = [history.data for history in envs.statistics.returns]
    assert found == [{"C2": [2.0] * episodes["C2"]}, {"C3": [3.0] * episodes["C3"]}]
    specials = [history.data for history in envs.statistics.specials]
    assert specials[1] == {"C3": {"Height": [3] * episodes["C3"]}}
    assert envs.statistics.episodes_finished == sum(episodes.values())
    assert envs.save_finished_trajs() == sum(episodes.values())
    for name in os.listdir(tmp_path):
        traj = load_traj_from_disk(str(tmp_path / name))
        climbed = 2 if name.startswith("C2") else 3
        assert traj.obs["observation"][:, 0].tolist() == list(range(climbed + 1))
    envs.close()
    envs.close()


def test_frames_are_those_of_the_wrappers():
    envs = adopt(DummyAsyncVectorEnv(creators(None)))
    envs.reset()
    act(envs, 6)
    act(envs, 2)
    assert envs.statistics.frames == [8, 8]
    assert [dict(c) for c in envs.statistics.frames_by_env_name] == [{"C2": 8}, {"C3": 8}]


def test_a_script_that_has_begun_is_taken_over_where_it_is():
    vector_env = DummyAsyncVectorEnv(creators(None))
    vector_env.reset()
    vector_env.step(np.zeros((2, 1), np.uint8))
    envs = adopt(vector_env)
    assert envs.timestep.time_idx.tolist() == [1, 1]
    assert envs.timestep.obs["observation"].tolist() == [[1], [1]]


def test_it_has_the_spaces_the_experiment_builds_its_agent_from():
    envs = adopt(DummyAsyncVectorEnv(creators(None)))
    assert envs.num_envs == 2
    assert envs.single_action_space == gym.spaces.Discrete(2)
    assert envs.rl2_space["rl2"].shape == (3,)
    assert envs.rl2_space["obs"]["observation"].shape == (1,)
    assert envs.description == "DummyAsyncVectorEnv(2 environments)"


def test_a_batch_resets_its_own_rows(tmp_path):
    make = creator(lambda: AMAGOEnv(ClimbBatch(), "batch", batched_envs=2), tmp_path)
    envs = adopt(AlreadyVectorizedEnv([make]))
    assert envs.num_envs == 2
    envs.reset()
    act(envs, 6)
    assert envs.statistics.returns[0].data == {"batch": [2.0] * 3}
    assert envs.statistics.episodes_finished == 3
    assert envs.timestep.time_idx.tolist() == [0, 6]
    assert envs.save_finished_trajs() == 3


def test_methods_of_the_scripts_environments_can_be_called():
    envs = adopt(DummyAsyncVectorEnv(creators(None)))
    assert call_async_env(envs, "take_long_break") == [1, 1]
    assert call_async_env(envs, "env_name") == ["C2", "C3"]


def test_trajectories_are_written_at_once_if_asked(tmp_path):
    envs = adopt(DummyAsyncVectorEnv(creators(tmp_path)))
    envs.recorder.save_on_done = True
    envs.reset()
    act(envs, 4)
    assert len(os.listdir(tmp_path)) == 2 + 1


def test_a_rollout_can_stop_after_episodes():
    envs = adopt(DummyAsyncVectorEnv(creators(None)))
    envs.reset()
    assert act(envs, 100, episodes=3) == 4


def test_a_checkpoint_lets_them_begin_anew(through_checkpoint):
    envs = adopt(DummyAsyncVectorEnv(creators(None)))
    envs.reset()
    act(envs, 4)
    state = through_checkpoint(envs.state_dict())
    again = adopt(DummyAsyncVectorEnv(creators(None)))
    with pytest.warns(AmagoWarning, match="all 2 environments begin a new episode"):
        assert again.load_state_dict(state).tolist() == [True, True]
    assert again.timestep.time_idx.tolist() == [0, 0]
    act(again, 3)
    assert again.statistics.frames == [3, 3]
    with pytest.warns(AmagoWarning, match="begin a new episode"):
        again.load_state_dict(state)
    assert again.statistics.frames == [0, 0]
    again.set_episodes(envs.episodes())
    again.recorder.sync()
    assert again.num_faults == 0


def test_the_first_reset_has_the_seed(monkeypatch):
    seeds = []
    vector_env = DummyAsyncVectorEnv(creators(None))
    monkeypatch.setattr(
        vector_env,
        "reset",
        lambda seed=None: seeds.append(seed) or type(vector_env).reset(vector_env),
    )
    envs = adopt(vector_env, seed=7)
    envs.reset()
    envs.reset()
    assert seeds == [7, None]


def test_recorded_environments_are_what_they_were():
    envs = adopt(DummyAsyncVectorEnv(creators(None)))
    assert adopt(envs) is envs


def test_what_is_no_vector_environment_is_refused():
    with pytest.raises(ConfigError, match="Climb is no vector environment: it lacks num_envs"):
        adopt(Climb(2))


@pytest.mark.slow  # starts processes
@pytest.mark.parametrize("shared_memory", [True, False])
def test_environments_in_processes_of_gymnasium(tmp_path, shared_memory):
    functions = [lambda h=h: SequenceWrapper(climb(h), save_trajs_to=str(tmp_path)) for h in (2, 3)]
    envs = adopt(AsyncVectorEnv(functions, shared_memory=shared_memory, context="fork"), seed=1)
    try:
        envs.reset()
        act(envs, 13)
        assert envs.statistics.returns[0].data == {"C2": [2.0] * 4}
        assert envs.statistics.returns[1].data == {"C3": [3.0] * 3}
        assert envs.save_finished_trajs() == 7
        assert len(os.listdir(tmp_path)) == 7
        assert call_async_env(envs, "take_long_break") == [1, 1]
    finally:
        envs.close()
