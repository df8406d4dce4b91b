"""What befalls a whole run: signals, a full disk, numbers that are not finite, folders that are not
there.
"""

import errno
import os
import signal
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from small_run import digest, make_experiment

from amago.checkpoint import load_state
from amago.core.errors import (
    AmagoError,
    AmagoWarning,
    CheckpointError,
    DivergedError,
    StorageError,
)
from amago.envs import AMAGOEnv
from amago.loading import DiskTrajDataset
from amago.rollout import files
from amago.tracking.reader import read_events, read_rows


def started(root, **settings):
    experiment = make_experiment(root, **settings)
    experiment.start()
    return experiment


def stored(root) -> list[str]:
    return sorted(os.listdir(root / "buffer" / "buffer" / "fifo"))


def call_before(experiment, name, act):
    """Let `act` happen each time before `experiment.name`."""
    method = getattr(experiment, name)

    def acts_first(*args, **kwargs):
        act()
        return method(*args, **kwargs)

    setattr(experiment, name, acts_first)


@pytest.mark.parametrize("where", ["evaluate_val", "on_interact_step", "train_step"])
def test_a_request_to_stop_saves_and_says_resume_me(where, tmp_path):
    experiment = started(tmp_path)
    call_before(experiment, where, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as left:
        experiment.learn()
    assert left.value.code == 75
    assert (tmp_path / "small/ckpts/training_states/small_interim").is_dir()
    assert list(read_events(tmp_path / "small"))[-1]["status"] == "stopped"
    again = started(tmp_path, epochs=1)
    assert again.resume()
    again.learn()
    assert again.grad_update_counter > 0
    assert not (tmp_path / "small/ckpts/training_states/small_interim").exists()


def test_the_handlers_of_the_process_are_back_after_learning(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    experiment = started(tmp_path, epochs=1)
    experiment.learn()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_ends_the_process_at_once(tmp_path):
    experiment = started(tmp_path, epochs=1)

    def twice():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    call_before(experiment, "train_step", twice)
    with pytest.raises(SystemExit) as left:
        experiment.learn()
    assert left.value.code == 128 + signal.SIGTERM
    saved = load_state(tmp_path / "small/ckpts/training_states/small_interim")
    assert saved["run"]["phase"] == "evaluate"  # of the beginning: nothing was saved on the way out


def test_a_learner_that_was_taken_for_dead_saves_nothing_over_its_successor(tmp_path):
    experiment = started(tmp_path)
    lock = tmp_path / "small" / "learner.lock"
    call_before(experiment, "train_epoch", lambda: lock.write_text('{"token": "another"}'))
    with pytest.raises(CheckpointError, match="another learner has taken over"):
        experiment.learn()
    assert os.listdir(tmp_path / "small/ckpts/training_states") == ["small_interim"]
    assert lock.exists()  # it is the other one's


def full_disk(monkeypatch, times: int) -> None:
    """The next `times` trajectory files cannot be written."""
    write, left = files.npz.write_npz, [times]

    def refusing(*args, **kwargs):
        if left[0] > 0:
            left[0] -= 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*args, **kwargs)

    monkeypatch.setattr(files.npz, "write_npz", refusing)


def test_old_trajectories_give_way_on_a_full_disk_and_nothing_new_is_lost(tmp_path, monkeypatch):
    untroubled = started(tmp_path / "a", epochs=2)
    untroubled.learn()
    experiment = started(tmp_path / "b", epochs=2)
    experiment.dataset.make_room = lambda: 3
    full_disk(monkeypatch, times=1)
    with pytest.warns(AmagoWarning, match="3 stored trajectories were deleted to make room"):
        experiment.learn()
    assert len(stored(tmp_path / "b")) == len(stored(tmp_path / "a"))


def test_a_disk_that_stays_full_is_an_error_and_nothing_half_written_is_there(
    tmp_path, monkeypatch
):
    experiment = started(tmp_path, epochs=2)
    full_disk(monkeypatch, times=1000)
    with (
        pytest.warns(AmagoWarning, match="the disk is full"),
        pytest.raises(StorageError, match=r"is full .* resume the run from its last checkpoint"),
    ):
        experiment.learn()
    assert stored(tmp_path) == []


def test_a_checkpoint_that_does_not_fit_leaves_the_last_one_and_the_run_goes_on(
    tmp_path, monkeypatch
):
    experiment = started(tmp_path, epochs=2)
    write, calls = files.os.writev, []

    def full_in_the_second_epoch(descriptor, pieces):
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if experiment.epoch == 1 and "training_states" in name:
            calls.append(name)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, pieces)

    monkeypatch.setattr(os, "writev", full_in_the_second_epoch)
    with pytest.warns(AmagoWarning) as warned:
        experiment.learn()
    assert any("goes on without this checkpoint" in str(w.message) for w in warned)
    assert calls
    states = tmp_path / "small/ckpts/training_states"
    assert os.listdir(states) == ["small_epoch_0"]
    load_state(states / "small_epoch_0")


