"""Several runs as one line with a band: mean or interquartile mean over seeds.

Runs are brought onto a common grid of x first. A run counts at a grid point only if the point lies
between the run's own first and last x, where it is interpolated linearly; nothing is extrapolated.
So the number of runs may fall towards the end of a chart, and it is reported for every point.

Axes: `R` runs, `P` grid points, `S` resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Statistic = Literal["mean", "iqm"]
Band = Literal["std", "minmax", "bootstrap"]

RESAMPLES = 1000
_COVERAGE = 0.95
_LARGEST_BLOCK = 2_000_000
"""Numbers of a `[S, R, P]` array that is made at once."""


@dataclass(frozen=True)
class BandLine:
    """A line with a band; all are `[P]`. `counts`: runs at each point, at least 1."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray


def band_over_runs(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
    points: int = 400,
    statistic: Statistic = "mean",
    band: Band = "std",
    seed: int = 0,
) -> BandLine:
    """The runs' curves as one line with a band.

    Args:
        curves: `(x, y)` of each run; x does not decrease. Points that are not finite are left out.
        points: most points of the grid.
        statistic: what the line is. "iqm" is the mean of the middle half of the runs.
        band: "std", one sample standard deviation on each side of the line; "minmax"; or
            "bootstrap", the interval that holds 95 % of the statistic over resampled runs.
        seed: of the resampling: the same curves always give the same band.
    """
    usable = [curve for curve in map(_finite, curves) if len(curve[0])]
    x = common_grid([curve[0] for curve in usable], points)
    values = onto_grid(usable, x)
    counts = np.isfinite(values).sum(axis=0)
    x, values, counts = x[counts > 0], values[:, counts > 0], counts[counts > 0]
    y = np.empty(len(x))
    low, high = np.empty(len(x)), np.empty(len(x))
    for columns, rows in _by_runs_present(values):
        present = values[np.ix_(rows, columns)]
        y[columns] = CENTRE[statistic](present)
        low[columns], high[columns] = _interval(present, statistic, band, y[columns], seed)
    return BandLine(x, y, low, high, counts)


def common_grid(xs: Sequence[np.ndarray], points: int) -> np.ndarray:
    """The x of all runs, sorted, if they are at most `points`; else `points` evenly spaced ones."""
    if not xs:
        return np.empty(0)
    union = np.unique(np.concatenate(xs))
    return union if len(union) <= points else np.linspace(union[0], union[-1], points)


def onto_grid(curves: Sequence[tuple[np.ndarray, np.ndarray]], x: np.ndarray) -> np.ndarray:
    """`[R, P]`: each curve at `x`, NaN outside of its own first and last x.

    Where a curve has several values at one x, the last counts.
    """
    values = np.full((len(curves), len(x)), np.nan)
    for row, (own_x, own_y) in enumerate(curves):
        is_last = np.append(own_x[1:] > own_x[:-1], True)
        values[row] = np.interp(x, own_x[is_last], own_y[is_last], left=np.nan, right=np.nan)
    return values


def mean(values: np.ndarray) -> np.ndarray:
    """`[R, P]` to `[P]`."""
    return values.mean(axis=0)


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """`[R, P]` to `[P]`: the mean without the lowest and the highest quarter.

    A quarter of the runs is not always a whole number: 5 runs count with the weights
    0, 0.75, 1, 0.75, 0 from lowest to highest.
    """
    weights = _middle_half(np.arange(1.0, len(values) + 1), np.ones(len(values)), len(values))
    return weights @ np.sort(values, axis=0) / weights.sum()


CENTRE: dict[Statistic, Callable[[np.ndarray], np.ndarray]] = {
    "mean": mean,
    "iqm": interquartile_mean,
}


def bootstrap_interval(
    values: np.ndarray, statistic: Statistic, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """`[R, P]` to two `[P]`: percentiles 2.5 and 97.5 of `statistic` over resampled runs.

    A resample draws R runs with replacement, the same ones at every point.
    """
    num_runs = len(values)
    draws = np.random.default_rng(seed).integers(num_runs, size=(resamples, num_runs))
    times_drawn = np.stack([np.bincount(draw, minlength=num_runs) for draw in draws])  # [S, R]
    if statistic == "mean":
        samples = times_drawn @ values / num_runs
    else:
        width = max(1, _LARGEST_BLOCK // (resamples * num_runs))
        blocks = [
            _resampled_iqm(values[:, start : start + width], times_drawn)
            for start in range(0, values.shape[1], width)
        ]
        samples = np.concatenate(blocks, axis=1)
    tail = (1 - _COVERAGE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    return low, high


def _resampled_iqm(values: np.ndarray, times_drawn: np.ndarray) -> np.ndarray:
    """`[R, P]` and `[S, R]` to `[S, P]`: sorts the runs once, not once a resample."""
    order = np.argsort(values, axis=0)  # [R, P]
    copies = times_drawn[:, order].astype(float)  # [S, R, P]
    weights = _middle_half(np.cumsum(copies, axis=1), copies, len(values))
    ordered = np.take_along_axis(values, order, axis=0)
    return np.einsum("srp,rp->sp", weights, ordered) / (len(values) / 2)


def _middle_half(ends: np.ndarray, widths: np.ndarray, total: int) -> np.ndarray:
    """How much of `[ends - widths, ends]` lies in the middle half of `[0, total]`."""
    return np.clip(
        np.minimum(ends, 0.75 * total) - np.maximum(ends - widths, 0.25 * total), 0.0, None
    )


def _interval(
    values: np.ndarray, statistic: Statistic, band: Band, centre: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    if band == "minmax":
        return values.min(axis=0), values.max(axis=0)
    if len(values) == 1:  # nothing is known about the spread
        return centre, centre
    if band == "bootstrap":
        return bootstrap_interval(values, statistic, seed)
    spread = values.std(axis=0, ddof=1)
    return centre - spread, centre + spread


def _by_runs_present(values: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Groups of columns of `[R, P]` in which the same runs are present: `(columns, rows)`."""
    present = np.isfinite(values)
    patterns, group = np.unique(present, axis=1, return_inverse=True)
    group = group.ravel()
    return [
        (np.flatnonzero(group == i), np.flatnonzero(patterns[:, i]))
        for i in range(patterns.shape[1])
    ]


def _finite(curve: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    x, y = (np.asarray(values, dtype=float) for values in curve)
    keep = np.isfinite(x) & np.isfinite(y)
    return x[keep], y[keep]
