"""What an exported page knows: the answers of the API, small enough to send.

Metrics are thinned to buckets of equally many rows, each with its mean, lowest and highest value
and the place of its last row on *every* axis. Metrics logged in the same rows share these places,
which keeps 272 of them over 50 axes small. Nothing says on which machine the run was made.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amago.dashboard import catalogue, overview
from amago.dashboard.anonymise import Anonymiser
from amago.dashboard.curves import longest
from amago.dashboard.evaluations import families
from amago.dashboard.listing import row_of
from amago.dashboard.matrix import grid_of
from amago.tracking.index.build import STEP, WALL_TIME
from amago.tracking.run import Run

_NUMBERS = 150_000
"""Numbers kept of a run's metrics, about: 8 bytes each in the page."""

_MOST_POINTS, _FEWEST_POINTS = 400, 40
_READ_AT_ONCE = 32
_LOG_BYTES = 32_768
_MOST_VALUES = 50
_LARGEST_TEXT = 10_000
_EXACT_AXES = {STEP, "total_frames", "Epoch", "gradient_steps"}


def export_run(run: Run, run_id: str, folder: str) -> dict[str, Any]:
    """Everything about one run that an exported page answers from."""
    anonymiser = Anonymiser(run.sessions)
    axes = catalogue.menu(run.axes)
    log = overview.log(run, _LOG_BYTES)
    return {
        "id": run_id,
        "row": row_of(run_id, folder, run) | {"name": anonymiser.text(run.name)},
        "axes": list(run.axes),
        "menu": axes,
        "default_axis": run.default_axis,
        "metrics": _metrics(run, run_id),
        **_samples(run, axes),
        "values": _values(run, axes),
        "evaluations": {
            section: _evaluation(run, section)
            for section in sorted({metric.section for metric in run.metrics})
            if grid_of(run, section).envs
        },
        "overview": _overview(run, folder, anonymiser),
        "config": anonymiser.value(overview.config(run)),
        "log": log | {"text": anonymiser.text(log["text"])},
        "files": overview.files(run.path),
    }


def _metrics(run: Run, run_id: str) -> list[dict[str, Any]]:
    last = {metric.name: metric.last for metric in run.metrics if metric.kind == "number"}
    return [entry | {"last": last.get(entry["name"])} for entry in catalogue.entries({run_id: run})]


def _overview(run: Run, folder: str, anonymiser: Anonymiser) -> dict[str, Any]:
    answer = anonymiser.session(overview.overview(run))
    sessions = [anonymiser.session(session) for session in run.sessions]
    for session in sessions:
        session.pop("config", None)
    return answer | {"folder": folder, "sessions": sessions}


def _evaluation(run: Run, section: str) -> dict[str, Any]:
    """The grid and the families of a section, so that the page need not parse names."""
    grid = grid_of(run, section)
    return {
        "envs": grid.envs,
        "metrics": grid.metrics,
        "names": [[grid.names.get((env, metric)) for metric in grid.metrics] for env in grid.envs],
        "families": [
            {"title": each.title, "attempts": each.attempts, "names": list(each.names.items())}
            for each in families(grid)
        ],
    }


# ------------------------------------------------------------------------------------- numbers


@dataclass(frozen=True)
class _Group:
    """Metrics logged in the same rows."""

    index: int
    starts: np.ndarray
    axes: dict[str, list[Any]]


def _samples(run: Run, axes: Sequence[str]) -> dict[str, Any]:
    """`groups` (places of the buckets on every axis) and `series` (name to values of its group).

    `longest` is the group with most rows, in which axes are drawn over other axes.
    """
    names = [metric.name for metric in run.metrics if metric.kind == "number"]
    points = min(_MOST_POINTS, max(_FEWEST_POINTS, _NUMBERS // (3 * max(1, len(names)))))
    groups: dict[bytes, _Group] = {}
    series: dict[str, Any] = {}
    for start in range(0, len(names), _READ_AT_ONCE):
        part = names[start : start + _READ_AT_ONCE]
        by_time = run.many_series(part, WALL_TIME)
        by_step = run.many_series(part, STEP)
        for name, found in by_time.items():
            places = np.concatenate([found.x, by_step[name].x])
            key = hashlib.sha256(places.tobytes()).digest()
            if key not in groups:
                groups[key] = _group(run, name, len(found.x), axes, points, len(groups))
            series[name] = _thinned(found.y, groups[key])
    most = longest(run)
    return {
        "groups": [group.axes for group in groups.values()],
        "series": series,
        "longest": None if most is None else series[most.name]["group"],
    }


def _group(run: Run, name: str, rows: int, axes: Sequence[str], points: int, index: int) -> _Group:
    count = min(rows, points)
    starts = np.arange(count) * rows // max(1, count)
    ends = np.append(starts[1:], rows) - 1
    places = {}
    for axis in axes:
        x = run.series(name, axis).x
        # An axis of an environment begins when that has been seen: the first rows lack it.
        whole = np.concatenate([np.full(max(0, rows - len(x)), np.nan), x])[:rows]
        if len(x):
            places[axis] = _rounded(whole[ends], 2 if axis not in _EXACT_AXES else 0)
    return _Group(index, starts, places)


def _thinned(y: np.ndarray, group: _Group) -> dict[str, Any]:
    if len(group.starts) == len(y):
        return {"group": group.index, "n": len(y), "y": _significant(y)}
    is_number = np.isfinite(y)
    counts = np.add.reduceat(is_number.astype(float), group.starts)
    with np.errstate(invalid="ignore"):
        mean = np.add.reduceat(np.where(is_number, y, 0.0), group.starts) / counts
    return {
        "group": group.index,
        "n": len(y),
        "y": _significant(mean),
        "low": _significant(np.fmin.reduceat(np.where(is_number, y, np.nan), group.starts)),
        "high": _significant(np.fmax.reduceat(np.where(is_number, y, np.nan), group.starts)),
    }


def _significant(values: np.ndarray) -> list[float | int | None]:
    """Six significant digits, which no chart shows more of; None where not finite."""
    texts = (float(f"{value:.6g}") for value in values.tolist())
    return [
        None if not np.isfinite(value) else int(value) if value.is_integer() else value
        for value in texts
    ]


def _rounded(values: np.ndarray, digits: int) -> list[float | int | None]:
    rounded = np.round(values, digits).tolist()
    return [
        None if not np.isfinite(value) else int(value) if value.is_integer() else value
        for value in rounded
    ]


# ------------------------------------------------------------------------------------- others


def _values(run: Run, axes: Sequence[str]) -> dict[str, Any]:
    """The last values of histograms and texts: `{name: {"values": [...], "axes": {axis: [...]}}}`.

    Pictures stay in the run's folder.
    """
    kept = {}
    for metric in run.metrics:
        if metric.kind not in {"histogram", "text"}:
            continue
        answers = overview.values(run, metric.name, STEP)["values"][-_MOST_VALUES:]
        values = [_short(answer["value"]) for answer in answers]
        places = {}
        for axis in axes:
            x = [at for at, _ in run.values(metric.name, axis)][-len(values) :]
            places[axis] = [None] * (len(values) - len(x)) + x
        kept[metric.name] = {"values": values, "axes": places}
    return kept


def _short(value: Any) -> Any:
    return value[:_LARGEST_TEXT] if isinstance(value, str) else value
