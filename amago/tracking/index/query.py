"""Questions to an index: which series there are, and the values of one over an axis."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amago.tracking.index import columns
from amago.tracking.index.build import PROCESS_TIME, STEP, WALL_TIME
from amago.tracking.index.columns import CHUNK, Column
from amago.tracking.index.pyramid import (
    BLOCK,
    FIRST_ROW,
    LAST_ROW,
    VALUES,
    buckets_of_lines,
    buckets_of_values,
)
from amago.tracking.values import decode

OWN_AXES = (STEP, WALL_TIME, PROCESS_TIME)
_MANY_VALUES = 8 * CHUNK
_KEEP_VALUES = 1_000_000
_KEEP_PLACES = 64
_LINES_FOR_A_POINT = 4
"""Lines of a summary that a bucket needs at least: then its borders are fine enough."""


@dataclass(frozen=True)
class SeriesInfo:
    """A metric or axis of one writer: a row of the table `series`."""

    id: int
    writer: int
    role: str
    name: str
    kind: str
    count: int
    last_row: int
    last_value: float | None


@dataclass(frozen=True)
class Curve:
    """Values over an axis, by ascending x.

    Args:
        x, y: float64 `[m]`; of a bucket, the middle of its x and the mean of its values.
        low, high: lowest and highest value of each bucket; `y` itself where each is one value.
        n: values there are, before down-sampling.
    """

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: int


class Axis:
    """An x-axis of one writer: the value in any row."""

    def __init__(self, column: Column) -> None:
        self._rows, self._values = column
        # An axis that changes in every row needs no search.
        self._is_dense = len(self._rows) > 0 and self._rows[-1] == len(self._rows) - 1
        with np.errstate(invalid="ignore"):
            self.is_ascending = bool(np.all(np.diff(self._values) >= 0))

    def at(self, rows: np.ndarray) -> np.ndarray:
        """Values `[n]` in `rows`; NaN before the first."""
        if len(self._rows) == 0:
            return np.full(len(rows), np.nan)
        if self._is_dense:
            return self._values[np.minimum(rows, len(self._rows) - 1)]
        index = np.searchsorted(self._rows, rows, side="right")
        return np.where(index > 0, self._values[np.maximum(index, 1) - 1], np.nan)

    def rows_between(self, start: float, stop: float) -> tuple[int, int]:
        """First row, and the one behind the last, of `start <= x <= stop`; for ascending axes."""
        first = int(np.searchsorted(self._values, start, side="left"))
        last = int(np.searchsorted(self._values, stop, side="right"))
        begin = int(self._rows[first]) if first < len(self._rows) else columns.NO_ROW
        return begin, int(self._rows[last]) if last < len(self._rows) else columns.NO_ROW


@dataclass(frozen=True)
class Places:
    """Where some rows lie on an axis.

    Args:
        x: float64 `[m]`, ascending.
        order: which of the rows each is; None for all of them in their order.
    """

    x: np.ndarray
    order: np.ndarray | None

    def ordered(self, values: np.ndarray) -> np.ndarray:
        """The values of these rows, element by element of `x`."""
        return values if self.order is None else values[self.order]

    @classmethod
    def of(cls, x: np.ndarray, start: float, stop: float) -> "Places":
        """Places of rows at `x [n]`, those with `start <= x <= stop`."""
        order = np.flatnonzero((x >= start) & (x <= stop))  # no NaN: a row without this axis
        if np.any(np.diff(x[order]) < 0):  # several writers
            order = order[np.argsort(x[order], kind="stable")]
        elif len(order) == len(x):
            return cls(x, None)
        return cls(x[order], order)


class Query:
    """A state of an index, with what was asked for kept in memory. Make a new one when it changes.

    Attributes:
        series: every metric and axis, by role and name; one entry a writer.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self.series: dict[tuple[str, str], list[SeriesInfo]] = {}
        found = database.execute(
            "SELECT id, writer, role, name, kind, count, last_row, last_value FROM series"
            " ORDER BY writer, id"
        )
        for row in found:
            info = SeriesInfo(*row)
            self.series.setdefault((info.role, info.name), []).append(info)
        self._axes: dict[tuple[str, int], Axis] = {}
        self._columns: dict[int, Column] = {}
        self._kept = 0
        self._found: dict[tuple[Any, ...], Places] = {}
        self._axes_at: dict[tuple[int, int], dict[str, float]] = {}

    def names(self, role: str) -> list[str]:
        """Names of all series of a role, sorted."""
        return sorted(name for its_role, name in self.series if its_role == role)

    def curve(
        self,
        database: sqlite3.Connection,
        name: str,
        axis: str,
        points: int | None,
        start: float,
        stop: float,
    ) -> Curve:
        """The numbers of a metric over an axis, for `start <= x <= stop`.

        Args:
            points: at most so many elements; None for all.
        """
        infos = self.series["metric", name]
        rows = (0, columns.NO_ROW)
        if len(infos) == 1 and infos[0].count > _MANY_VALUES:
            only = self._axis(database, axis, infos[0].writer)
            if only.is_ascending:
                rows = only.rows_between(start, stop)
                few = _few_lines(database, infos[0], rows, points)
                if points is not None and few is not None:
                    return _of_lines(few, only, points)
        found = [self._column(database, info, rows) for info in infos]
        parts = [(info.writer, column.rows) for info, column in zip(infos, found)]
        places = self._places(database, axis, parts, start, stop)
        return _of_values(places.x, places.ordered(columns.join(found).values), points)

    def values(self, database: sqlite3.Connection, name: str, axis: str) -> list[tuple[float, Any]]:
        """Every value of a metric, of any kind, with its x; by ascending x."""
        found = []
        for info in self.series["metric", name]:
            column = columns.read(database, info.id)
            objects = database.execute(
                "SELECT row, body FROM object WHERE series = ? ORDER BY row", (info.id,)
            ).fetchall()
            rows = np.concatenate([column.rows, [row for row, _ in objects]]).astype(np.uint32)
            values = [*column.values.tolist(), *(decode(json.loads(body)) for _, body in objects)]
            found += zip(self._axis(database, axis, info.writer).at(rows).tolist(), values)
        return sorted((pair for pair in found if pair[0] == pair[0]), key=lambda pair: pair[0])

    def rows(
        self,
        database: sqlite3.Connection,
        writer: int,
        axes: Sequence[str],
        names: Sequence[str],
        first: int,
        stop: int,
    ) -> dict[str, np.ndarray]:
        """Axes and metrics in rows `first <= row < stop` of a writer, column by column.

        Float64 `[stop - first]`; NaN where there is no number.
        """
        numbers = np.arange(first, stop)
        found = {name: self._axis(database, name, writer).at(numbers) for name in axes}
        for name in names:
            values = np.full(stop - first, np.nan)
            for info in self.series["metric", name]:
                if info.writer == writer:
                    column = columns.read(database, info.id, first, stop)
                    values[column.rows - first] = column.values
            found[name] = values
        return found

    def last_value(self, database: sqlite3.Connection, info: SeriesInfo) -> Any:
        """The last value of a metric: a float, or decoded if it is of another kind."""
        if info.last_value is not None:
            return info.last_value
        found = database.execute(
            "SELECT body FROM object WHERE series = ? AND row = ?", (info.id, info.last_row)
        ).fetchone()
        return float("nan") if found is None else decode(json.loads(found[0]))

    def axes_at(self, database: sqlite3.Connection, writer: int, row: int) -> dict[str, float]:
        """The axes that a row has, by name."""
        key = (writer, row)
        if key not in self._axes_at:
            found = {}
            for (role, name), infos in self.series.items():
                for info in infos:
                    if role == "axis" and info.writer == writer:
                        found[name] = _value_at(database, info, row)
            self._axes_at[key] = {name: x for name, x in found.items() if x == x}
        return self._axes_at[key]

    def time_of(self, database: sqlite3.Connection, writer: int, row: int) -> float:
        """Wall time of a row, unix seconds."""
        (info,) = (i for i in self.series["row", WALL_TIME] if i.writer == writer)
        return columns.value_at(database, info.id, row)

    def _axis(self, database: sqlite3.Connection, name: str, writer: int) -> Axis:
        key = (name, writer)
        if key not in self._axes:
            role = "row" if name in OWN_AXES else "axis"
            infos = [i for i in self.series.get((role, name), []) if i.writer == writer]
            column = columns.read(database, infos[0].id) if infos else columns.EMPTY
            self._axes[key] = Axis(column)
        return self._axes[key]

    def _column(
        self, database: sqlite3.Connection, info: SeriesInfo, rows: tuple[int, int]
    ) -> Column:
        """The numbers of a metric in `rows`; kept in memory if they are few."""
        if info.count > _MANY_VALUES:
            return columns.read(database, info.id, *rows)
        if info.id not in self._columns:
            if self._kept > _KEEP_VALUES:
                self._columns, self._kept = {}, 0
            self._columns[info.id] = columns.read(database, info.id)
            self._kept += info.count
        return self._columns[info.id]

    def _places(
        self,
        database: sqlite3.Connection,
        axis: str,
        parts: list[tuple[int, np.ndarray]],
        start: float,
        stop: float,
    ) -> Places:
        """Where rows of writers lie on an axis. Metrics of a section share them: found once."""
        key = (axis, start, stop, *((writer, rows.tobytes()) for writer, rows in parts))
        if key not in self._found:
            if len(self._found) >= _KEEP_PLACES:
                self._found = {}
            x = [self._axis(database, axis, writer).at(rows) for writer, rows in parts]
            self._found[key] = Places.of(np.concatenate(x), start, stop)
        return self._found[key]


