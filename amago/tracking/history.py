"""What a run gives when it is asked for its metrics."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from amago.core.errors import MissingExtraError
from amago.tracking.index.query import Curve

Series = Curve
"""A metric over an axis: `x`, `y`, `low`, `high`, float64 `[m]`, and `n`."""


@dataclass(frozen=True)
class MetricInfo:
    """A metric of a run.

    Args:
        section: the part of the name before the slash.
        kind: "number", "histogram", "text", "image", "video" or "table".
        count: values there are.
        last: the last value; a float if it is a number.
        last_axes: the x-axes of the row it is in.
    """

    name: str
    section: str
    kind: str
    count: int
    last: Any
    last_axes: dict[str, float] = field(default_factory=dict)


class History(Mapping[str, tuple[np.ndarray, np.ndarray]]):
    """`{metric name: (x, y)}`, float64 arrays by ascending x.

    Attributes:
        run: name of the run.
        x: name of the axis.
    """

    def __init__(self, run: str, x: str, series: Mapping[str, Series]) -> None:
        self.run = run
        self.x = x
        self._series = dict(series)

    def __getitem__(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        found = self._series[name]
        return found.x, found.y

    def __iter__(self) -> Iterator[str]:
        return iter(self._series)

    def __len__(self) -> int:
        return len(self._series)

    def __repr__(self) -> str:
        return f"History(run={self.run!r}, x={self.x!r}, {len(self)} metrics)"

    def to_pandas(self) -> Any:
        """A DataFrame in long format: one line a value, columns `run`, `metric`, x, `value`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise MissingExtraError("pandas", "export", "History.to_pandas") from error
        lengths = [len(x) for x, _ in self.values()]
        return pd.DataFrame(
            {
                "run": self.run,
                "metric": np.repeat(np.array(list(self), dtype=object), lengths),
                self.x: _joined([x for x, _ in self.values()]),
                "value": _joined([y for _, y in self.values()]),
            }
        )


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.empty(0)
