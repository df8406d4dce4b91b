"""`tracking.db`: a copy of the record that may be deleted, damaged, outdated or out of reach."""

import os
import shutil
import sqlite3
import struct
import threading

import numpy as np
import pytest

from amago.tracking.index import build, database
from amago.tracking.index.database import FILE, cached, is_local
from amago.tracking.index.schema import VERSION
from amago.tracking.reader import read_rows
from amago.tracking.run import open_run
from amago.tracking.store import LocalRecord


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def log(folder, values, resume_at=None) -> None:
    record = LocalRecord(folder)
    if resume_at is not None:
        record.resume_at(resume_at)
    for value in values:
        record.log({"total_frames": 10 * value, "Epoch": 1, "val/Return": float(value)})
    record.finish("finished")


def returns(folder) -> list[float]:
    with open_run(folder) as run:
        return run.history("val/Return", x="Step")["val/Return"][1].tolist()


def place_of(folder) -> str:
    with open_run(folder) as run:
        return run._index.place


def test_the_index_lies_in_the_folder_of_the_run(tmp_path):
    log(tmp_path, range(3))
    assert place_of(tmp_path) == str(tmp_path / FILE)
    assert returns(tmp_path) == [0, 1, 2]


def test_deleting_the_index_loses_nothing(tmp_path):
    log(tmp_path, range(3))
    assert returns(tmp_path) == [0, 1, 2]
    (tmp_path / FILE).unlink()
    assert returns(tmp_path) == [0, 1, 2]


def test_deleting_the_index_of_an_open_run_disturbs_nobody(tmp_path):
    log(tmp_path, range(3))
    with open_run(tmp_path) as run:
        (tmp_path / FILE).unlink()
        log(tmp_path, range(3, 5))
        assert returns(tmp_path) == [0, 1, 2, 3, 4]
        assert run.refresh()
        assert run.series("val/Return", "Step").y.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"not a database, but longer than a header" * 30),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(b""),
        lambda path: os.truncate(path, 100),
    ],
    ids=["other content", "half of it", "nothing", "part of its header"],
)
def test_a_damaged_index_is_built_again(tmp_path, damage):
    log(tmp_path, range(3000))
    assert len(returns(tmp_path)) == 3000
    damage(tmp_path / FILE)
    assert returns(tmp_path) == list(range(3000))
    assert place_of(tmp_path) == str(tmp_path / FILE)


def test_an_index_that_is_damaged_while_it_is_open_is_built_again(tmp_path):
    log(tmp_path, range(3000))
    with open_run(tmp_path) as run:
        with sqlite3.connect(tmp_path / FILE) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        size = (tmp_path / FILE).stat().st_size
        with open(tmp_path / FILE, "r+b") as file:
            file.seek(16_384)
            file.write(b"\xff" * (size - 16_384))
        run._index._database.execute("PRAGMA shrink_memory")
        run._query = None
        assert len(run.series("val/Return", "Step").y) == 3000


@pytest.mark.parametrize("version", [VERSION + 1, 0])
def test_an_index_of_another_version_is_built_again(tmp_path, version):
    log(tmp_path, range(3))
    assert returns(tmp_path) == [0, 1, 2]
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute(f"PRAGMA user_version = {version}")
        other.execute("UPDATE writer SET rows = 77")
    other.close()
    with open_run(tmp_path) as run:
        assert run.num_rows == 3


def test_a_copy_of_a_folder_does_not_show_what_the_original_had(tmp_path):
    """The copy's record is another one: of the same length, with the same beginning and end."""
    original, copy = tmp_path / "original", tmp_path / "copy"
    log(original, range(200))
    assert returns(original) == list(range(200))
    shutil.copytree(original, copy)
    record = copy / "tracking" / "learner.jsonl"
    before = record.read_bytes()
    record.write_bytes(before.replace(b'"val/Return":100.0', b'"val/Return":777.0'))
    assert record.stat().st_size == len(before)
    assert returns(copy) == [*range(100), 777, *range(101, 200)]
    assert returns(original) == list(range(200))


