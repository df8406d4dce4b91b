"""The HTTP API: one method a question. Reads, and never changes anything.

Work that blocks runs in a thread, one for each request; see `app.py` for the routes.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

import amago
from amago.dashboard import attempts, catalogue, curves, matrix, overview, settings
from amago.dashboard.bands import Band, Statistic
from amago.dashboard.files import OpenFile, open_inside
from amago.dashboard.library import Library
from amago.dashboard.requests import Body, RequestError
from amago.tracking.run import Run

_MOST_SERIES = 5_000
_MOST_POINTS = 4_000
_LARGEST_LOG = 4_000_000

Answer = dict[str, Any]


class Api:
    """Answers to the page's questions about the runs of a library, as JSON-able values.

    Every method may raise `RequestError`.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self.get: Mapping[str, Callable[[str, Mapping[str, str]], Answer]] = {
            "overview": self._overview,
            "config": self._config,
            "log": self._log,
            "files": self._files,
        }
        """Questions about one run: its id and the query string's entries."""
        self.post: Mapping[str, Callable[[Body], Answer]] = {
            "metrics": self._metrics,
            "series": self._series,
            "bands": self._bands,
            "values": self._values,
            "matrix": self._matrix,
            "attempts": self._attempts,
            "diff": self._diff,
        }
        """Questions about chosen runs."""

    def runs(self) -> Answer:
        """The list of runs."""
        self._library.touch()
        return {
            "runs": self._library.rows(),
            "roots": [str(root) for root in self._library.roots],
            "now": time.time(),
            "version": amago.__version__,
        }

    def changes(self, since: str) -> Answer:
        """What changed after a cursor."""
        return self._library.changes(since)

    def file(self, run_id: str, path: str) -> OpenFile:
        """An open file of a run; the caller closes it."""
        return open_inside(self._library.entry(run_id).path, path)

    # ------------------------------------------------------------------------ one run

    def _overview(self, run_id: str, query: Mapping[str, str]) -> Answer:
        with self._library.entry(run_id).use() as run:
            return overview.overview(run)

    def _config(self, run_id: str, query: Mapping[str, str]) -> Answer:
        with self._library.entry(run_id).use() as run:
            return overview.config(run)

    def _log(self, run_id: str, query: Mapping[str, str]) -> Answer:
        size = query.get("bytes", "65536")
        if not (size.isdecimal() and len(size) < 10):
            raise RequestError("'bytes' must be a whole number.")
        with self._library.entry(run_id).use() as run:
            return overview.log(run, min(int(size), _LARGEST_LOG))

    def _files(self, run_id: str, query: Mapping[str, str]) -> Answer:
        return overview.files(self._library.entry(run_id).path)

    # ------------------------------------------------------------------------ chosen runs

    def _metrics(self, body: Body) -> Answer:
        with self._library.using(body.texts("runs")) as runs:
            return catalogue.catalogue(runs)

    def _series(self, body: Body) -> Answer:
        run_ids, metrics, x = body.texts("runs"), body.texts("metrics"), body.text("x")
        points = body.whole("points", 800, smallest=2, largest=_MOST_POINTS)
        span = body.span("range")
        _check_size(len(run_ids) * len(metrics))
        lines: list[dict[str, Any]] = []
        for run_id, run in self._with_axis(run_ids, x):
            lines += curves.curves({run_id: run}, metrics, x, points, span)
        return {"series": lines}

    def _bands(self, body: Body) -> Answer:
        groups, metrics, x = body.groups("groups"), body.texts("metrics"), body.text("x")
        points = body.whole("points", 400, smallest=2, largest=_MOST_POINTS)
        statistic: Any = body.choice("statistic", get_args(Statistic), "mean")
        band: Any = body.choice("band", get_args(Band), "std")
        run_ids = list(dict.fromkeys(run_id for _, ids in groups for run_id in ids))
        _check_size(len(run_ids) * len(metrics))
        with self._library.using(run_ids) as runs:
            usable = {run_id: run for run_id, run in runs.items() if _has_axis(run, x)}
            members = [(name, {i: usable[i] for i in ids if i in usable}) for name, ids in groups]
            return {"bands": curves.bands(members, metrics, x, points, statistic, band)}

    def _values(self, body: Body) -> Answer:
        metric, x = body.text("metric"), body.text("x")
        with self._library.entry(body.text("run")).use() as run:
            if metric not in {each.name for each in run.metrics}:
                raise RequestError(f"This run has no metric {metric!r}.", status=404)
            _check_axis(run, x)
            return overview.values(run, metric, x)

    def _matrix(self, body: Body) -> Answer:
        section, x = body.text("section"), body.text("x")
        points = body.whole("points", 40, smallest=2, largest=_MOST_POINTS)
        with self._library.entry(body.text("run")).use() as run:
            _check_axis(run, x)
            return matrix.matrix(run, section, x, points)

    def _attempts(self, body: Body) -> Answer:
        section, x = body.text("section"), body.text("x")
        with self._library.using(body.texts("runs")) as runs:
            usable = {run_id: run for run_id, run in runs.items() if _has_axis(run, x)}
            return attempts.attempts(usable, section, x)

    def _diff(self, body: Body) -> Answer:
        with self._library.using(body.texts("runs")) as runs:
            return {"rows": settings.diff([run.config for run in runs.values()])}

    def _with_axis(self, run_ids: list[str], x: str) -> Iterator[tuple[str, Run]]:
        """One run after the other, each only as long as it is read."""
        for run_id in run_ids:
            with self._library.entry(run_id).use() as run:
                if _has_axis(run, x):
                    yield run_id, run


def _has_axis(run: Run, x: str) -> bool:
    return x in catalogue.menu(run.axes)


def _check_axis(run: Run, x: str) -> None:
    if not _has_axis(run, x):
        raise RequestError(f"This run has no x-axis {x!r}; it has {', '.join(run.axes)}.")


def _check_size(series: int) -> None:
    if series > _MOST_SERIES:
        raise RequestError(
            f"{series} curves are too many for one request; ask for at most {_MOST_SERIES}."
        )
