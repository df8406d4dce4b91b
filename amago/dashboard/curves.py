"""Points of metrics over an axis: single runs, and groups of runs as bands."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amago.dashboard.bands import Band, Statistic, band_over_runs
from amago.dashboard.encoding import numbers
from amago.tracking.run import MetricInfo, Run, Series
from amago.tracking.sections import section

Span = tuple[float | None, float | None]

_GRID_DETAIL = 4
"""Points read of each run for one point of a band: interpolation then adds little of its own."""


def curves(
    runs: Mapping[str, Run], metrics: Sequence[str], x: str, points: int, span: Span = (None, None)
) -> list[dict[str, Any]]:
    """Each metric of each run (by id), run by run; those that a run does not have are left out."""
    lines = []
    for run_id, run in runs.items():
        found = read(run, metrics, x, points, span)
        lines += [{"run": run_id, "metric": name, **line(found[name])} for name in found]
    return lines


def line(series: Series) -> dict[str, Any]:
    """A series as JSON-able lists; `low` and `high` are null where every row is shown."""
    is_thinned = series.n > len(series.x)
    return {
        "x": numbers(series.x),
        "y": numbers(series.y),
        "low": numbers(series.low) if is_thinned else None,
        "high": numbers(series.high) if is_thinned else None,
        "n": series.n,
    }


def bands(
    groups: Sequence[tuple[str, Mapping[str, Run]]],
    metrics: Sequence[str],
    x: str,
    points: int,
    statistic: Statistic,
    band: Band,
) -> list[dict[str, Any]]:
    """Each metric of each group `(label, runs)` as a line with a band over its runs."""
    lines = []
    for label, runs in groups:
        series = [read(run, metrics, x, points * _GRID_DETAIL) for run in runs.values()]
        for metric in metrics:
            members = [(found[metric].x, found[metric].y) for found in series if metric in found]
            if members:
                result = band_over_runs(members, points, statistic, band)
                arrays = {"x": result.x, "y": result.y, "low": result.low, "high": result.high}
                lines.append(
                    {"group": label, "metric": metric, "runs": len(members)}
                    | {key: numbers(array) for key, array in arrays.items()}
                    | {"counts": result.counts.tolist()}
                )
    return lines


def read(
    run: Run, names: Sequence[str], x: str, points: int, span: Span = (None, None)
) -> dict[str, Series]:
    """Those of `names` that `run` has as numbers, metrics and axes, over `x`."""
    start, stop = span
    known = {metric.name for metric in run.metrics if metric.kind == "number"}
    metrics = [name for name in names if name in known]
    found = run.many_series(metrics, x, points=points, start=start, stop=stop)
    axes = [name for name in names if name in run.axes and name not in known]
    return found | axes_over(run, axes, x, points, span)


def axes_as_metrics(run: Run) -> list[MetricInfo]:
    """The x-axes, which the section `Charts` shows like metrics."""
    most = longest(run)
    if most is None:
        return []
    furthest = {
        axis: max(metric.last_axes.get(axis, -np.inf) for metric in run.metrics)
        for axis in run.axes
    }
    return [
        MetricInfo(axis, section(axis), "number", most.count, furthest[axis]) for axis in run.axes
    ]


def axes_over(
    run: Run, axes: Sequence[str], x: str, points: int, span: Span = (None, None)
) -> dict[str, Series]:
    """Axes over another axis, at the rows of the metric that has most of them.

    An axis never decreases, so few of its points say as much as all.
    """
    most = longest(run)
    if most is None or not axes:
        return {}
    return {axis: _axis_over(run, most.name, axis, x, points, span) for axis in axes}


def _axis_over(run: Run, metric: str, axis: str, x: str, points: int, span: Span) -> Series:
    if span == (None, None):
        at, values = run.series(metric, x, points), run.series(metric, axis, points)
        if at.n == values.n:  # every row has both, so the buckets are the same
            return Series(at.x, values.x, values.x, values.x, len(at.x))
    at, values = run.series(metric, x), run.series(metric, axis)
    # An axis that begins later lacks the first rows.
    both = min(at.n, values.n)
    own_x, y = at.x[at.n - both :], values.x[values.n - both :]
    low, high = (-np.inf if span[0] is None else span[0]), (np.inf if span[1] is None else span[1])
    inside = np.flatnonzero((own_x >= low) & (own_x <= high))
    count = min(points, len(inside))
    chosen = inside[np.linspace(0, len(inside) - 1, count).round().astype(int)]
    return Series(own_x[chosen], y[chosen], y[chosen], y[chosen], count)


def longest(run: Run) -> MetricInfo | None:
    """The numeric metric that stands in most rows."""
    numbers = [metric for metric in run.metrics if metric.kind == "number"]
    return max(numbers, key=lambda metric: metric.count, default=None)
