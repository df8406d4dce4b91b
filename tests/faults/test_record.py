"""The local record and its index when processes die, disks are full and locks do not work."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest
from filesystem import start_fork, wait_for

from amago.tracking import appender, claim
from amago.tracking.index import columns
from amago.tracking.index.database import FILE, IN_MEMORY
from amago.tracking.reader import read_events, read_rows
from amago.tracking.run import open_run
from amago.tracking.store import LocalRecord

ROWS = 3000


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def log(folder, count: int = ROWS) -> None:
    record = LocalRecord(folder)
    for i in range(count):
        record.log({"total_frames": i, "val/Return": float(i), "train/Loss": 1.0})
    record.finish("finished")


def check(folder) -> str:
    """Everything that was logged is there; returns where the index is."""
    with open_run(folder) as run:
        assert run.is_complete
        assert run.num_rows == ROWS
        assert run.series("val/Return", "total_frames").y.tolist() == list(range(ROWS))
        assert run.series("train/Loss", "Step").n == ROWS
        return run._index.place


LOGS = """
import sys, time
from amago.tracking.store import LocalRecord
record = LocalRecord(sys.argv[1])
values = {f"train/metric {i}": i * 0.5 for i in range(300)}
i = 0
while True:
    record.log({"total_frames": i, "train/logged at": time.time()} | values)
    i += 1
    if i == 1:
        record.flush()
        print(flush=True)
    time.sleep(0.005)
"""


@pytest.mark.slow
def test_kill_9_loses_a_second_at_most(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", LOGS, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline()
        with open_run(tmp_path) as run:
            while run.num_rows < 100:
                run.refresh()
            killed_at = time.time()
            child.kill()
            child.wait()
            run.refresh()
            frames = run.series("train/logged at", "Step")
            assert killed_at - frames.y[-1] < 1.0
            assert frames.x.tolist() == list(range(len(frames.x)))
            assert run.status == "crashed"


@pytest.mark.parametrize("at", [1, 3, 6])
def test_a_reader_that_is_killed_while_it_indexes_leaves_no_wrong_index(tmp_path, at):
    log(tmp_path)

    def index_and_die() -> None:
        done, real = [0], columns.append

        def append(*arguments) -> None:
            done[0] += 1
            if done[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)
            real(*arguments)

        columns.append = append
        open_run(tmp_path)

    assert wait_for(start_fork(index_and_die)) == -signal.SIGKILL
    assert check(tmp_path) == str(tmp_path / FILE)


def test_a_run_on_a_full_disk_can_be_read(tmp_path):
    """Neither the run's folder nor the cache has room for an index."""
    log(tmp_path)

    def read() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        assert check(tmp_path) == IN_MEMORY

    assert wait_for(start_fork(read)) == 0


def test_a_program_that_logs_faster_than_the_disk_writes_loses_nothing(tmp_path):
    log(tmp_path, 5000)
    assert [row.step for row in read_rows(tmp_path)] == list(range(5000))
    assert [event["kind"] for event in read_events(tmp_path)] == ["session", "finish"]


def test_a_disk_that_stands_still_holds_a_program_up_once(tmp_path, monkeypatch):
    moves = threading.Event()
    real = appender._write_all

    def stands_still(file, data) -> None:
        assert moves.wait(60)
        real(file, data)

    monkeypatch.setattr(appender, "_write_all", stands_still)
    record = LocalRecord(tmp_path, max_pending=3)
    monkeypatch.setattr(appender, "_PATIENCE_S", 0.01)
    for _ in range(4):
        record.log({"total_frames": 0})
    monkeypatch.setattr(appender, "_PATIENCE_S", 1e6)  # whoever waits again waits for days
    for _ in range(6):
        record.log({"total_frames": 0})
    moves.set()
    record.finish("finished")
    (gap,) = (event for event in read_events(tmp_path) if event["kind"] == "gap")
    assert gap["rows"] + len(list(read_rows(tmp_path))) == 10


def test_an_entry_that_cannot_be_written_down_costs_no_other(tmp_path):
    said = []
    record = LocalRecord(tmp_path, warn=said.append)
    for i in range(3):
        record.log({"total_frames": i, "val/a": 1.0})
        record._appender.put({"kind": "row", "step": i})  # not a row as `log` makes them
    record.finish("finished")
    assert [row.step for row in read_rows(tmp_path)] == [0, 1, 2]
    assert len(said) == 1
    assert "KeyError" in said[0]


def test_a_folder_without_locks_takes_a_record(tmp_path, monkeypatch):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(claim.fcntl, "lockf", no_locks)
    monkeypatch.setattr(claim.fcntl, "fcntl", no_locks)
    log(tmp_path)
    check(tmp_path)
    assert claim.is_claimed(tmp_path / "tracking" / "learner.jsonl") is None