def test_a_row_that_was_written_twice_is_there_once(tmp_path):
    log(tmp_path, range(3))
    record = tmp_path / "tracking" / "learner.jsonl"
    row = record.read_bytes().splitlines(keepends=True)[3]
    with open_run(tmp_path) as run:
        with open(record, "ab") as file:
            file.write(row)
        run.refresh()
        assert run.num_rows == 3
    assert returns(tmp_path) == [0, 1, 2]


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_file_that_shrank_is_read_anew(tmp_path, kept):
    log(tmp_path, range(4))
    record = tmp_path / "tracking" / "learner.jsonl"
    with open_run(tmp_path) as run:
        lines = record.read_bytes().splitlines(keepends=True)
        record.write_bytes(b"".join(lines[: 1 + kept]))
        assert run.refresh()
        assert run.num_rows == kept
        assert not run.refresh()


def test_a_file_that_was_replaced_by_a_longer_one_is_read_anew(tmp_path):
    log(tmp_path / "a", range(2))
    log(tmp_path / "b", range(50, 60))
    assert returns(tmp_path / "a") == [0, 1]
    record = tmp_path / "b" / "tracking" / "learner.jsonl"
    os.replace(record, tmp_path / "a" / "tracking" / "learner.jsonl")
    assert returns(tmp_path / "a") == list(range(50, 60))


def test_a_writer_whose_file_is_gone_is_gone(tmp_path):
    log(tmp_path, range(2))
    other = LocalRecord(tmp_path, writer="collector-1")
    other.log({"total_frames": 1, "dataset/Size": 1.0})
    other.finish("finished")
    with open_run(tmp_path) as run:
        assert run.writers == ["learner", "collector-1"]
        (tmp_path / "tracking" / "collector-1.jsonl").unlink()
        assert run.refresh()
        assert run.writers == ["learner"]
        assert [metric.name for metric in run.metrics] == ["val/Return"]


def test_a_line_that_is_being_written_waits(tmp_path):
    log(tmp_path, range(2))
    record = tmp_path / "tracking" / "learner.jsonl"
    row = record.read_bytes().splitlines(keepends=True)[2].replace(b'"step":1', b'"step":2')
    with open_run(tmp_path) as run:
        with open(record, "ab") as file:
            file.write(row[:40])
        run.refresh()
        assert run.num_rows == 2
        with open(record, "ab") as file:
            file.write(row[40:])
        assert run.refresh()
        assert run.num_rows == 3


def test_a_folder_that_may_not_be_written_to_has_its_index_in_the_users_cache(
    tmp_path, cache, monkeypatch
):
    log(tmp_path, range(3))
    monkeypatch.setattr(database.os, "access", lambda path, mode: False)
    assert returns(tmp_path) == [0, 1, 2]
    assert not (tmp_path / FILE).exists()
    assert place_of(tmp_path) == str(cached(tmp_path))
    assert cached(tmp_path).is_relative_to(cache)


