import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from amago.core.values import Histogram
from amago.tracking.reader import read_events, read_rows
from amago.tracking.store import LocalRecord

ROW = {"total_frames": 10, "Epoch": 1, "gradient_steps": 5, "train/Loss": 0.5}


def raise_(text: str) -> None:
    raise AssertionError(text)


def record(tmp_path, **options) -> LocalRecord:
    return LocalRecord(tmp_path, **{"warn": raise_, **options})


def steps(tmp_path) -> list[tuple[int, int]]:
    return [(row.generation, row.step) for row in read_rows(tmp_path)]


def log_session(tmp_path, rows: int, resume_at: int | None = None) -> None:
    session = record(tmp_path)
    if resume_at is not None:
        session.resume_at(resume_at)
    for _ in range(rows):
        session.log(ROW)
    session.finish("finished")


def test_nothing_is_written_before_the_first_row(tmp_path):
    local = record(tmp_path)
    local.config({"gamma": 0.9})
    local.finish("finished")
    assert list(tmp_path.iterdir()) == []


def test_a_row_comes_back_with_all_its_axes(tmp_path):
    local = record(tmp_path)
    local.log(ROW | {"total_frames-a/b": 10, "val/Average Total Return in a/b": 2})
    local.finish("finished")
    (row,) = read_rows(tmp_path)
    assert row.axes == {"total_frames": 10, "Epoch": 1, "gradient_steps": 5, "total_frames-a/b": 10}
    assert row.data == {"train/Loss": 0.5, "val/Average Total Return in a/b": 2}
    assert (row.writer, row.generation, row.step) == ("learner", 0, 0)


def test_values_json_lacks_survive_as_valid_json(tmp_path):
    local = record(tmp_path)
    histogram = Histogram(np.array([1, 2]), np.array([0.0, 0.5, np.inf]))
    local.log({"train/n": float("nan"), "train/i": -np.inf, "train/h": histogram, "train/t": "hi"})
    local.finish("finished")
    for line in local.path.read_text().splitlines():
        json.loads(line, parse_constant=lambda name: raise_(name))
    (row,) = read_rows(tmp_path)
    assert np.isnan(row.data["train/n"])
    assert row.data["train/i"] == -np.inf
    assert row.data["train/t"] == "hi"
    np.testing.assert_array_equal(row.data["train/h"].counts, [1, 2])
    np.testing.assert_array_equal(row.data["train/h"].edges, [0.0, 0.5, np.inf])


@pytest.mark.parametrize("name", ["a\nb", "<script>", '"', "\ud800", "\u202e", "\u2028", "../x"])
def test_hostile_names_are_just_text(tmp_path, name):
    local = record(tmp_path, writer=name)
    local.log({"total_frames": 1, f"val/{name}": 1.0})
    local.finish("finished")
    (row,) = read_rows(tmp_path)
    assert row.data == {f"val/{name}": 1.0}
    assert local.path.parent == tmp_path / "tracking"


def test_the_session_line_tells_command_place_versions_and_settings(tmp_path):
    local = record(tmp_path, facts={"seed": 3})
    local.config({"gamma": 0.9, "api_key": "hidden"})
    local.log(ROW)
    local.finish("crashed")
    session, finish = read_events(tmp_path)
    assert session["kind"] == "session"
    assert session["schema"] == 1
    assert session["seed"] == 3
    assert session["config"] == {"gamma": 0.9, "api_key": "[redacted]"}
    assert session["pid"] == os.getpid()
    assert session["versions"]["numpy"] == np.__version__
    assert {"command", "cwd", "host", "python", "git", "environment", "t"} <= session.keys()
    assert (finish["kind"], finish["status"], finish["step"]) == ("finish", "crashed", 1)


def test_a_second_session_goes_on_and_says_what_changed(tmp_path):
    for gamma in (0.9, 0.99):
        local = record(tmp_path)
        local.config({"agent": {"gamma": gamma}, "batch": 4})
        local.log(ROW)
        local.finish("finished")
    sessions = [event for event in read_events(tmp_path) if event["kind"] == "session"]
    assert [session["gen"] for session in sessions] == [0, 1]
    assert sessions[1]["changes"] == {"agent.gamma": [0.9, 0.99]}
    assert steps(tmp_path) == [(0, 0), (1, 1)]


