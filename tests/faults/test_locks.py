"""One learner per run, whatever dies, refuses or jumps."""

import errno
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from filesystem import Disk, killed_at, operations_of, start_fork, wait_for
from small_run import make_experiment

from amago.checkpoint.lock import LearnerLock
from amago.core.errors import ConfigError


def take_and_release(folder: Path) -> None:
    with LearnerLock(folder):
        pass


def take(folder: Path) -> None:
    LearnerLock(folder).acquire()


class Holder:
    """A process that takes the lock, says so, and stays alive until it is told to end or killed."""

    def __init__(self, folder: Path) -> None:
        self._says, says = os.pipe()
        waits, self._tells = os.pipe()

        def hold() -> None:
            os.close(self._tells)
            take(folder)
            os.write(says, b"held")
            os.read(waits, 1)  # until the other end is closed

        self.pid = start_fork(hold)
        os.close(says)
        os.close(waits)
        assert os.read(self._says, 4) == b"held"

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert wait_for(self.pid) == -signal.SIGKILL
        self._close()

    def end(self) -> None:
        self._close()
        assert wait_for(self.pid) == 0

    def _close(self) -> None:
        os.close(self._tells)
        os.close(self._says)


def test_a_learner_in_another_process_is_refused_until_that_one_is_dead(tmp_path: Path):
    first = Holder(tmp_path)
    with pytest.raises(ConfigError, match=f"process {first.pid}"):
        take(tmp_path)
    first.kill()
    take_and_release(tmp_path)


def test_a_learner_that_is_dead_but_not_yet_collected_by_its_parent_is_dead(tmp_path: Path):
    first = Holder(tmp_path)
    os.kill(first.pid, signal.SIGKILL)
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    take_and_release(tmp_path)
    assert psutil.Process(first.pid).status() == psutil.STATUS_ZOMBIE  # it was one all the time
    first.kill()


def test_a_learner_that_is_stopped_for_a_while_keeps_its_lock(tmp_path: Path):
    first = Holder(tmp_path)
    os.kill(first.pid, signal.SIGSTOP)
    with pytest.raises(ConfigError, match="another learner is active"):
        take(tmp_path)
    os.kill(first.pid, signal.SIGCONT)
    first.end()


def test_of_many_learners_that_find_a_dead_one_s_lock_one_takes_it(tmp_path: Path):
    Holder(tmp_path).kill()
    gate, opens = os.pipe()
    says, say = os.pipe()

    def compete() -> None:
        os.close(opens)
        os.read(gate, 1)  # all of them go on when the parent closes its end
        try:
            take(tmp_path)
            os.write(say, b"+")
        except ConfigError:
            os.write(say, b"-")
        os.read(end, 1)  # stay alive: nobody may take over from a winner that has ended

    end, ends = os.pipe()
    competitors = [start_fork(compete) for _ in range(6)]
    os.close(opens)
    answers = b"".join(os.read(says, 1) for _ in competitors)
    for pid in competitors:
        os.kill(pid, signal.SIGKILL)
        wait_for(pid)
    for descriptor in (gate, says, say, end, ends):
        os.close(descriptor)
    assert sorted(answers) == sorted(b"+-----")


def test_only_learners_are_refused_where_another_learns(tmp_path: Path):
    def experiment(**settings: Any) -> Any:
        made = make_experiment(tmp_path, epochs=2, **settings)
        made.start()
        return made

    first = Holder(tmp_path / "small")
    collector = experiment(train_batches_per_epoch=0, ckpt_interval=None)
    collector.learn()
    assert collector.x_axis_metrics()["total_frames"] > 0
    reader = experiment()
    assert not reader.resume()
    reader.evaluate_test(reader.make_val_env, timesteps=5)
    with pytest.raises(ConfigError, match=f"process {first.pid}"):
        reader.learn()
    first.end()
    for one in (collector, reader):
        one.close()


# ------------------------------------------------------------------------------------ the disk