def _value_at(database: sqlite3.Connection, info: SeriesInfo, row: int) -> float:
    if info.last_row > row:
        return columns.value_at(database, info.id, row)
    return float("nan") if info.last_value is None else info.last_value


def _few_lines(
    database: sqlite3.Connection, info: SeriesInfo, rows: tuple[int, int], points: int | None
) -> np.ndarray | None:
    """Lines of the summary for `points` buckets; None if there are too few for that."""
    wanted = np.inf if points is None else points * _LINES_FOR_A_POINT
    if info.count < wanted * BLOCK:
        return None
    lines = columns.read_lines(database, info.id, *rows)
    return lines if len(lines) >= wanted else None


def _of_lines(lines: np.ndarray, axis: Axis, points: int) -> Curve:
    buckets = buckets_of_lines(lines, points)
    first = axis.at(lines[buckets.first, FIRST_ROW].astype(np.uint32))
    last = axis.at(lines[buckets.last, LAST_ROW].astype(np.uint32))
    x = (first + last) / 2
    return Curve(x, buckets.mean, buckets.low, buckets.high, int(lines[:, VALUES].sum()))


def _of_values(x: np.ndarray, y: np.ndarray, points: int | None) -> Curve:
    if points is None or len(x) <= points:
        return Curve(x, y, y, y, len(x))
    buckets = buckets_of_values(y, points)
    middle = (x[buckets.first] + x[buckets.last]) / 2
    return Curve(middle, buckets.mean, buckets.low, buckets.high, len(x))
