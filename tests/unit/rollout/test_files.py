"""Disks that are full, slow or broken, and clocks that step back."""

import errno
import itertools
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from amago.loading import load_traj_from_disk
from amago.loading.filenames import age_key, sequence_of, writer_of
from amago.rollout.recorder import Recorder


@pytest.fixture
def recorder(tmp_path, walks):
    """One with six trajectories that wait to be written."""
    recorder, world = Recorder(2, str(tmp_path / "fifo"), seed=4), walks(2)
    recorder.begin(world.reset())
    for _ in range(3):
        recorder.observe(world.step())
        recorder.observe(world.step(end=[0, 1]))
    return recorder


def files(recorder):
    return sorted(os.listdir(recorder.save_to), key=age_key)


def fail_from(call_number, code):
    """A system call that fails from its so-many-th call on."""
    calls = itertools.count(1)

    def wrap(real):
        def call(*args):
            if next(calls) >= call_number:
                raise OSError(code, os.strerror(code))
            return real(*args)

        return call

    return wrap


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EINTR, errno.EIO])
@pytest.mark.parametrize("call", ["writev", "rename", "close"])
def test_what_the_disk_refused_stays_queued_and_a_second_call_goes_on(
    recorder, monkeypatch, code, call
):
    expected = [item.traj.obs["x"].tolist() for item in recorder.finished]
    with monkeypatch.context() as broken:
        broken.setattr(os, call, fail_from(3, code)(getattr(os, call)))
        with pytest.raises(OSError, match=os.strerror(code)):
            recorder.save_finished()
    assert len(files(recorder)) == 2
    assert len(recorder.finished) == 4
    assert recorder.save_finished() == 4
    found = [load_traj_from_disk(f"{recorder.save_to}/{name}") for name in files(recorder)]
    assert [traj.obs["x"].tolist() for traj in found] == expected


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_them_all(recorder, monkeypatch):
    real = os.writev
    monkeypatch.setattr(os, "writev", lambda fd, pieces: real(fd, [bytes(pieces[0][:100])]))
    assert recorder.save_finished() == 6
    for name in files(recorder):
        assert len(load_traj_from_disk(f"{recorder.save_to}/{name}").rews) == 2


def test_a_disk_that_is_full_in_the_middle_of_a_file_shows_no_part_of_it(recorder, monkeypatch):
    real, written = os.writev, []

    def fills_up(descriptor, pieces):
        if written:
            raise OSError(errno.ENOSPC, "no space left on device")
        written.append(real(descriptor, [bytes(pieces[0][:10])]))
        return written[0]

    with monkeypatch.context() as full:
        full.setattr(os, "writev", fills_up)
        with pytest.raises(OSError, match="no space"):
            recorder.save_finished()
    assert os.listdir(recorder.save_to) == []
    assert recorder.save_finished() == 6


def test_saving_on_done_that_fails_has_taken_the_step(recorder, walks, monkeypatch):
    recorder.save_finished()
    recorder.save_on_done = True
    world = walks(2)
    recorder.begin(world.reset())
    with monkeypatch.context() as broken:
        broken.setattr(os, "writev", fail_from(1, errno.ENOSPC)(os.writev))
        with pytest.raises(OSError, match="space"):
            recorder.observe(world.step(end=[0]))
    recorder.observe(world.step(end=[1]))
    assert len(files(recorder)) == 6 + 2


