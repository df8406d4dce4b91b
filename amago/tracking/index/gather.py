"""Rows on their way into the index: row by row in, metric by metric out.

The cost of a row is what matters here: 300 values are looked at as one, by the names they have in
common with other rows, and become columns in one step.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from amago.tracking.index.columns import Column
from amago.tracking.values import decode

NUMBER = "number"
_MEDIA = ("image", "video", "table")
_PLAIN = {float, int}


class Gathered(NamedTuple):
    """What was gathered of one series.

    Args:
        role: "metric", "axis" or "row" (see `schema.py`).
        kind: of its first value.
        numbers: with their rows.
        objects: row and JSON of each value that is no number.
    """

    role: str
    name: str
    kind: str
    numbers: Column
    objects: list[tuple[int, str]]


class Gatherer:
    """Takes rows of one writer, one after the other.

    Args:
        axes: what the axes are in the row before the first one to come.

    Attributes:
        volume: values gathered since the last `take`, axes that did not change not counted.
    """

    def __init__(self, axes: dict[str, float]) -> None:
        self.volume = 0
        self._axes: dict[str, Any] = dict(axes)
        self._clear()

    def _clear(self) -> None:
        self.volume = 0
        self._rows: list[int] = []
        self._own: dict[str, list[float]] = defaultdict(list)
        self._groups: dict[tuple[str, ...], tuple[list[int], list[list[float]]]] = {}
        self._singles: dict[tuple[str, str], tuple[list[int], list[float]]] = defaultdict(
            lambda: ([], [])
        )
        self._objects: dict[str, list[tuple[int, str]]] = defaultdict(list)
        self._kinds: dict[str, str] = {}

    def add(
        self, row: int, own: dict[str, float], axes: dict[str, Any], data: dict[str, Any]
    ) -> None:
        """Take row number `row`; `own` are the axes that every row has by itself."""
        self._rows.append(row)
        for name, value in own.items():
            self._own[name].append(value)
        if axes != self._axes:
            self._add_axes(row, axes)
        values = list(data.values())
        if _PLAIN.issuperset(map(type, values)):
            rows, lists = self._groups.setdefault(tuple(data), ([], []))
            rows.append(row)
            lists.append(values)
        else:
            for name, value in data.items():
                self._add_value(row, name, value)
        self.volume += len(values) + len(own)

    def take(self) -> Iterator[Gathered]:
        """Everything gathered, series by series; the next rows are gathered anew."""
        parts: dict[tuple[str, str], list[Column]] = defaultdict(list)
        for names, (rows, lists) in self._groups.items():
            numbers = np.asarray(rows, dtype=np.uint32)
            for name, values in zip(names, _matrix(lists).T):
                parts["metric", name].append(Column(numbers, values))
        own_rows = np.asarray(self._rows, np.uint32)
        for name, values in self._own.items():
            parts["row", name].append(Column(own_rows, np.asarray(values, np.float64)))
        for key, (rows, values) in self._singles.items():
            column = Column(np.asarray(rows, np.uint32), np.asarray(values, np.float64))
            parts[key].append(column)
        objects, kinds = self._objects, self._kinds
        self._clear()
        for (role, name), columns in parts.items():
            others = objects.pop(name, []) if role == "metric" else []
            numbers = _merged(columns)
            is_number = not others or numbers.rows[0] < others[0][0]
            yield Gathered(role, name, NUMBER if is_number else kinds[name], numbers, others)
        for name, others in objects.items():
            yield Gathered("metric", name, kinds[name], _merged([]), others)

    def _add_axes(self, row: int, axes: dict[str, Any]) -> None:
        before = self._axes
        for name, value in axes.items():
            if name not in before or before[name] != value:
                self._single("axis", name, row, _number(value, math.nan))
                self.volume += 1
        for name in before.keys() - axes.keys():
            self._single("axis", name, row, math.nan)
        self._axes = axes

    def _add_value(self, row: int, name: str, value: Any) -> None:
        number = _number(value, None)
        if number is None:
            self._kinds.setdefault(name, kind_of(value))
            self._objects[name].append((row, json.dumps(value, separators=(",", ":"))))
        else:
            self._single("metric", name, row, number)

    def _single(self, role: str, name: str, row: int, value: float) -> None:
        rows, values = self._singles[role, name]
        rows.append(row)
        values.append(value)


def kind_of(value: Any) -> str:
    """What a recorded value is, as it stands in the record."""
    if _number(value, None) is not None:
        return NUMBER
    if isinstance(value, dict) and "histogram" in value:
        return "histogram"
    if isinstance(value, dict) and value.get("media") in _MEDIA:
        return value["media"]
    return "text"


def _number(value: Any, other: Any) -> Any:
    """`value` as a float; `other` if it is none. A null is a number that is missing."""
    if type(value) is float:
        return value
    if value is None:
        return math.nan
    value = decode(value) if isinstance(value, str) else value
    if not isinstance(value, int | float):
        return other
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _matrix(lists: list[list[float]]) -> np.ndarray:
    try:
        return np.array(lists, dtype=np.float64)
    except OverflowError:  # an integer beyond any float
        return np.array([[_number(value, math.nan) for value in values] for values in lists])


def _merged(columns: list[Column]) -> Column:
    """Columns that hold different rows, in the order of the rows."""
    if not columns:
        return Column(np.empty(0, np.uint32), np.empty(0, np.float64))
    if len(columns) == 1:
        return columns[0]
    rows = np.concatenate([column.rows for column in columns])
    order = np.argsort(rows)
    return Column(rows[order], np.concatenate([column.values for column in columns])[order])