@pytest.mark.parametrize(
    "error", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EIO], ids=errno.errorcode.get
)
def test_a_folder_that_cannot_be_written_to_is_said_and_nothing_is_left(tmp_path: Path, error: int):
    def refuses(lock: LearnerLock, operation: int) -> bool:
        with Disk(lock.path.parent) as disk:
            disk.fail_at(operation, error)
            try:
                lock.acquire()
                return False
            except ConfigError as refused:
                for part in (str(lock.path), os.strerror(error), "choose a ckpt_base_dir"):
                    assert part in str(refused)  # noqa: PT017  (a late failure does not matter)
                return True

    counted = LearnerLock(tmp_path / "count")
    total = len(operations_of(counted.acquire, tmp_path))
    counted.release()
    refusals = 0
    for operation in range(1, total + 1):
        lock = LearnerLock(tmp_path / str(operation))
        if refuses(lock, operation):
            refusals += 1
        else:
            lock.release()
        take_and_release(lock.path.parent)
        assert list(lock.path.parent.iterdir()) == []
    assert refusals >= 4


def test_a_learner_killed_at_any_operation_leaves_no_lock_that_counts(tmp_path: Path):
    total = len(operations_of(lambda: take_and_release(tmp_path / "count"), tmp_path))
    for operation in range(1, total + 1):
        folder = tmp_path / str(operation)
        assert killed_at(operation, lambda here=folder: take_and_release(here), folder)
        take_and_release(folder)
        assert list(folder.iterdir()) == []


def test_a_learner_killed_while_it_takes_over_leaves_the_lock_free(tmp_path: Path):
    def abandon(folder: Path) -> None:
        Holder(folder).kill()

    abandon(tmp_path / "count")
    total = len(operations_of(lambda: take_and_release(tmp_path / "count"), tmp_path))
    for operation in range(1, total + 1):
        folder = tmp_path / str(operation)
        abandon(folder)
        assert killed_at(operation, lambda here=folder: take_and_release(here), folder)
        take_and_release(folder)
        assert list(folder.iterdir()) == []


def test_a_file_system_without_hard_links_has_locks_too(tmp_path: Path, monkeypatch):
    def refuse(*args: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    with LearnerLock(tmp_path):
        assert json.loads((tmp_path / "learner.lock").read_text())["pid"] == os.getpid()
        with pytest.raises(ConfigError, match="another learner is active"):
            take(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_at_the_end_does_not_hide_why_the_run_ended(tmp_path: Path):
    def learn(disk: Disk) -> None:
        with LearnerLock(tmp_path):
            disk.fail_at(1, errno.EROFS)
            raise KeyError

    with Disk(tmp_path) as disk, pytest.raises(KeyError):
        learn(disk)


def test_a_lock_that_another_took_meanwhile_stays_the_other_s(tmp_path: Path):
    lock = LearnerLock(tmp_path)
    lock.acquire()
    lock.path.unlink()
    with LearnerLock(tmp_path) as other:
        lock.release()
        assert other.is_held


# ----------------------------------------------------------------------------------- the clock


def elsewhere(folder: Path, age_s: float) -> Path:
    """The lock of another machine, last touched so long ago by the file system's clock."""
    lock = LearnerLock(folder)
    lock.acquire()
    lock._stop.set()
    owner = {**json.loads(lock.path.read_text()), "host": "elsewhere", "token": "other"}
    lock.path.write_text(json.dumps(owner))
    touched = lock.path.stat().st_mtime - age_s
    os.utime(lock.path, (touched, touched))
    return lock.path


YEAR_S = 3.15e7
REAL_TIME = time.time


@pytest.mark.parametrize(
    "clock",
    [lambda: 0.0, lambda: 2 * YEAR_S, lambda: REAL_TIME() - YEAR_S, lambda: REAL_TIME() + YEAR_S],
    ids=["begins again", "long ago", "backwards", "ahead"],
)
def test_a_clock_that_jumps_changes_nobody_s_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Callable[[], float]
):
    first = Holder(tmp_path / "here")
    elsewhere(tmp_path / "fresh", age_s=10.0)
    elsewhere(tmp_path / "stale", age_s=1000.0)
    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(time, "time_ns", lambda: int(clock() * 1e9))
    for name in ("here", "fresh"):
        with pytest.raises(ConfigError, match="another learner is active"):
            take(tmp_path / name)
    take_and_release(tmp_path / "stale")
    first.end()
