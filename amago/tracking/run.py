"""A recorded run, to look at: `amago.open_run(folder).history("val/*", x="total_frames")`."""

import difflib
import fnmatch
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from amago.core.errors import MetricNotFoundError, RecordError, RunNotFoundError
from amago.tracking.history import History, MetricInfo, Series
from amago.tracking.index.build import WriterState, load_writers
from amago.tracking.index.events import ends_of, load_events, sessions_of, time_of
from amago.tracking.index.index import Index
from amago.tracking.index.query import OWN_AXES, Query, SeriesInfo
from amago.tracking.runs import LEARNER, has_record, status_of
from amago.tracking.sections import AXES, section, section_order

__all__ = ["History", "MetricInfo", "Run", "Series", "open_run"]

T = TypeVar("T")
_FRAMES, _, _GRADIENT_STEPS = AXES


def open_run(path: str | os.PathLike[str], limit_s: float | None = None) -> "Run":
    """The run whose folder is `path`, up to date. Nothing of its record is changed.

    Args:
        limit_s: take in no more than what that time allows; `Run.refresh` goes on.

    Raises:
        RunNotFoundError: there is no record in that folder.
        RecordError: the record is of a later version of this package, or is none.
    """
    folder = Path(path).resolve()
    if not has_record(folder):
        raise RunNotFoundError(
            f"there is no record of a run in '{folder}': no file tracking/*.jsonl. Name the folder "
            f"of a run, <ckpt_base_dir>/<run_name>."
        )
    return Run(folder, limit_s)


