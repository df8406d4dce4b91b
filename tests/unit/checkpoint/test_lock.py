"""One live learner per run."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from amago.checkpoint.lock import LearnerLock
from amago.core.errors import ConfigError

HOLD = """
import sys
from amago.checkpoint.lock import LearnerLock
LearnerLock(sys.argv[1]).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def rewrite(path: Path, **changes: Any) -> None:
    """Make the lock say something else, as if another process had written it."""
    path.write_text(json.dumps({**json.loads(path.read_text()), "token": "other", **changes}))


def lock_of(folder: Path, **changes: Any) -> Path:
    """A lock of this very process under another token, with some fields changed."""
    lock = LearnerLock(folder)
    lock.acquire()
    lock._stop.set()
    rewrite(lock.path, **changes)
    return lock.path


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_lock_is_there_inside_the_block_only(tmp_path: Path):
    with LearnerLock(tmp_path / "run") as lock:
        assert lock.is_held
        assert json.loads(lock.path.read_text())["pid"] == os.getpid()
    assert not lock.path.exists()


def test_an_error_inside_the_block_gives_the_lock_back(tmp_path: Path):
    with pytest.raises(KeyError), LearnerLock(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_second_learner_is_refused_and_told_who_the_first_is(tmp_path: Path):
    with LearnerLock(tmp_path), pytest.raises(ConfigError, match=rf"process {os.getpid()} on "):
        LearnerLock(tmp_path).acquire()
    LearnerLock(tmp_path).acquire()


def test_taking_a_lock_twice_is_harmless(tmp_path: Path):
    lock = LearnerLock(tmp_path)
    lock.acquire()
    lock.acquire()
    lock.release()
    lock.release()
    assert not lock.path.exists()


def test_a_learner_in_another_process_is_refused_while_it_lives_and_replaced_when_killed(
    tmp_path: Path,
):
    program = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match=f"process {other.pid}"):
            LearnerLock(tmp_path).acquire()
        other.kill()
    with LearnerLock(tmp_path) as lock:
        assert lock.is_held


def test_a_later_process_of_the_same_number_does_not_keep_a_lock_alive(tmp_path: Path):
    lock_of(tmp_path, started=1)
    with LearnerLock(tmp_path) as lock:
        assert lock.is_held


def test_a_restarted_machine_frees_its_locks(tmp_path: Path):
    lock_of(tmp_path, boot_id="another boot")
    with LearnerLock(tmp_path) as lock:
        assert lock.is_held


@pytest.mark.parametrize("where", [{"host": "elsewhere"}, {"pid_namespace": "pid:[1]"}])
def test_the_lock_of_another_machine_is_judged_by_its_age(tmp_path: Path, where: dict[str, str]):
    path = lock_of(tmp_path, **where)
    age(path, 250.0)
    with pytest.raises(ConfigError, match="another learner is active"):
        LearnerLock(tmp_path, stale_after_s=300.0).acquire()
    age(path, 350.0)
    with LearnerLock(tmp_path, stale_after_s=300.0) as lock:
        assert lock.is_held


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_lock_that_cannot_be_read_is_judged_by_its_age(tmp_path: Path, content: str):
    path = tmp_path / "learner.lock"
    path.write_text(content)
    with pytest.raises(ConfigError, match="an unknown process"):
        LearnerLock(tmp_path).acquire()
    age(path, 1000.0)
    LearnerLock(tmp_path).acquire()


def test_a_held_lock_is_kept_fresh(tmp_path: Path):
    with LearnerLock(tmp_path, heartbeat_s=0.01) as lock:
        age(lock.path, 1000.0)
        deadline = time.monotonic() + 10.0
        while time.time() - lock.path.stat().st_mtime > 500.0:
            assert time.monotonic() < deadline, "the lock was never touched"


def test_a_lock_that_was_taken_over_is_not_given_back(tmp_path: Path):
    lock = LearnerLock(tmp_path)
    lock.acquire()
    rewrite(lock.path)
    assert not lock.is_held
    lock.release()
    assert lock.path.exists()


def test_a_lock_leaves_nothing_but_its_file(tmp_path: Path):
    path = lock_of(tmp_path, host="elsewhere")
    with pytest.raises(ConfigError):
        LearnerLock(tmp_path).acquire()
    assert list(tmp_path.iterdir()) == [path]


def test_the_lock_starts_without_torch():
    program = "import sys, amago.checkpoint.lock; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