def test_a_folder_on_a_network_file_system_has_its_index_in_the_users_cache(tmp_path, monkeypatch):
    log(tmp_path, range(3))
    mount = f"36 35 98:0 / {tmp_path.parent} rw - nfs4 server:/home rw\n"
    monkeypatch.setattr(database.Path, "read_text", lambda path, **_: mount)
    assert not is_local(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(database, "is_local", lambda folder: False)
    assert place_of(tmp_path) == str(cached(tmp_path))


@pytest.mark.parametrize("problem", ["no locks", "no cache either"])
def test_a_folder_in_which_sqlite_does_not_work_can_be_read(tmp_path, monkeypatch, problem):
    log(tmp_path, range(3))
    real = database._connect

    def connect(place: str) -> sqlite3.Connection:
        if place != database.IN_MEMORY and (problem != "no locks" or FILE in place):
            raise sqlite3.OperationalError("locking protocol")
        return real(place)

    monkeypatch.setattr(database, "_connect", connect)
    with open_run(tmp_path) as run:
        assert run.series("val/Return", "Step").y.tolist() == [0, 1, 2]
        expected = str(cached(tmp_path)) if problem == "no locks" else database.IN_MEMORY
        assert run._index.place == expected


def test_readers_at_once_index_a_record_once(tmp_path):
    log(tmp_path, range(2000))
    runs, errors = [], []

    def read() -> None:
        try:
            with open_run(tmp_path) as run:
                runs.append(run.series("val/Return", "Step").y.tolist())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert runs == [list(range(2000))] * 4


def test_what_another_reader_has_indexed_is_seen(tmp_path):
    log(tmp_path, range(2))
    with open_run(tmp_path) as first, open_run(tmp_path) as second:
        log(tmp_path, range(2, 4))
        assert first.refresh()
        assert second.refresh()
        assert second.num_rows == 4
        assert not first.refresh()
        assert not second.refresh()


def test_a_first_look_may_be_cut_short_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "_LINES_PER_LOOK", 10)
    log(tmp_path, range(100))
    with open_run(tmp_path, limit_s=0) as run:
        assert not run.is_complete
        assert 0 < run.num_rows < 100
        seen = run.num_rows
        while not run.is_complete:
            run.refresh(limit_s=0)
            assert run.num_rows >= seen
            seen = run.num_rows
        assert run.series("val/Return", "Step").y.tolist() == list(range(100))


def test_a_refresh_that_finds_nothing_writes_nothing(tmp_path):
    log(tmp_path, range(3))
    with open_run(tmp_path) as run:
        before = run._index._database.total_changes
        version = run.version
        os.utime(tmp_path / "tracking" / "learner.jsonl")
        assert not run.refresh()
        assert run.version == version
        assert run._index._database.total_changes == before


def test_axes_that_seldom_change_cost_little(tmp_path):
    names = [f"total_frames-task {i}" for i in range(45)]
    record = LocalRecord(tmp_path)
    for step in range(2000):
        axes = dict.fromkeys(names, 1000 * (step // 500))
        record.log({"total_frames": step, "train/Loss": 1.0} | axes)
    record.finish("finished")
    with open_run(tmp_path) as run:
        stored = run._index._database.execute(
            "SELECT sum(count) FROM series WHERE role = 'axis' AND name LIKE 'total_frames-%'"
        ).fetchone()[0]
        assert stored == 45 * 4
        x = run.series("train/Loss", names[7]).x
        np.testing.assert_array_equal(x, 1000 * (np.arange(2000) // 500))


def test_plain_sqlite_reads_the_numbers_as_documented(tmp_path):
    log(tmp_path, [5, 6, 9])
    returns(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as plain:
        latest = plain.execute("SELECT metric, value, count FROM latest").fetchall()
        found = plain.execute(
            "SELECT rows, first_row, chunk.count, data FROM chunk JOIN series ON series.id = series"
            " WHERE role = 'metric' AND name = ? ORDER BY writer, first_row",
            ["val/Return"],
        ).fetchall()
        kinds = plain.execute("SELECT kind, json_extract(body, '$.step') FROM event").fetchall()
    plain.close()
    assert latest == [("val/Return", 9.0, 3)]
    assert kinds == [("session", 0), ("finish", 3)]
    ((rows, first, count, data),) = found
    assert (rows, first) == (None, 0)
    assert struct.unpack(f"<{count}d", data) == (5.0, 6.0, 9.0)


def test_a_resume_takes_superseded_rows_out_of_full_chunks_too(tmp_path):
    log(tmp_path, range(3000))
    with open_run(tmp_path) as run:
        log(tmp_path, range(9000, 9010), resume_at=1500)
        assert run.refresh()
        expected = [*range(1500), *range(9000, 9010)]
        assert run.series("val/Return", "Step").y.tolist() == expected
        assert run.num_rows == len(expected) == len(list(read_rows(tmp_path)))
        (lines,) = run._index._database.execute(
            "SELECT count(*) FROM summary JOIN series ON series.id = series WHERE role = 'metric'"
        ).fetchone()
        assert lines == 1