class Run:
    """A recorded run: finished, crashed or still going on. Made by `open_run`.

    What it says is as of the last `refresh`. Used by one thread at a time; any number of processes
    may have the same run open.

    Attributes:
        path: the run's folder.
        version: changes whenever `refresh` found something.
        status: "running", "finished", "crashed" or "stopped".
    """

    def __init__(self, path: Path, limit_s: float | None = None) -> None:
        self.path = path
        self.version = 0
        self.status = "crashed"
        self._index = Index(path)
        self._writers: dict[str, WriterState] = {}
        self._read_events()
        self.refresh(limit_s)

    # ------------------------------------------------------------------------- keeping up to date

    def refresh(self, limit_s: float | None = None) -> bool:
        """Take in what was written since; True if anything changed. Cheap when nothing did.

        Args:
            limit_s: stop after about that long. `is_complete` says whether there is more.

        Raises:
            RecordError: the record is of a later version of this package, or is none.
        """
        before = (self._writers, self.status)
        if self._index.refresh(limit_s) or self.version == 0:
            self._writers = self._index.ask(load_writers)
            self._refuse_what_is_no_record()
        if self._writers != before[0]:
            self._read_events()
        self.status = status_of(self.path, self._ends)
        has_changed = (self._writers, self.status) != before
        self.version += has_changed or self.version == 0
        return has_changed

    @property
    def is_complete(self) -> bool:
        """False while the first `refresh` with a limit has left something out."""
        return self._index.is_complete

    def close(self) -> None:
        """Let go of the index. The run cannot be asked afterwards."""
        self._index.close()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------ about the run

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.path.name

    @property
    def group(self) -> str | None:
        """What the run shares with others of other seeds: its `wandb_group_name`."""
        experiment = self.config.get("experiment")
        found = experiment.get("wandb_group_name") if isinstance(experiment, dict) else None
        return found if isinstance(found, str) else None

    @property
    def writers(self) -> list[str]:
        """Names of the processes that wrote the record, the learner first."""
        return sorted(self._writers, key=lambda name: (name != LEARNER, name))

    @property
    def num_rows(self) -> int:
        """Rows that count, of all writers."""
        return sum(state.rows for state in self._writers.values())

    @property
    def started(self) -> float | None:
        """When the first session began, in unix seconds."""
        return time_of(self._sessions[0]) if self._sessions else None

    @property
    def updated(self) -> float:
        """When the last entry was written, in unix seconds; 0 if there is none."""
        return max((end.updated for end in self._ends.values()), default=0.0)

    @property
    def ended(self) -> float | None:
        """When the run ended, in unix seconds: its last entry. None while it goes on."""
        return None if self.status == "running" else self.updated or None

    @property
    def sessions(self) -> list[dict[str, Any]]:
        """Every start of a writer, oldest first: see `tracking/store.py`.

        `ended` and `status` are the time and the status of its `finish` entry; None without one.
        """
        return self._sessions

    @property
    def gaps(self) -> list[dict[str, Any]]:
        """Where rows are missing, oldest first."""
        return self._gaps

    @property
    def config(self) -> dict[str, Any]:
        """Every setting, nested, as of the learner's last session."""
        learner = [event for event in self._sessions if event["writer"] == LEARNER]
        config = (learner or self._sessions or [{}])[-1].get("config")
        return config if isinstance(config, dict) else {}

    # --------------------------------------------------------------------------- axes and metrics

    @property
    def axes(self) -> list[str]:
        """X-axes of the rows: total_frames, Epoch, gradient_steps, then the others by name.

        `series` and the like take "Step", "Wall Time" and "Process Time" as well.
        """
        present = self._ask_query().names("axis")
        others = [name for name in present if name not in (*AXES, *OWN_AXES)]
        return [*(name for name in AXES if name in present), *others]

    @property
    def default_axis(self) -> str:
        """total_frames; gradient_steps for a run that collects no frames."""
        series = self._ask_query().series
        frames, steps = (series.get(("axis", name), []) for name in (_FRAMES, _GRADIENT_STEPS))
        if _moves(frames) or not (_moves(steps) or _last(steps) > 0 >= _last(frames)):
            return _FRAMES
        return _GRADIENT_STEPS

    @property
    def metrics(self) -> list[MetricInfo]:
        """Every metric, section by section, then by name."""
        if self._metrics is None:
            query = self._ask_query()
            names = query.names("metric")
            order = {name: i for i, name in enumerate(section_order(names))}
            names.sort(key=lambda name: (order[section(name)], name))
            self._metrics = [self._describe(query, name) for name in names]
        return self._metrics

    def series(
        self,
        name: str,
        x: str,
        points: int | None = None,
        start: float | None = None,
        stop: float | None = None,
    ) -> Series:
        """A metric over an axis, by ascending x, rows of all writers together.

        Args:
            x: one of `axes`, or "Step" (the row's number), "Wall Time" (unix seconds) or "Process
                Time" (seconds of running, without the pauses between sessions).
            points: at most so many; more values are put into buckets, whose extremes are `low` and
                `high`, and whose mean is `y`. NaN is kept: what holds nothing else is NaN.
            start, stop: only values with `start <= x <= stop`.

        Raises:
            MetricNotFoundError: no such metric with numbers, or no such axis.
        """
        return self.many_series([name], x, points, start, stop)[name]

    def many_series(
        self,
        names: Iterable[str],
        x: str,
        points: int | None = None,
        start: float | None = None,
        stop: float | None = None,
    ) -> dict[str, Series]:
        """`series` of several metrics; the axis is read once."""
        wanted = list(names)
        self._check_axis(x)
        for name in wanted:
            self._check_metric(name)
        low = -float("inf") if start is None else start
        high = float("inf") if stop is None else stop
        return self._ask(
            lambda database, query: {
                name: query.curve(database, name, x, points, low, high) for name in wanted
            }
        )

    def values(self, name: str, x: str) -> list[tuple[float, Any]]:
        """`(x, value)` of a metric of any kind, by ascending x.

        A value is a float, a text, a `Histogram`, or `{"media": "image", "file": ...}`.

        Raises:
            MetricNotFoundError: no such metric, or no such axis.
        """
        self._check_axis(x)
        self._check_metric(name)
        return self._ask(lambda database, query: query.values(database, name, x))

    def history(self, pattern: str = "*", x: str = _FRAMES) -> History:
        """Every value of the metrics that are numbers and match `pattern`: `{name: (x, y)}`.

        Args:
            pattern: a name, or a pattern with `*` and `?`, e.g. "val/*".

        Raises:
            MetricNotFoundError: nothing matches, or no such axis.
        """
        return History(self.name, x, self.many_series(self.numeric(pattern), x))

    def numeric(self, pattern: str = "*") -> list[str]:
        """Names of the metrics that are numbers and match `pattern`: see `history`."""
        numbers = [metric.name for metric in self.metrics if metric.kind == "number"]
        names = [pattern] if pattern in numbers else fnmatch.filter(numbers, pattern)
        if not names and pattern != "*":
            raise MetricNotFoundError(_unknown("metric", pattern, numbers, self.path))
        return names

    def rows(
        self, names: Sequence[str], size: int = 10_000
    ) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """Row by row instead of metric by metric: `(writer, columns)` for at most `size` rows each.

        Args:
            names: metrics; the columns are these, behind Step, Wall Time, Process Time and every
                axis. Float64; NaN where a row has no such value.
        """
        axes = [*OWN_AXES, *self.axes]
        for writer in self.writers:
            state = self._writers[writer]
            for first in range(0, state.rows, size):
                rows = (first, min(first + size, state.rows))
                yield writer, self._ask(partial(_block, state.id, axes, names, rows))

    # ------------------------------------------------------------------------------------ private

    def _read_events(self) -> None:
        """Read what is small; drop everything else, which is read when it is asked for."""
        self._query: Query | None = None
        self._metrics: list[MetricInfo] | None = None
        events = self._index.ask(load_events) if self._writers else []
        self._ends = ends_of(events, {name: state.time for name, state in self._writers.items()})
        self._sessions = sorted(sessions_of(events), key=time_of)
        self._gaps = sorted((event for event in events if event["kind"] == "gap"), key=time_of)

    def _ask(self, question: Callable[[sqlite3.Connection, Query], T]) -> T:
        def asked(database: sqlite3.Connection) -> T:
            if self._query is None:
                self._query = Query(database)
            return question(database, self._query)

        return self._index.ask(asked)

    def _ask_query(self) -> Query:
        return self._ask(lambda _, query: query)

    def _describe(self, query: Query, name: str) -> MetricInfo:
        infos = query.series["metric", name]

        def last(database: sqlite3.Connection) -> tuple[Any, dict[str, float]]:
            info = _latest(query, database, infos)
            axes = query.axes_at(database, info.writer, info.last_row)
            return query.last_value(database, info), axes

        value, axes = self._index.ask(last)
        count = sum(info.count for info in infos)
        return MetricInfo(name, section(name), infos[0].kind, count, value, axes)

    def _check_axis(self, name: str) -> None:
        if name not in (*AXES, *OWN_AXES) and ("axis", name) not in self._ask_query().series:
            known = [*self.axes, *OWN_AXES]
            raise MetricNotFoundError(_unknown("x-axis", name, known, self.path))

    def _check_metric(self, name: str) -> None:
        if ("metric", name) not in self._ask_query().series:
            known = self._ask_query().names("metric")
            raise MetricNotFoundError(_unknown("metric", name, known, self.path))

    def _refuse_what_is_no_record(self) -> None:
        states = self._writers.values()
        has_lines = any(state.offset for state in states)
        if has_lines and not any(state.entries for state in states):
            raise RecordError(
                f"no line of the files '{self.path}/tracking/*.jsonl' is an entry of a record."
            )


def _block(
    writer: int,
    axes: Sequence[str],
    names: Sequence[str],
    rows: tuple[int, int],
    database: sqlite3.Connection,
    query: Query,
) -> dict[str, np.ndarray]:
    return query.rows(database, writer, axes, names, *rows)


def _latest(query: Query, database: sqlite3.Connection, infos: Sequence[SeriesInfo]) -> SeriesInfo:
    """Of the writers of a metric, the one that wrote it last."""
    if len(infos) == 1:
        return infos[0]
    return max(infos, key=lambda info: query.time_of(database, info.writer, info.last_row))


def _moves(axis: Iterable[SeriesInfo]) -> bool:
    return any(info.count > 1 for info in axis)


def _last(axis: Iterable[SeriesInfo]) -> float:
    return max((info.last_value or 0.0 for info in axis), default=0.0)


def _unknown(what: str, name: str, known: Sequence[str], path: Path) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f" Near to it: {', '.join(map(repr, near))}." if near else ""
    return f"the run in '{path}' has no {what} '{name}'; it has {len(known)}.{hint}"
