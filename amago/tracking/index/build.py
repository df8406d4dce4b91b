"""From a writer's file to its part of the index: rows, resumes, events.

A session that begins at step `s` removes what the index has of step `s` and later, so that it holds
exactly the rows that `reader.read_rows` gives.
"""

import json
import sqlite3
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from amago.tracking.index import columns
from amago.tracking.index.gather import Gathered, Gatherer
from amago.tracking.index.source import Mark, fits, lines_from, mark
from amago.tracking.reader import ROW, SESSION, parse, parse_row, parse_session

STEP, WALL_TIME, PROCESS_TIME = "Step", "Wall Time", "Process Time"
"""The axes that every row has by itself (role `row`)."""

_FLUSH_VALUES = 500_000
_LINES_PER_LOOK = 64
"""Lines between two looks at the clock."""


@dataclass
class WriterState:
    """Where the index is in a writer's file: a row of the table `writer`."""

    id: int
    name: str
    offset: int = 0
    head_size: int = 0
    head: bytes = b""
    tail: bytes = b""
    entries: int = 0
    rows: int = 0
    generation: int = -1
    step: int = -1
    session_time: float | None = None
    session_base: float = 0.0
    process_time: float = 0.0
    time: float | None = None

    @property
    def mark(self) -> Mark:
        """What the file looked like when the index was last written."""
        return Mark(self.offset, self.head_size, self.head, self.tail)


_STORED = [field.name for field in fields(WriterState)]


def load_writers(database: sqlite3.Connection) -> dict[str, WriterState]:
    """Every writer of the index, by name."""
    found = database.execute(f"SELECT {', '.join(_STORED)} FROM writer")
    return {state.name: state for state in (WriterState(*row) for row in found)}


def _add_writer(database: sqlite3.Connection, name: str) -> WriterState:
    text = as_text(name)
    cursor = database.execute("INSERT INTO writer (name) VALUES (CAST(? AS TEXT))", (text,))
    assert cursor.lastrowid is not None
    return WriterState(cursor.lastrowid, name)


def _save_writer(database: sqlite3.Connection, state: WriterState) -> None:
    names = _STORED[2:]  # all but id and name
    database.execute(
        f"UPDATE writer SET {', '.join(f'{name} = ?' for name in names)} WHERE id = ?",
        [*(getattr(state, name) for name in names), state.id],
    )


def remove_writer(database: sqlite3.Connection, writer: int) -> None:
    """Take everything of a writer out of the index."""
    of_writer = "IN (SELECT id FROM series WHERE writer = ?)"
    for table in ("chunk", "summary", "object"):
        database.execute(f"DELETE FROM {table} WHERE series {of_writer}", (writer,))
    for table in ("series", "event"):
        database.execute(f"DELETE FROM {table} WHERE writer = ?", (writer,))
    database.execute("DELETE FROM writer WHERE id = ?", (writer,))


def take_in(database: sqlite3.Connection, file: Path, name: str, deadline: float) -> bool:
    """Bring a writer's part up to date, within a transaction of the caller.

    A file that is not the one that was read before is read anew.

    Args:
        deadline: by `time.monotonic`; stops there, after a block of lines at least.

    Returns:
        True if all that was in the file is in the index.

    Raises:
        RecordError: a later version of this package has written the file.
    """
    state = load_writers(database).get(name)
    if state is not None and not fits(file, state.mark):
        remove_writer(database, state.id)
        state = None
    if state is None:
        state = _add_writer(database, name)
    return _Builder(database, state).run(file, deadline)