def test_a_batch_that_is_not_finite_changes_no_weight(tmp_path):
    experiment = started(tmp_path, epochs=1)
    before = {}

    def poisoned(batch, log_step):
        batch.rews[:] = float("nan")
        before["weights"] = digest(list(experiment.policy.trainable_params))
        metrics = original(batch, log_step)
        assert digest(list(experiment.policy.trainable_params)) == before["weights"]
        return metrics

    original, experiment.train_step = experiment.train_step, poisoned
    with pytest.warns(AmagoWarning, match="not finite"):
        experiment.learn()
    assert before


def test_training_that_diverges_ends_and_keeps_the_evidence(tmp_path):
    experiment = started(tmp_path, epochs=4, batches_per_update=1, max_bad_updates=2)

    def poisoned(batch, log_step):
        batch.rews[:] = float("nan")
        return original(batch, log_step)

    original, experiment.train_step = experiment.train_step, poisoned
    with pytest.warns(AmagoWarning), pytest.raises(DivergedError) as error:
        experiment.learn()
    evidence = tmp_path / "small" / "diverged-rank0"
    assert str(evidence) in "".join(error.value.__notes__)
    parts = load_state(evidence)
    assert torch.isnan(parts["batch"]["rews"]).all()
    assert parts["policy"].keys() == experiment.policy.state_dict().keys()


class Fragile(gym.Wrapper):
    """Breaks in its 30th step, once in its life."""

    steps = 0

    def step(self, action):
        self.steps += 1
        if self.steps == 30:
            raise RuntimeError("the simulator crashed")
        return super().step(action)


def test_an_environment_that_breaks_is_replaced_and_counted(tmp_path):
    def make_env():
        return AMAGOEnv(Fragile(gym.make("CartPole-v1", max_episode_steps=500)), "CartPole")

    experiment = started(tmp_path, make_train_env=make_env, epochs=2, val_interval=None)
    with pytest.warns(AmagoWarning, match="the simulator crashed"):
        experiment.learn()
    experiment.record.flush()
    rows = [row.data for row in read_rows(tmp_path / "small")]
    assert max(row.get("dataset/Environment Faults", 0) for row in rows) == 3
    dones = []
    for name in stored(tmp_path):
        if "-cut_" in name:
            with np.load(tmp_path / "buffer" / "buffer" / "fifo" / name) as traj:
                dones.append(traj["dones"].any())
    assert len(dones) == 3
    assert not any(dones)


def test_a_folder_that_cannot_be_made_is_told_before_any_environment_is(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((AmagoError, NotADirectoryError), match="file"):
        make_experiment(
            tmp_path,
            dataset=DiskTrajDataset(str(tmp_path / "file"), "buffer", dset_max_size=5),
            make_train_env=lambda: pytest.fail("an environment was made"),
        ).start()


def test_retention_keeps_the_newest_the_best_and_every_nth(tmp_path):
    experiment = started(tmp_path, epochs=6, ckpt_keep_last=1, ckpt_keep_every=4, val_interval=1)
    scores = iter([0.1, 0.9, 0.2, 0.3, 0.1, 0.4])

    def score():
        experiment.latest_score = next(scores)

    experiment.evaluate_val = score
    experiment.learn()
    kept = sorted(os.listdir(Path(experiment.ckpt_dir) / "training_states"))
    assert kept == ["small_epoch_0", "small_epoch_1", "small_epoch_4", "small_epoch_5"]
