"""Results by attempt: how much better an agent gets within a rollout, at several training times.

A line holds one value an attempt, for one moment of training. The moments are at most `TIMES`,
spread evenly over the axis, the first and the last included.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from amago.dashboard.encoding import numbers
from amago.dashboard.evaluations import Family, families
from amago.dashboard.matrix import grid_of
from amago.tracking.run import Run, Series

TIMES = 6

_MOST_ENVS = 100
"""Environments that get a chart of their own."""

_MOST_ROWS = 4_000
"""Evaluations read of a run; more are averaged in buckets."""


def attempts(runs: Mapping[str, Run], section: str, x: str) -> dict[str, Any]:
    """Every family of attempts of `runs` (by id): the mean over environments, then each of them."""
    found: dict[tuple[str, str | None], dict[str, Any]] = {}
    for run_id, run in runs.items():
        its_families = families(grid_of(run, section))
        wanted = [name for each in its_families for name in _names(each.names.values())]
        series = run.many_series(wanted, x, points=_MOST_ROWS)
        for family in its_families:
            for env, names in _charts(family):
                lines = _lines(series, names)
                chart = found.setdefault(
                    (family.title, env),
                    {"title": family.title, "env": env, "attempts": [], "lines": []},
                )
                _add(chart, family.attempts, [{"run": run_id, **line} for line in lines])
    return {"families": list(found.values())}


def training_times(x: np.ndarray, most: int = TIMES) -> np.ndarray:
    """At most `most` of the values in ascending `x`: those nearest to evenly spaced ones."""
    if len(x) <= most:
        return x
    wanted = np.linspace(x[0], x[-1], most)
    right = np.clip(np.searchsorted(x, wanted), 1, len(x) - 1)
    nearest = np.where(wanted - x[right - 1] <= x[right] - wanted, right - 1, right)
    return x[np.unique(nearest)]


def _charts(family: Family) -> list[tuple[str | None, list[list[str | None]]]]:
    """`(env, [names of each env that counts])`; env None is the mean over all."""
    every = list(family.names.items())
    single = [(env, [names]) for env, names in every[:_MOST_ENVS]]
    return [(None, [names for _, names in every]), *single] if len(every) > 1 else [*single]


def _lines(
    series: Mapping[str, Series], names: Sequence[Sequence[str | None]]
) -> list[dict[str, Any]]:
    """One line a training time; `names` is `[envs, attempts]`."""
    present = [series[name] for name in _names(names)]
    xs = [found.x[np.isfinite(found.y)] for found in present]
    times = training_times(np.unique(np.concatenate(xs)) if xs else np.empty(0))
    values = np.full((len(names), len(names[0]), len(times)), np.nan)
    for env, row in enumerate(names):
        for attempt, name in enumerate(row):
            if name is not None:
                values[env, attempt] = _at(series[name], times)
    is_there = np.isfinite(values)
    counts = is_there.sum(axis=0)
    sums = np.where(is_there, values, 0.0).sum(axis=0)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return [
        {"x": at, "y": numbers(means[:, i])}
        for i, at in enumerate(numbers(times))
        if np.isfinite(means[:, i]).any()
    ]


def _names(names: Iterable[Sequence[str | None]]) -> list[str]:
    return [name for row in names for name in row if name is not None]


def _at(series: Series, times: np.ndarray) -> np.ndarray:
    """The last value at each of `times`; NaN where there is none."""
    if not len(series.x):
        return np.full(len(times), np.nan)
    position = np.searchsorted(series.x, times, side="right") - 1
    is_there = (position >= 0) & (series.x[position] == times)
    return np.where(is_there, series.y[position], np.nan)


def _add(chart: dict[str, Any], attempts: list[int], lines: list[dict[str, Any]]) -> None:
    """Add a run's lines; runs with different attempts get the union of them."""
    union = sorted({*chart["attempts"], *attempts})
    for line in chart["lines"]:
        line["y"] = _spread(line["y"], chart["attempts"], union)
    chart["lines"] += [line | {"y": _spread(line["y"], attempts, union)} for line in lines]
    chart["attempts"] = union


def _spread(y: list[Any], attempts: list[int], union: list[int]) -> list[Any]:
    by_attempt = dict(zip(attempts, y, strict=True))
    return [by_attempt.get(attempt) for attempt in union]
