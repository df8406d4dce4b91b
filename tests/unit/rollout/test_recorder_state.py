"""Trajectories that a fault cut off, and recorders that go on in another process."""

import os
from dataclasses import replace

import numpy as np
import pytest

from amago.core.errors import AmagoWarning
from amago.loading import load_traj_from_disk
from amago.loading.filenames import age_key, is_cut, sequence_of
from amago.rollout.columns import pack, unpack
from amago.rollout.recorder import Recorder


def assert_equal(one, other):
    """Nested values are the same, bit for bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other


def contents(directory):
    """What the files hold, in order of age; names without the time in them."""
    names = sorted(os.listdir(directory), key=age_key)
    trajs = [load_traj_from_disk(str(directory / name)).to_dict() for name in names]
    return [name.rsplit("_", 1)[0] for name in names], trajs


# --------------------------------------------------------------------------- interrupted rows


def test_a_fault_ends_a_trajectory_at_the_last_step_that_was_seen(tmp_path, walks):
    recorder, world = Recorder(2, str(tmp_path)), walks(2)
    recorder.begin(world.reset())
    for _ in range(3):
        recorder.observe(world.step())
    (item,) = recorder.observe(world.step(cut=[0]))
    assert item.was_cut
    assert item.env_name == "w0e0"
    assert item.traj.time_idxs[:, 0].tolist() == [0, 1, 2, 3]
    assert not item.traj.dones.any()
    recorder.observe(world.step(end=[0, 1]))
    after, other = [x for x in recorder.finished if not x.was_cut]
    assert after.traj.obs["x"][:, 0].tolist() == [100, 101]
    assert after.env_name == "w0e1"
    assert other.traj.time_idxs[:, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_the_file_name_says_that_a_trajectory_was_cut(tmp_path, walks):
    recorder, world = Recorder(2, str(tmp_path)), walks(2)
    recorder.begin(world.reset())
    recorder.observe(world.step())
    recorder.observe(world.step(cut=[1]))
    recorder.observe(world.step(end=[0]))
    recorder.save_finished()
    first, second = sorted(os.listdir(tmp_path), key=age_key)
    assert is_cut(first)
    assert "-L2-cut_" in first
    assert not is_cut(second)
    assert [sequence_of(first), sequence_of(second)] == [1, 2]


def test_an_episode_that_had_no_transition_leaves_nothing(tmp_path, walks):
    recorder, world = Recorder(2, str(tmp_path)), walks(2)
    recorder.begin(world.reset())
    assert recorder.observe(world.step(cut=[0, 1])) == []
    assert recorder.observe(world.step(cut=[0])) == []
    assert recorder.active(1).time_idxs[:, 0].tolist() == [0, 1]


def test_faults_do_not_disturb_files_that_are_split(tmp_path, walks):
    recorder, world = Recorder(1, str(tmp_path), (3, 3)), walks(1)
    recorder.begin(world.reset())
    for _ in range(4):
        recorder.observe(world.step())
    recorder.observe(world.step(cut=[0]))
    for _ in range(3):
        recorder.observe(world.step())
    times = [(x.was_cut, x.traj.time_idxs[:, 0].tolist()) for x in recorder.finished]
    assert times == [(False, [0, 1, 2, 3]), (True, [3, 4]), (False, [0, 1, 2, 3])]


# ------------------------------------------------------------------------------------- state


def steps_of(world, seed, num_steps):
    """Steps in which episodes end, and sometimes are cut, at random."""
    draws = np.random.default_rng(seed)
    for _ in range(num_steps):
        chance = draws.random(world.n)
        end, cut = np.flatnonzero(chance < 0.05), np.flatnonzero(chance > 0.98)
        yield world.step(end=end.tolist(), cut=cut.tolist())


def standing_still(step):
    """The same moment, as a pool gives it that was brought back there."""
    nowhere = np.zeros(len(step.reward), bool)
    flags = dict.fromkeys(("terminated", "truncated", "started", "stepped"), nowhere)
    return replace(step, **flags, interrupted=nowhere)


@pytest.mark.parametrize("stop_after", [0, 1, 40, 50, 130])
@pytest.mark.parametrize("save_as", ["npz", "npz-compressed"])
def test_another_recorder_goes_on_exactly(tmp_path, walks, through_checkpoint, stop_after, save_as):
    def run(directory, stop_after=None):
        def make():
            return Recorder(4, str(directory), save_every=(20, 60), seed=5, save_as=save_as)

        recorder, world = make(), walks(4)
        latest = world.reset()
        recorder.begin(latest)
        for i, step in enumerate(steps_of(world, seed=1, num_steps=200)):
            if i == stop_after:
                state = through_checkpoint(recorder.state_dict())
                recorder = make()
                recorder.load_state_dict(state)
                recorder.observe(standing_still(latest))
            recorder.observe(step)
            latest = step
            if i % 50 == 49:
                recorder.save_finished()
        return [*contents(directory), recorder.state_dict()]

    assert_equal(run(tmp_path / "parts", stop_after), run(tmp_path / "whole"))


def test_a_state_holds_still_while_recording_goes_on(tmp_path, walks, through_checkpoint):
    recorder, world = Recorder(2, str(tmp_path), (3, 9)), walks(2)
    recorder.begin(world.reset())
    for step in steps_of(world, 0, 50):
        recorder.observe(step)
    state = recorder.state_dict()
    kept = through_checkpoint(state)
    for step in steps_of(world, 1, 100):
        recorder.observe(step)
    recorder.save_finished()
    assert_equal(state, kept)


def test_a_row_that_cannot_be_brought_back_leaves_a_trajectory_that_was_cut(tmp_path, walks):
    first, world = Recorder(2, str(tmp_path)), walks(2)
    first.begin(world.reset())
    for _ in range(3):
        first.observe(world.step())
    second = Recorder(2, str(tmp_path))
    second.load_state_dict(first.state_dict())
    (item,) = second.observe(world.resume(cut=[1]))
    assert (item.row, item.was_cut, item.env_name) == (1, True, "w1e0")
    assert item.traj.time_idxs[:, 0].tolist() == [0, 1, 2, 3]
    assert second.active(0).time_idxs[:, 0].tolist() == [0, 1, 2, 3]
    assert second.active(1).obs["x"][:, 0].tolist() == [1100]


def test_rows_between_two_episodes_are_saved_as_such(tmp_path, walks):
    first, world = Recorder(1, str(tmp_path)), walks(1)
    first.begin(world.reset())
    ended = world.step(end=[0])
    ended.started[:] = False  # it is reset in the step after
    first.observe(ended)
    second = Recorder(1, str(tmp_path))
    second.load_state_dict(first.state_dict())
    second.observe(world.resume())
    assert second.active(0) is None
    assert second.state_dict()["num_begun"].tolist() == [1]
    second.observe(world.reset())
    assert len(second.active(0).time_idxs) == 1


def test_loading_does_not_number_files_by_what_came_later(tmp_path, walks):
    first, world = Recorder(1, str(tmp_path), seed=3), walks(1)
    first.begin(world.reset())
    first.observe(world.step(end=[0]))
    first.save_finished()
    state = first.state_dict()
    first.observe(world.step(end=[0]))
    first.save_finished()
    second = Recorder(1, str(tmp_path), seed=3)
    second.load_state_dict(state)
    second.observe(world.resume())
    (later,) = [name for name in os.listdir(tmp_path) if sequence_of(name) == 2]
    (tmp_path / later).unlink()  # what a run that resumes does before it collects
    second.observe(world.step(end=[0]))
    second.save_finished()
    assert sorted(sequence_of(name) for name in os.listdir(tmp_path)) == [1, 2]


def test_another_number_of_environments_keeps_the_queue_and_drops_the_rest(tmp_path, walks):
    first, world = Recorder(2, str(tmp_path)), walks(2)
    first.begin(world.reset())
    first.observe(world.step(end=[0]))
    second = Recorder(3, str(tmp_path))
    with pytest.warns(AmagoWarning, match=r"1 unfinished .* of 2 environments, .* has 3"):
        second.load_state_dict(first.state_dict())
    assert not second.has_begun
    second.begin(walks(3).reset())
    assert second.save_finished() == 1


def test_what_was_never_recorded_has_nothing_to_go_on_with(tmp_path, walks):
    silent, world = Recorder(1, None), walks(1)
    silent.begin(world.reset())
    silent.observe(world.step())
    recorder = Recorder(1, str(tmp_path))
    recorder.load_state_dict(silent.state_dict())
    assert not recorder.has_begun
    recorder.begin(world.resume())
    recorder.observe(world.step(end=[0]))
    assert recorder.finished[0].traj.time_idxs[:, 0].tolist() == [1, 2]
    silent.load_state_dict(recorder.state_dict())
    assert not silent.finished


def test_packed_arrays_come_apart_as_they_were():
    records = [{"a": np.arange(n), "b": np.zeros((n + 1, 2), np.uint8)} for n in (3, 0, 1)]
    assert_equal(unpack(pack(records)), records)
    assert unpack(pack([])) == []


def test_a_row_can_be_split_by_hand(tmp_path, walks):
    recorder, world = Recorder(2, str(tmp_path)), walks(2)
    recorder.begin(world.reset())
    recorder.observe(world.step())
    recorder.observe(world.step())
    (item,) = recorder.split_row(1, walks(1).reset().timestep)
    assert item.traj.time_idxs[:, 0].tolist() == [0, 1, 2]
    recorder.observe(world.step(end=[1]))
    assert recorder.finished[1].traj.time_idxs[:, 0].tolist() == [0, 3]
    assert recorder.active(0).time_idxs[:, 0].tolist() == [0, 1, 2, 3]
