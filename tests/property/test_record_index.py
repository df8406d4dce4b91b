"""The index of a record gives what reading the record line by line gives, whatever happened to it.

Chunks and blocks are made tiny, so that few rows fill many of them.
"""

import math
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amago.tracking.index import columns, pyramid, query
from amago.tracking.reader import read_rows
from amago.tracking.run import Run, open_run
from amago.tracking.values import to_line

NAMES = ("train/a", "train/b", "val/c", "val/text")


@contextmanager
def tiny_chunks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "CHUNK", 8)
        patch.setattr(pyramid, "BLOCK", 2)
        patch.setattr(query, "BLOCK", 2)
        patch.setattr(query, "_MANY_VALUES", 8)
        yield


class Writer:
    """Writes a file of a record, as a process does that is killed and resumed now and then."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / "tracking" / f"{name}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.generation, self.step, self.frames, self.time = -1, 0, 0, 1000.0

    def session(self, back: int) -> None:
        self.generation += 1
        self.step = max(0, self.step - back)
        self.frames = max(0, self.frames - 5 * back)
        self._write(self._entry("session"))

    def rows(self, count: int, names: list[str], numbers: list[Any]) -> None:
        if self.generation < 0:
            self.session(0)
        for i in range(count):
            data = {name: numbers[(i + j) % len(numbers)] for j, name in enumerate(names)}
            axes: dict[str, Any] = {"total_frames": self.frames, "Epoch": self.frames // 20}
            if self.frames > 40:
                axes["total_frames-late"] = self.frames - 40
            self._write(self._entry("row") | {"axes": axes, "data": data})
            self.step += 1
            self.frames += 5 * (i % 3)

    def tear(self, size: int) -> None:
        """A kill while a line is being written: the next process begins on a new line."""
        row = to_line(self._entry("row") | {"axes": {"total_frames": 1}, "data": {"train/a": 1.5}})
        self._append(row[: min(size, len(row) - 2)] + b"\n")

    def repeat(self) -> None:
        """A write that failed half-way, and was done again."""
        if self.path.exists():
            lines = self.path.read_bytes().splitlines(keepends=True)
            self._append(b"".join(line for line in lines[-2:] if b'"row"' in line))

    def _entry(self, kind: str) -> dict[str, Any]:
        self.time += 1.0
        return {"kind": kind, "t": self.time, "step": self.step, "gen": self.generation}

    def _write(self, entry: dict[str, Any]) -> None:
        self._append(to_line(entry))

    def _append(self, data: bytes) -> None:
        with open(self.path, "ab") as file:
            file.write(data)


NUMBERS = st.one_of(
    st.floats(width=32), st.integers(-1000, 1000), st.booleans(), st.none(), st.just(10**400)
)
ACTIONS = st.one_of(
    st.tuples(
        st.just("rows"),
        st.integers(1, 30),
        st.lists(st.sampled_from(NAMES), unique=True),
        st.lists(st.one_of(NUMBERS, st.sampled_from(["words", "NaN"])), min_size=1, max_size=7),
    ),
    st.tuples(st.just("session"), st.integers(0, 25)),
    st.tuples(st.just("tear"), st.integers(0, 60)),
    st.tuples(st.just("repeat")),
    st.tuples(st.just("look")),
)
HISTORIES = st.lists(st.tuples(st.sampled_from(["learner", "other"]), ACTIONS), max_size=14)


Pairs = list[tuple[float, Any]]


def read_slowly(folder: Path, axis: str) -> dict[str, Pairs]:
    """Every value of every metric, from the lines of the record."""
    found: dict[str, Pairs] = defaultdict(list)
    for row in read_rows(folder):
        x = {**row.axes, "Step": row.step, "Wall Time": row.time}.get(axis)
        for name, value in row.data.items() if x is not None else ():
            found[name].append((float(x), value))
    return found


def comparable(pairs: Pairs) -> list[tuple[float, str]]:
    """Pairs in an order of their own: values at the same x may come in any."""
    return sorted((x, repr(plain(value))) for x, value in pairs)


def plain(value: Any) -> Any:
    if value is None:
        return math.nan
    if isinstance(value, int) and abs(value) > 10**300:
        return math.inf
    return value if isinstance(value, str) else float(value)


def numbers_of(pairs: Pairs) -> Pairs:
    return [(x, value) for x, value in pairs if not isinstance(value, str)]


def check(run: Run, folder: Path) -> None:
    for axis in ("total_frames", "total_frames-late", "Step", "Wall Time"):
        if axis == "total_frames-late" and axis not in run.axes:
            continue
        expected = read_slowly(folder, axis)
        for metric in run.metrics:
            pairs = expected[metric.name]
            assert comparable(run.values(metric.name, axis)) == comparable(pairs)
            series = run.series(metric.name, axis)
            assert comparable(list(zip(series.x, series.y))) == comparable(numbers_of(pairs))
            assert np.all(np.diff(series.x) >= 0)
            check_few_points(run, metric.name, axis, series.x, series.y)
    assert {metric.name for metric in run.metrics} == set(read_slowly(folder, "Step"))
    assert run.num_rows == len(list(read_rows(folder)))


def check_few_points(run: Run, name: str, axis: str, x: np.ndarray, y: np.ndarray) -> None:
    """No extreme is lost, nothing is made up, NaN alone stays NaN."""
    for points in (1, 3, 10):
        few = run.series(name, axis, points=points)
        assert few.n == len(y)
        assert len(few.x) <= max(points, 1)
        if len(y) <= points:
            np.testing.assert_array_equal(few.y, y)
        if len(y):
            assert few.x[0] >= x[0]
            assert few.x[-1] <= x[-1]
            np.testing.assert_equal(np.fmin.reduce(few.low), np.fmin.reduce(y))
            np.testing.assert_equal(np.fmax.reduce(few.high), np.fmax.reduce(y))
        is_number = ~np.isnan(few.low)
        assert np.all(few.low[is_number] <= few.high[is_number])
    if len(x):
        start, stop = x[len(x) // 3], x[-1 - len(x) // 4]
        part = run.series(name, axis, start=start, stop=stop)
        inside = (x >= start) & (x <= stop)
        np.testing.assert_array_equal(part.y, y[inside])
        few = run.series(name, axis, points=2, start=start, stop=stop)
        assert few.n == len(part.y)
        np.testing.assert_equal(np.fmax.reduce(few.high), np.fmax.reduce(part.y))


@settings(max_examples=30)
@given(history=HISTORIES)
def test_an_index_that_grew_with_its_record_equals_the_record(history) -> None:
    with tempfile.TemporaryDirectory() as name, tiny_chunks():
        folder = Path(name)
        writers = {name: Writer(folder, name) for name in ("learner", "other")}
        writers["learner"].session(0)
        with open_run(folder) as run:
            for writer, (action, *arguments) in history:
                if action == "look":
                    run.refresh()
                else:
                    getattr(writers[writer], action)(*arguments)
            run.refresh()
            check(run, folder)
        with open_run(folder) as again:
            check(again, folder)


@settings(max_examples=200)
@given(
    values=st.lists(st.floats(), min_size=1, max_size=200),
    points=st.integers(1, 40),
    block=st.integers(1, 9),
)
def test_every_bucket_holds_the_extremes_of_its_part(values, points, block) -> None:
    y = np.array(values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "BLOCK", block)
        lines = pyramid.summarise(np.arange(len(y)), y)
    direct = pyramid.buckets_of_values(y, points)
    summarised = pyramid.buckets_of_lines(lines, points)
    for buckets, first, last in (
        (direct, direct.first, direct.last),
        (
            summarised,
            lines[summarised.first, pyramid.FIRST_ROW].astype(int),
            lines[summarised.last, pyramid.LAST_ROW].astype(int),
        ),
    ):
        assert first[0] == 0
        assert last[-1] == len(y) - 1
        assert np.array_equal(first[1:], last[:-1] + 1)
        for i, (a, b) in enumerate(zip(first, last)):
            part = y[a : b + 1]
            np.testing.assert_equal(buckets.low[i], np.fmin.reduce(part))
            np.testing.assert_equal(buckets.high[i], np.fmax.reduce(part))
            is_gap = np.isnan(part).all()
            assert np.isnan(buckets.mean[i]) == (is_gap or has_both_infinities(part))


def has_both_infinities(part: np.ndarray) -> bool:
    """Their mean is no number."""
    return np.inf in part and -np.inf in part
