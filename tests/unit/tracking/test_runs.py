"""Finding runs, and telling whether they are still going on."""

import os
import socket
import subprocess
import sys
import time

import pytest

from amago.tracking.claim import Claim, is_claimed
from amago.tracking.run import open_run
from amago.tracking.runs import find_runs
from amago.tracking.store import LocalRecord
from amago.tracking.values import to_line

HERE, ELSEWHERE = socket.gethostname(), "another-machine"


def make_run(folder) -> None:
    (folder / "tracking").mkdir(parents=True)
    (folder / "tracking" / "learner.jsonl").touch()


def write(folder, *entries, writer="learner") -> None:
    path = folder / "tracking" / f"{writer}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        file.writelines(map(to_line, entries))


def session(host: str, gen: int = 0, age: float = 1.0) -> dict:
    began = time.time() - age
    return {"kind": "session", "t": began, "step": gen, "gen": gen, "host": host}


def finish(status: str, gen: int = 0) -> dict:
    return {"kind": "finish", "t": time.time(), "step": 9, "gen": gen, "status": status}


def status(folder) -> str:
    with open_run(folder) as run:
        return run.status


def test_runs_are_found_at_and_below_the_roots(tmp_path):
    for name in ("a", "group/b", "group/deep/er/c"):
        make_run(tmp_path / name)
    (tmp_path / "group" / "tracking").mkdir()
    (tmp_path / "group" / "tracking" / "notes.txt").touch()
    expected = [tmp_path / name for name in ("a", "group/b", "group/deep/er/c")]
    assert find_runs([tmp_path]) == expected
    assert find_runs([str(tmp_path / "a"), tmp_path / "group"]) == expected
    assert find_runs([tmp_path / "missing"]) == []


@pytest.mark.parametrize("inside", [".hidden", "buffer", "a_run/collectors"])
def test_stored_trajectories_hidden_folders_and_runs_are_not_searched(tmp_path, inside):
    make_run(tmp_path / "a_run")
    make_run(tmp_path / inside / "b")
    assert find_runs([tmp_path]) == [tmp_path / "a_run"]


def test_a_link_that_leads_around_in_circles_is_not_followed(tmp_path):
    make_run(tmp_path / "group" / "a")
    (tmp_path / "group" / "again").symlink_to(tmp_path)
    assert find_runs([tmp_path]) == [tmp_path / "group" / "a"]


@pytest.mark.parametrize("ended", ["finished", "crashed", "stopped"])
def test_a_run_that_says_how_it_ended_is_believed(tmp_path, ended):
    write(tmp_path, session(HERE), finish(ended))
    assert status(tmp_path) == ended


def test_the_last_session_counts(tmp_path):
    write(tmp_path, session(HERE), finish("finished"), session(HERE, gen=1))
    assert status(tmp_path) == "crashed"
    write(tmp_path, finish("stopped", gen=1))
    assert status(tmp_path) == "stopped"


def test_a_word_that_is_no_status_counts_as_crashed(tmp_path):
    write(tmp_path, session(HERE), finish("<script>"))
    assert status(tmp_path) == "crashed"


WAITS = """
import sys
from amago.tracking.store import LocalRecord
record = LocalRecord(sys.argv[1])
record.log({"total_frames": 1})
assert record.flush()
print(flush=True)
sys.stdin.read()
"""


def test_a_live_process_makes_a_run_running_and_its_death_crashed(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", WAITS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child, open_run_when_ready(child, tmp_path) as run:
        assert run.status == "running"
        version = run.version
        child.kill()
        child.wait()
        assert run.refresh()
        assert run.status == "crashed"
        assert run.version > version


def open_run_when_ready(child, folder):
    assert child.stdout.readline()
    return open_run(folder)


def test_looking_at_a_claim_neither_takes_nor_breaks_it(tmp_path):
    """Closing a file drops every POSIX lock its process has on it."""
    path = tmp_path / "learner.jsonl"
    claim = Claim(path)
    assert is_claimed(path) is False
    assert claim.take()
    assert is_claimed(path) is True
    code = (
        "import sys; from pathlib import Path; from amago.tracking.claim import *;"
        "sys.exit(is_claimed(Path(sys.argv[1])) is not True or Claim(Path(sys.argv[1])).take())"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    claim.release()
    assert is_claimed(path) is False


def test_a_run_in_this_very_process_is_running(tmp_path):
    record = LocalRecord(tmp_path)
    record.log({"total_frames": 1})
    assert record.flush()
    assert status(tmp_path) == "running"
    record.finish("finished")
    assert status(tmp_path) == "finished"


@pytest.mark.parametrize(("age", "expected"), [(10, "running"), (3600, "crashed")])
def test_a_learner_elsewhere_lives_as_long_as_it_touches_its_lock(tmp_path, age, expected):
    write(tmp_path, session(ELSEWHERE, age=7200))
    lock = tmp_path / "learner.lock"
    lock.touch()
    os.utime(lock, (time.time() - age,) * 2)
    assert status(tmp_path) == expected


@pytest.mark.parametrize(
    ("entry_age", "file_age", "expected"),
    [(10, 10, "running"), (10, 3600, "crashed"), (3600, 10, "crashed")],
)
def test_a_process_elsewhere_without_a_lock_lives_while_it_writes(
    tmp_path, entry_age, file_age, expected
):
    """A copy has a young file with old entries."""
    write(tmp_path, session(ELSEWHERE, age=entry_age))
    file = tmp_path / "tracking" / "learner.jsonl"
    os.utime(file, (time.time() - file_age,) * 2)
    assert status(tmp_path) == expected


def test_where_locks_do_not_work_the_age_of_the_files_decides(tmp_path, monkeypatch):
    write(tmp_path, session(HERE))
    assert status(tmp_path) == "crashed"
    monkeypatch.setattr("amago.tracking.runs.is_claimed", lambda path: None)
    assert status(tmp_path) == "running"


def test_a_run_of_collectors_only_goes_on_while_one_does(tmp_path):
    write(tmp_path, session(HERE), finish("finished"), writer="collector-1")
    write(tmp_path, session(ELSEWHERE), writer="collector-2")
    assert status(tmp_path) == "running"
    write(tmp_path, finish("stopped"), writer="collector-2")
    assert status(tmp_path) == "stopped"


def test_the_learner_decides_whatever_its_collectors_do(tmp_path):
    write(tmp_path, session(HERE), finish("finished"))
    write(tmp_path, session(ELSEWHERE), writer="collector-1")
    assert status(tmp_path) == "finished"
