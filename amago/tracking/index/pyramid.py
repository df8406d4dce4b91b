"""From many points to few, such that no extreme is lost.

Two steps, of which the first is stored: every `BLOCK` values in a row become one line of a summary
(lowest, highest, sum, ...), and neighbouring lines become a bucket, one for each point that is
wanted. Points that need no summary are lines of one value.
"""

from typing import NamedTuple

import numpy as np

BLOCK = 64
"""Values that one line of a summary stands for."""

FIRST_ROW, LAST_ROW, VALUES, LOW, HIGH, SUM, NUMBERS = range(7)
"""Columns of a summary. VALUES counts all values of the block, NUMBERS those that are not NaN."""


class Buckets(NamedTuple):
    """One element a bucket: where it begins and ends among the lines, and what it holds.

    A bucket of nothing but NaN has NaN in `mean`, `low` and `high`: a gap stays a gap.
    """

    first: np.ndarray
    last: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def summarise(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Lines `[ceil(n / BLOCK), 7]` of `n` values and the rows they stand in."""
    starts = np.arange(0, len(values), BLOCK)
    ends = np.minimum(starts + BLOCK, len(values))
    is_number = ~np.isnan(values)
    with np.errstate(invalid="ignore", over="ignore"):  # inf - inf
        total = np.add.reduceat(np.where(is_number, values, 0.0), starts)
    return np.stack(
        [
            rows[starts],
            rows[ends - 1],
            ends - starts,
            np.fmin.reduceat(values, starts),
            np.fmax.reduceat(values, starts),
            total,
            np.add.reduceat(is_number.astype(np.float64), starts),
        ],
        axis=1,
    )


def buckets_of_lines(lines: np.ndarray, points: int) -> Buckets:
    """At most `points` buckets of equally many lines."""
    starts = bucket_starts(len(lines), points)
    return _buckets(starts, len(lines), *lines[:, [LOW, HIGH, SUM, NUMBERS]].T)


def buckets_of_values(values: np.ndarray, points: int) -> Buckets:
    """At most `points` buckets of equally many values."""
    is_number = ~np.isnan(values)
    total = np.where(is_number, values, 0.0)
    starts = bucket_starts(len(values), points)
    return _buckets(starts, len(values), values, values, total, is_number.astype(np.float64))


def bucket_starts(length: int, points: int) -> np.ndarray:
    """Where each of at most `points` buckets begins; their lengths differ by one at most."""
    count = max(1, min(length, points))
    return np.arange(count) * length // count


def _buckets(
    starts: np.ndarray,
    length: int,
    low: np.ndarray,
    high: np.ndarray,
    total: np.ndarray,
    numbers: np.ndarray,
) -> Buckets:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.add.reduceat(total, starts) / np.add.reduceat(numbers, starts)
    lowest, highest = np.fmin.reduceat(low, starts), np.fmax.reduceat(high, starts)
    return Buckets(
        first=starts,
        last=np.append(starts[1:], length) - 1,
        mean=np.clip(mean, lowest, highest),  # rounding may have left these bounds
        low=lowest,
        high=highest,
    )
