"""Values that a metric may have besides a number. Trackers turn them into their own types."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Histogram:
    """Counts between edges: `counts[i]` values fell into `[edges[i], edges[i + 1])`."""

    counts: np.ndarray
    edges: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, bins: int = 64) -> "Histogram":
        """Histogram of a sample of any shape."""
        counts, edges = np.histogram(np.asarray(values).ravel(), bins=bins)
        return cls(counts, edges)