def test_a_resume_supersedes_the_rows_after_its_checkpoint(tmp_path):
    log_session(tmp_path, rows=5)
    log_session(tmp_path, rows=2, resume_at=3)
    assert steps(tmp_path) == [(0, 0), (0, 1), (0, 2), (1, 3), (1, 4)]
    assert len(list((tmp_path / "tracking").glob("*.jsonl"))) == 1


def test_an_earlier_checkpoint_supersedes_every_generation_after_it(tmp_path):
    log_session(tmp_path, rows=5)
    log_session(tmp_path, rows=3, resume_at=4)
    log_session(tmp_path, rows=1, resume_at=2)
    assert steps(tmp_path) == [(0, 0), (0, 1), (2, 2)]


def test_a_resume_within_a_process_starts_a_new_generation(tmp_path):
    local = record(tmp_path)
    local.log(ROW)
    local.log(ROW)
    local.resume_at(1)
    assert local.step == 1
    local.log(ROW)
    local.finish("finished")
    assert steps(tmp_path) == [(0, 0), (1, 1)]


def test_step_is_where_the_next_row_goes(tmp_path):
    log_session(tmp_path, rows=4)
    local = record(tmp_path)
    assert local.step == 4
    local.log(ROW)
    assert local.step == 5
    local.finish("finished")


def test_rows_of_several_writers_come_in_the_order_of_time(tmp_path):
    writers = [record(tmp_path, writer=name) for name in ("learner", "collector-1")]
    for _ in range(2):
        for writer in writers:
            writer.log(ROW)
    for writer in writers:
        writer.finish("finished")
    rows = list(read_rows(tmp_path))
    assert [row.time for row in rows] == sorted(row.time for row in rows)
    assert sorted((row.writer, row.step) for row in rows) == [
        *(("collector-1", 0), ("collector-1", 1), ("learner", 0), ("learner", 1)),
    ]


def test_a_torn_line_is_ignored_and_nothing_is_lost_after_it(tmp_path):
    log_session(tmp_path, rows=2)
    path = tmp_path / "tracking" / "learner.jsonl"
    with open(path, "ab") as file:
        file.write(b'{"kind":"row","t":1,"step":2,"gen":0,"axes":{"total_fr')
    assert steps(tmp_path) == [(0, 0), (0, 1)]
    log_session(tmp_path, rows=1)
    assert steps(tmp_path) == [(0, 0), (0, 1), (1, 2)]


def test_a_session_line_that_was_torn_supersedes_nothing(tmp_path):
    log_session(tmp_path, rows=2)
    with open(tmp_path / "tracking" / "learner.jsonl", "ab") as file:
        file.write(b'{"kind":"session","t":1,"step":0,"gen":1,"sch')
    log_session(tmp_path, rows=1)
    assert steps(tmp_path) == [(0, 0), (0, 1), (1, 2)]


def test_a_row_logged_after_finish_is_kept(tmp_path):
    local = record(tmp_path)
    local.log(ROW)
    local.finish("finished")
    local.log(ROW)
    local.finish("finished")
    assert steps(tmp_path) == [(0, 0), (0, 1)]


def test_a_row_is_cheap_for_the_caller(tmp_path):
    local = record(tmp_path, max_pending=10_000)
    row = ROW | {f"train/some metric with a long name {i}": i * 0.1 for i in range(300)}
    local.log(row)
    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        local.log(row)
        seconds.append(time.perf_counter() - start)
    local.finish("finished")
    assert np.median(seconds) < 0.5e-3
    assert len(steps(tmp_path)) == 201


def log_elsewhere(tmp_path) -> None:
    code = "import sys; from amago.tracking.store import LocalRecord as R; R(sys.argv[1]).log({})"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_a_second_live_process_gets_a_file_of_its_own(tmp_path):
    """It would otherwise open a generation that supersedes the learner's next rows."""
    learner = record(tmp_path)
    learner.log(ROW)
    assert learner.flush()
    log_elsewhere(tmp_path)
    learner.log(ROW)
    learner.finish("finished")
    rows = list(read_rows(tmp_path))
    assert [(r.generation, r.step) for r in rows if r.writer == "learner"] == [(0, 0), (0, 1)]
    (other,) = {row.writer for row in rows} - {"learner"}
    assert other.startswith("learner-")


