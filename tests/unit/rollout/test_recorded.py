"""Environments, recorder and statistics that go on together where they were saved."""

import os

import gymnasium as gym
import numpy as np
import pytest

from amago.core.errors import AmagoWarning
from amago.envs import AMAGOEnv
from amago.envs.exploration import EpsilonGreedy
from amago.envs.pool import make_pool
from amago.loading import load_traj_from_disk
from amago.loading.filenames import age_key, is_cut
from amago.rollout.recorded import RecordedEnvs
from amago.rollout.recorder import Recorder


class Drift(gym.Env):
    """Walks at random until a length that is drawn at reset."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    restarts = 0

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.length, self.t = self.np_random.integers(3, 30), 0
        self.x = self.np_random.normal(size=2).astype(np.float32)
        return self.x.copy(), {}

    def step(self, action):
        self.t += 1
        self.x += self.np_random.normal(size=2).astype(np.float32) + action
        done = self.t >= self.length
        info = {"AMAGO_LOG_METRIC Length": int(self.length)} if done else {}
        return self.x.copy(), float(self.x.sum()), done, False, info


class Unrepeatable(Drift):
    """Each episode differs, whatever the seed."""

    def reset(self, seed=None, options=None):
        Unrepeatable.restarts += 1
        return super().reset(seed=Unrepeatable.restarts)


def make_envs(directory, num_envs=3, env_type=Drift):
    pool = make_pool(
        [lambda i=i: AMAGOEnv(env_type(), env_name=f"drift{i}") for i in range(num_envs)],
        mode="sync",
        exploration_type=lambda env: EpsilonGreedy(env, steps_anneal=500),
        seed=1,
        replayable=True,
    )
    recorder = Recorder(num_envs, str(directory), (8, 20), seed=2)
    return RecordedEnvs(pool, recorder)


def act(envs, steps, first=0):
    """The timesteps that a policy saw."""
    seen = []
    for t in range(first, first + steps):
        seen.append(envs.timestep.rl2.copy())
        seen.append(envs.timestep.obs["observation"].copy())
        envs.step(np.full((envs.num_envs, 1), t % 2, np.uint8))
    return seen


def contents(directory):
    names = sorted(os.listdir(directory), key=age_key)
    trajs = [load_traj_from_disk(str(directory / name)).to_dict() for name in names]
    return [
        (name.rsplit("_", 1)[0], {key: value.tobytes() for key, value in traj.items()})
        for name, traj in zip(names, trajs, strict=True)
    ]


@pytest.mark.parametrize("stop_after", [0, 33, 60])
def test_they_go_on_as_if_they_had_never_stopped(tmp_path, through_checkpoint, stop_after):
    whole, first = make_envs(tmp_path / "whole"), make_envs(tmp_path / "parts")
    for envs in (whole, first):
        envs.reset()
        act(envs, stop_after)
        if stop_after == 60:
            envs.save_finished_trajs()
    second = make_envs(tmp_path / "parts")
    second.reset()
    anew = second.load_state_dict(through_checkpoint(first.state_dict()))
    assert not anew.any()
    expected, found = act(whole, 70, stop_after), act(second, 70, stop_after)
    assert [x.tobytes() for x in found] == [x.tobytes() for x in expected]
    for ours, theirs in zip(second.statistics.returns, whole.statistics.returns, strict=True):
        assert ours.data == theirs.data
    for ours, theirs in zip(second.statistics.specials, whole.statistics.specials, strict=True):
        assert ours.data == theirs.data
    assert second.statistics.episodes_finished == whole.statistics.episodes_finished
    sums = zip(second.statistics.frames, first.statistics.frames, strict=True)
    assert [a + b for a, b in sums] == whole.statistics.frames
    assert whole.save_finished_trajs() == second.save_finished_trajs()
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert second.pool.call("state_dict")[0]["global_step"] == stop_after + 70


def test_what_cannot_be_brought_back_is_cut_and_begins_anew(tmp_path, through_checkpoint):
    first = make_envs(tmp_path, env_type=Unrepeatable)
    first.reset()
    act(first, 2)
    second = make_envs(tmp_path, env_type=Unrepeatable)
    with pytest.warns(AmagoWarning):
        anew = second.load_state_dict(through_checkpoint(first.state_dict()))
    assert anew.all()
    assert second.timestep.time_idx.tolist() == [0, 0, 0]
    assert second.save_finished_trajs() == 3
    assert all(is_cut(name) for name in os.listdir(tmp_path))
    act(second, 40)
    for name, (history, frames) in enumerate(
        zip(second.statistics.returns, second.statistics.frames, strict=True)
    ):
        assert list(history.data) == [f"drift{name}"]
        assert frames == 40


def test_another_number_of_environments_begins_anew(tmp_path, through_checkpoint):
    first = make_envs(tmp_path, num_envs=2)
    first.reset()
    act(first, 2)
    second = make_envs(tmp_path, num_envs=3)
    with pytest.warns(AmagoWarning) as warned:
        anew = second.load_state_dict(through_checkpoint(first.state_dict()))
    assert sum("unfinished trajectories" in str(w.message) for w in warned) == 1
    assert anew.tolist() == [True] * 3
    act(second, 40)
    assert second.save_finished_trajs() > 3
    assert not any(is_cut(name) for name in os.listdir(tmp_path))


def test_a_collection_ends_with_a_note_of_the_exploration(tmp_path, monkeypatch):
    envs = make_envs(tmp_path)
    notes = []
    monkeypatch.setattr(envs.pool, "remember_exploration", lambda: notes.append(1))
    envs.reset()
    envs.save_finished_trajs()
    assert notes == [1]


def test_questions_about_the_pool_are_passed_on(tmp_path):
    envs = make_envs(tmp_path)
    assert envs.num_faults == 0
    envs.reset()
    assert envs.episodes() == [1, 1, 1]
    envs.set_episodes([5, 6, 7])
    envs.reset()
    assert envs.episodes() == [6, 7, 8]


def test_before_a_reset_there_is_no_timestep(tmp_path):
    with pytest.raises(RuntimeError, match="reset"):
        make_envs(tmp_path).timestep  # noqa: B018