class _Builder:
    """One pass over what is new in a writer's file."""

    def __init__(self, database: sqlite3.Connection, state: WriterState) -> None:
        self._database = database
        self._state = state
        self._load_series()

    def _load_series(self) -> None:
        found = self._database.execute(
            "SELECT role, name, id, last_value FROM series WHERE writer = ?", (self._state.id,)
        ).fetchall()
        self._series = {(role, name): series for role, name, series, _ in found}
        self._gathered = Gatherer(
            {name: last for role, name, _, last in found if role == "axis" and last is not None}
        )

    def run(self, file: Path, deadline: float) -> bool:
        """Take in lines until there are no more, or until `deadline`; True if none is left."""
        before = self._state.offset
        is_complete = self._take_lines(file, deadline)
        if self._state.offset == before:  # nothing to tell to whoever else has the index open
            return is_complete
        self._flush()
        _, self._state.head_size, self._state.head, self._state.tail = astuple(
            mark(file, self._state.offset)
        )
        _save_writer(self._database, self._state)
        return is_complete

    def _take_lines(self, file: Path, deadline: float) -> bool:
        for i, line in enumerate(lines_from(file, self._state.offset)):
            if i % _LINES_PER_LOOK == _LINES_PER_LOOK - 1 and time.monotonic() > deadline:
                return False
            if line.startswith(ROW):
                self._take_row(line)
            else:
                self._take_event(line)
            self._state.offset += len(line) + 1
        return True

    def _take_row(self, line: bytes) -> None:
        entry, state = parse_row(line), self._state
        if entry is None:
            return
        state.entries += 1
        place = (entry["gen"], entry["step"])
        if place <= (state.generation, state.step):  # written twice, or of a session that is over
            return
        state.generation, state.step = place
        state.time = float(entry["t"])
        if state.session_time is None:
            state.session_time = state.time
        since = state.time - state.session_time
        # A clock that is set back must not make the axis decrease.
        state.process_time = max(state.process_time, state.session_base + since)
        own = {STEP: place[1], WALL_TIME: state.time, PROCESS_TIME: state.process_time}
        self._gathered.add(state.rows, own, entry["axes"], entry["data"])
        state.rows += 1
        if self._gathered.volume >= _FLUSH_VALUES:
            self._flush()

    def _take_event(self, line: bytes) -> None:
        is_session = line.startswith(SESSION)
        entry = parse_session(line) if is_session else parse(line)
        kind = None if entry is None else entry.get("kind")
        if entry is None or not isinstance(kind, str):
            return
        self._state.entries += 1
        self._database.execute(
            "INSERT INTO event (writer, kind, body) VALUES (?, CAST(? AS TEXT), ?)",
            (self._state.id, as_text(kind), json.dumps(entry)),
        )
        if is_session:
            self._begin_session(entry)

    def _begin_session(self, entry: dict[str, Any]) -> None:
        state = self._state
        if entry["gen"] < state.generation:
            return
        if entry["step"] <= state.step:
            self._flush()
            self._cut(entry["step"])
        began = entry.get("t")
        state.generation, state.step = entry["gen"], entry["step"] - 1
        state.session_time = float(began) if isinstance(began, int | float) else None
        state.session_base = state.process_time

    # --------------------------------------------------------------------------------- storing

    def _flush(self) -> None:
        for gathered in self._gathered.take():
            self._store(gathered)

    def _store(self, gathered: Gathered) -> None:
        key, numbers, objects = (gathered.role, gathered.name), gathered.numbers, gathered.objects
        is_new = key not in self._series
        if is_new:
            self._series[key] = self._add_series(gathered)
        series = self._series[key]
        if len(numbers.rows):
            columns.append(self._database, series, numbers, is_new)
        if objects:
            stored = [(series, row, body) for row, body in objects]
            self._database.executemany("INSERT INTO object VALUES (?, ?, ?)", stored)
        last_row, last_value = last_of(numbers, objects[-1][0] if objects else -1)
        self._database.execute(
            "UPDATE series SET count = count + ?, last_row = ?, last_value = ? WHERE id = ?",
            (len(numbers.rows) + len(objects), last_row, last_value, series),
        )

    def _add_series(self, gathered: Gathered) -> int:
        cursor = self._database.execute(
            "INSERT INTO series (writer, role, name, kind) VALUES (?, ?, CAST(? AS TEXT), ?)",
            (self._state.id, gathered.role, as_text(gathered.name), gathered.kind),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _cut(self, step: int) -> None:
        """Remove the rows of `step` and later."""
        steps = columns.read(self._database, self._series["row", STEP]).values
        row = int(np.searchsorted(steps, step))
        found = self._database.execute(
            "SELECT id FROM series WHERE writer = ? AND last_row >= ?", (self._state.id, row)
        )
        for (series,) in found.fetchall():
            self._cut_series(series, row)
        self._state.rows = row
        self._load_series()
        times = self._series.get(("row", PROCESS_TIME))
        end = columns.EMPTY if times is None else columns.last_chunk(self._database, times)
        self._state.process_time = float(end.values[-1]) if len(end.values) else 0.0

    def _cut_series(self, series: int, row: int) -> None:
        database, key = self._database, (series, row)
        tail = columns.cut(database, series, row)
        database.execute("DELETE FROM object WHERE series = ? AND row >= ?", key)
        last_object = _one(database, "SELECT max(row) FROM object WHERE series = ?", series)
        count = _one(database, "SELECT total(count) FROM chunk WHERE series = ?", series)
        count += _one(database, "SELECT count(*) FROM object WHERE series = ?", series)
        if not count:
            database.execute("DELETE FROM series WHERE id = ?", (series,))
            return
        last_row, last_value = last_of(tail, -1 if last_object is None else last_object)
        database.execute(
            "UPDATE series SET count = ?, last_row = ?, last_value = ? WHERE id = ?",
            (int(count), last_row, last_value, series),
        )


def last_of(numbers: columns.Column, last_object: int) -> tuple[int, float | None]:
    """Row of the last value of a series, and that value if it is a number."""
    last_number = int(numbers.rows[-1]) if len(numbers.rows) else -1
    if last_number > last_object:
        return last_number, float(numbers.values[-1])
    return last_object, None


def as_text(text: str) -> bytes:
    """What to bind for `CAST(? AS TEXT)`: a name may hold what is no valid UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def _one(database: sqlite3.Connection, query: str, argument: int) -> Any:
    return database.execute(query, (argument,)).fetchone()[0]