def test_a_process_that_comes_later_continues_the_file(tmp_path):
    log_session(tmp_path, rows=1)
    log_elsewhere(tmp_path)
    assert [(row.writer, row.generation, row.step) for row in read_rows(tmp_path)] == [
        *(("learner", 0, 0), ("learner", 1, 1))
    ]


KILLED = """
import os, signal, sys
from amago.tracking.store import LocalRecord
record = LocalRecord(sys.argv[1])
for i in range(300):
    record.log({"total_frames": i, "train/Loss": 0.1})
assert record.flush()
for i in range(300, 320):
    record.log({"total_frames": i, "train/Loss": 0.1})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_kill_9_loses_no_row_older_than_the_last_flush(tmp_path):
    child = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert child.returncode == -signal.SIGKILL
    frames = [row.axes["total_frames"] for row in read_rows(tmp_path)]
    assert frames == list(range(len(frames)))
    assert 300 <= len(frames) <= 320


ENDS = """
import sys
from amago.tracking.store import LocalRecord
record = LocalRecord(sys.argv[1])
record.log({"total_frames": 1})
exec(sys.argv[2])
"""


@pytest.mark.parametrize(
    ("last_words", "status"),
    [("pass", "finished"), ("1 / 0", "crashed"), ("raise KeyboardInterrupt", "stopped")],
)
def test_a_process_that_just_ends_leaves_a_complete_record(tmp_path, last_words, status):
    command = [sys.executable, "-c", ENDS, str(tmp_path), last_words]
    subprocess.run(command, capture_output=True, check=False)
    assert [event["status"] for event in read_events(tmp_path) if event["kind"] == "finish"] == [
        status
    ]
    assert len(steps(tmp_path)) == 1


@pytest.fixture
def full_disk(tmp_path):
    """Limits the size of files to what the record has now; yields how to end that."""
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, old_limit[1]))

    def free() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)

    yield fill, free
    free()
    signal.signal(signal.SIGXFSZ, old_handler)


def test_disk_full_is_said_once_and_rows_are_written_when_it_ends(tmp_path, full_disk):
    fill, free = full_disk
    said = []
    local = record(tmp_path, warn=said.append, flush_interval_s=0.01)
    local.log(ROW)
    assert local.flush()
    fill(local.path.stat().st_size + 20)  # a line that fits in part
    for _ in range(3):
        local.log(ROW)
    assert not local.flush(timeout_s=0.1)
    assert len(said) == 1
    assert "cannot write" in said[0]
    free()
    assert local.flush()
    local.finish("finished")
    assert steps(tmp_path) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert len(said) == 1


def test_rows_that_found_no_room_are_marked_as_a_gap(tmp_path, full_disk):
    fill, free = full_disk
    said = []
    local = record(tmp_path, warn=said.append, flush_interval_s=0.01, max_pending=2)
    local.log(ROW)
    assert local.flush()
    fill(local.path.stat().st_size)
    for _ in range(5):  # steps 1 and 2 wait, 3 to 5 are dropped
        local.log(ROW)
    free()
    assert local.flush()
    local.log(ROW)
    local.finish("finished")
    assert steps(tmp_path) == [(0, 0), (0, 1), (0, 2), (0, 6)]
    (gap,) = (event for event in read_events(tmp_path) if event["kind"] == "gap")
    assert (gap["first_step"], gap["last_step"], gap["rows"]) == (3, 5, 3)


def test_a_row_that_was_written_twice_is_read_once(tmp_path):
    log_session(tmp_path, rows=2)
    path = tmp_path / "tracking" / "learner.jsonl"
    row = path.read_bytes().splitlines(keepends=True)[2]
    with open(path, "ab") as file:
        file.write(row)
    assert steps(tmp_path) == [(0, 0), (0, 1)]