@pytest.mark.slow  # starts a program
def test_a_limit_on_file_sizes_refuses_a_file_and_lifting_it_goes_on(tmp_path):
    program = """
        import os, resource, sys
        import numpy as np
        from amago.hindsight import FrozenTraj
        from amago.rollout.files import FinishedTraj
        from amago.rollout.recorder import Recorder

        def traj(length):
            column = np.zeros((length, 1), np.float32)
            rest = column[1:]
            return FrozenTraj(
                {"x": column}, np.zeros((length, 2), np.float32), np.zeros((length, 1), np.int64),
                rest, rest.astype(bool), rest,
            )

        recorder = Recorder(1, sys.argv[1])
        for length in (10, 10_000, 10):
            item = FinishedTraj(traj(length), "env", 0, np.dtype(np.uint8))
            recorder.finished.append(item)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        try:
            recorder.save_finished()
        except OSError as error:
            print(error.strerror, len(os.listdir(sys.argv[1])), len(recorder.finished))
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        print(recorder.save_finished(), len(os.listdir(sys.argv[1])))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.splitlines() == ["File too large 1 2", "2 3"]


# --------------------------------------------------------------------------------------- sync


@pytest.fixture
def synced(monkeypatch):
    """Names of what was synced, as it happens."""
    names, real = [], os.fsync

    def fsync(descriptor):
        names.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        return real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return names


def test_a_sync_covers_the_files_since_the_last_one_and_then_their_directory(
    recorder, walks, synced
):
    recorder.save_finished()
    assert synced == []
    first = files(recorder)
    recorder.sync()
    assert synced == [*first, "fifo"]
    recorder.sync()
    assert synced == [*first, "fifo"]
    recorder.observe(walks(2).step(end=[0]))
    recorder.save_finished()
    recorder.sync()
    assert synced[7:] == [files(recorder)[-1], "fifo"]


def test_files_of_other_writers_and_evicted_ones_are_left_alone(recorder, walks, synced):
    other, world = Recorder(1, recorder.save_to, seed=9), walks(1)
    other.begin(world.reset())
    other.observe(world.step(end=[0]))
    other.save_finished()
    recorder.save_finished()
    own = [name for name in files(recorder) if writer_of(name) == f"{recorder.writer:08x}"]
    os.unlink(f"{recorder.save_to}/{own.pop(2)}")
    recorder.sync()
    assert synced == [*own, "fifo"]


def test_a_file_evicted_during_a_sync_is_no_error(recorder, monkeypatch, synced):
    recorder.save_finished()
    listed = os.listdir(recorder.save_to)
    os.unlink(f"{recorder.save_to}/{listed[0]}")
    monkeypatch.setattr(os, "listdir", lambda path: listed)
    recorder.sync()
    assert sorted(synced) == sorted([*listed[1:], "fifo"])


def test_a_file_that_could_not_be_synced_is_gone_and_the_others_follow(
    recorder, monkeypatch, synced
):
    recorder.save_finished()
    names = files(recorder)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail_from(3, errno.EIO)(os.fsync))
        with pytest.raises(OSError, match=os.strerror(errno.EIO)) as raised:
            recorder.sync()
    assert names[2] in raised.value.__notes__[0]
    assert files(recorder) == names[:2] + names[3:]
    recorder.sync()
    assert synced == [*names[:2], *names[3:], "fifo"]


def test_a_recorder_that_writes_nothing_has_nothing_to_sync():
    recorder = Recorder(1, None)
    recorder.sync()
    assert recorder.save_finished() == 0


def test_the_writer_is_the_one_in_the_file_names(recorder):
    recorder.save_finished()
    assert {writer_of(name) for name in files(recorder)} == {f"{recorder.writer:08x}"}


# -------------------------------------------------------------------------------------- clock


def test_a_clock_that_steps_back_changes_no_order(recorder, monkeypatch):
    times = iter([500.0, 400.0, 600.0, 100.0, 100.0, 0.0])
    monkeypatch.setattr("time.time", lambda: next(times))
    expected = [item.traj.obs["x"].tolist() for item in recorder.finished]
    recorder.save_finished()
    paths = [f"{recorder.save_to}/{name}" for name in os.listdir(recorder.save_to)]
    in_order = [load_traj_from_disk(path) for path in sorted(paths, key=age_key)]
    assert [traj.obs["x"].tolist() for traj in in_order] == expected


# ------------------------------------------------------------------------------------ lengths


def test_episodes_of_one_step_are_files_of_two_timesteps(tmp_path, walks):
    recorder, world = Recorder(3, str(tmp_path)), walks(3)
    recorder.begin(world.reset())
    for _ in range(300):
        recorder.observe(world.step(end=[0, 1, 2]))
    assert {len(item.traj.time_idxs) for item in recorder.finished} == {2}
    assert recorder.save_finished() == 900
    assert sorted(map(sequence_of, os.listdir(tmp_path))) == list(range(1, 901))
    assert recorder._columns.capacity == 128


def test_an_episode_of_ten_thousand_steps_is_one_file(tmp_path, walks):
    recorder, world = Recorder(2, str(tmp_path)), walks(2)
    recorder.begin(world.reset())
    for _ in range(9_999):
        recorder.observe(world.step())
    recorder.observe(world.step(end=[0, 1]))
    assert recorder.save_finished() == 2
    for name in os.listdir(tmp_path):
        traj = load_traj_from_disk(str(tmp_path / name))
        np.testing.assert_array_equal(traj.time_idxs[:, 0], np.arange(10_001))
        assert traj.dones[-1, 0]
