"""Reading a record line by line."""

import pytest

from amago.core.errors import RecordError
from amago.tracking.reader import SCHEMA, position, read_events, read_rows
from amago.tracking.store import LocalRecord
from amago.tracking.values import to_line


def write(folder, *entries) -> None:
    (folder / "tracking").mkdir(exist_ok=True)
    with open(folder / "tracking" / "learner.jsonl", "ab") as file:
        file.writelines(entry if isinstance(entry, bytes) else to_line(entry) for entry in entries)


def row(step: int, gen: int = 0) -> dict:
    data = {"val/a": 10.0 * gen + step}
    return {"kind": "row", "t": float(step), "step": step, "gen": gen, "axes": {}, "data": data}


def session(step: int, gen: int, **more) -> dict:
    return {"kind": "session", "t": 0.0, "step": step, "gen": gen, **more}


def values(folder) -> list[float]:
    return [found.data["val/a"] for found in read_rows(folder)]


def test_the_latest_of_several_resumes_decides(tmp_path):
    write(tmp_path, session(0, 0), *map(row, range(6)))
    write(tmp_path, session(4, 1), row(4, 1), row(5, 1), session(2, 2), row(2, 2))
    assert values(tmp_path) == [0, 1, 22]


def test_rows_whose_session_line_was_torn_are_superseded_like_others(tmp_path):
    write(tmp_path, b'{"kind":"session","t":0\n', row(0), row(1), session(1, 1), row(1, 1))
    assert values(tmp_path) == [0, 11]


def test_an_entry_that_lacks_a_part_is_passed_over(tmp_path):
    write(tmp_path, session(0, 0), row(0), b'{"kind":"row","t":1,"step":1}\n', row(2))
    write(tmp_path, session(-5, 1), b'{"kind":"session"}\n')
    assert values(tmp_path) == [0, 2]


def test_a_record_of_a_later_format_is_neither_read_nor_continued(tmp_path):
    write(tmp_path, session(0, 0, schema=SCHEMA + 1, writer="learner"), row(0))
    with pytest.raises(RecordError, match=f"format {SCHEMA + 1}"):
        list(read_rows(tmp_path))
    with pytest.raises(RecordError, match="upgrade amago"):
        LocalRecord(tmp_path).begin()


def test_events_say_who_wrote_them(tmp_path):
    write(tmp_path, session(0, 0), row(0), {"kind": "finish", "t": 1.0, "status": "stopped"})
    assert [(event["kind"], event["writer"]) for event in read_events(tmp_path)] == [
        ("session", "learner"),
        ("finish", "learner"),
    ]


def test_the_position_is_behind_the_last_whole_row(tmp_path):
    write(tmp_path, session(0, 0, config={"a": 1}), row(0), row(1), b'{"kind":"row","t":\n')
    found = position(tmp_path / "tracking" / "learner.jsonl")
    assert (found.generation, found.step, found.config) == (1, 2, {"a": 1})
