"""Numbers of a series in chunks: appended, cut off, read.

A series is one metric or axis of one writer: values, and the row of that writer each stands in,
ascending. All chunks but the last are full, and have a summary.
"""

import sqlite3
from typing import NamedTuple

import numpy as np

from amago.tracking.index.pyramid import FIRST_ROW, LAST_ROW, summarise

CHUNK = 1024
"""Values in a full chunk."""

NO_ROW = 2**32
"""Behind every row there can be."""

_ROWS = np.dtype("<u4")
_VALUES = np.dtype("<f8")


class Column(NamedTuple):
    """Rows `[n]`, ascending, and the values `[n]` in them."""

    rows: np.ndarray
    values: np.ndarray

    def between(self, first: int, stop: int) -> "Column":
        """The part in rows `first <= row < stop`."""
        part = slice(*np.searchsorted(self.rows, (first, stop)))
        return Column(self.rows[part], self.values[part])


EMPTY = Column(np.empty(0, _ROWS), np.empty(0, _VALUES))


def join(parts: list[Column]) -> Column:
    """Parts that follow each other, as one."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return EMPTY
    return Column(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def append(database: sqlite3.Connection, series: int, column: Column, is_new: bool) -> None:
    """Add values to the end of a series.

    Args:
        column: at least one value; rows behind all those of the series.
        is_new: the series has no value yet, so that there is no need to look.
    """
    tail = EMPTY if is_new else last_chunk(database, series)
    if 0 < len(tail.rows) < CHUNK:
        column = join([tail, column])
    _write(database, series, column)


def _write(database: sqlite3.Connection, series: int, column: Column) -> None:
    chunks, summaries = [], []
    for start in range(0, len(column.rows), CHUNK):
        part = Column(*(array[start : start + CHUNK] for array in column))
        count, first, last = len(part.rows), int(part.rows[0]), int(part.rows[-1])
        rows = None if last - first == count - 1 else part.rows.astype(_ROWS).tobytes()
        data = part.values.astype(_VALUES).tobytes()
        chunks.append((series, first, last, count, rows, data))
        if count == CHUNK:
            summaries.append((series, first, summarise(*part).astype(_VALUES).tobytes()))
    database.executemany("INSERT OR REPLACE INTO chunk VALUES (?, ?, ?, ?, ?, ?)", chunks)
    database.executemany("INSERT OR REPLACE INTO summary VALUES (?, ?, ?)", summaries)


def cut(database: sqlite3.Connection, series: int, row: int) -> Column:
    """Remove what stands in `row` and behind it; returns the last chunk that is left."""
    database.execute("DELETE FROM chunk WHERE series = ? AND first_row >= ?", (series, row))
    database.execute("DELETE FROM summary WHERE series = ? AND first_row >= ?", (series, row))
    tail = last_chunk(database, series)
    if len(tail.rows) and tail.rows[-1] >= row:
        key = (series, int(tail.rows[0]))
        database.execute("DELETE FROM summary WHERE series = ? AND first_row = ?", key)
        tail = tail.between(0, row)
        _write(database, series, tail)
    return tail


def last_chunk(database: sqlite3.Connection, series: int) -> Column:
    """The last chunk of a series; empty if there is none."""
    found = database.execute(
        "SELECT first_row, count, rows, data FROM chunk WHERE series = ?"
        " ORDER BY first_row DESC LIMIT 1",
        (series,),
    ).fetchone()
    return EMPTY if found is None else _decoded(*found)


def value_at(database: sqlite3.Connection, series: int, row: int) -> float:
    """What a series that keeps its value has in `row`; NaN before its first."""
    found = database.execute(
        "SELECT first_row, count, rows, data FROM chunk WHERE series = ? AND first_row <= ?"
        " ORDER BY first_row DESC LIMIT 1",
        (series, row),
    ).fetchone()
    if found is None:
        return float("nan")
    column = _decoded(*found)
    return float(column.values[np.searchsorted(column.rows, row, side="right") - 1])


def read(database: sqlite3.Connection, series: int, first: int = 0, stop: int = NO_ROW) -> Column:
    """The values of a series in rows `first <= row < stop`; all by default."""
    found = database.execute(
        "SELECT first_row, count, rows, data FROM chunk WHERE series = :series"
        " AND first_row < :stop AND first_row >= coalesce("
        "(SELECT max(first_row) FROM chunk WHERE series = :series AND first_row <= :first), 0)"
        " ORDER BY first_row",
        {"series": series, "first": first, "stop": stop},
    )
    column = join([_decoded(*chunk) for chunk in found])
    return column if first <= 0 and stop == NO_ROW else column.between(first, stop)


def read_lines(database: sqlite3.Connection, series: int, first: int, stop: int) -> np.ndarray:
    """Lines `[m, 7]` of `pyramid.summarise` that cover the values in rows `first <= row < stop`.

    Stored ones where a whole chunk lies in these rows, so that its values are not read.
    """
    found = database.execute(
        "SELECT data FROM summary WHERE series = ? AND first_row >= ? AND first_row < ?"
        " ORDER BY first_row",
        (series, first, stop),
    )
    stored = [np.frombuffer(data, _VALUES).reshape(-1, 7) for (data,) in found]
    if stored and stored[-1][-1, LAST_ROW] >= stop:
        stored.pop()
    if not stored:
        return _summarised(read(database, series, first, stop))
    before = read(database, series, first, int(stored[0][0, FIRST_ROW]))
    behind = read(database, series, int(stored[-1][-1, LAST_ROW]) + 1, stop)
    return np.concatenate([_summarised(before), *stored, _summarised(behind)])


def _summarised(column: Column) -> np.ndarray:
    return summarise(*column) if len(column.rows) else np.empty((0, 7))


def _decoded(first: int, count: int, rows: bytes | None, data: bytes) -> Column:
    if rows is None:
        return Column(np.arange(first, first + count, dtype=_ROWS), np.frombuffer(data, _VALUES))
    return Column(np.frombuffer(rows, _ROWS), np.frombuffer(data, _VALUES))
