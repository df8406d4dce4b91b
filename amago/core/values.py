"""Values that a metric may have besides a number or a text.

They hold arrays, and nothing of any tracker: each tracker turns them into its own types. Images and
videos copy their pixels, so that a buffer may be used again for the next frame.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_CHANNELS = {1: "grey", 3: "colours", 4: "colours and opacity"}


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


@dataclass(frozen=True, eq=False)
class Image:
    """A picture.

    Args:
        pixels: `[height, width]` or `[height, width, 1, 3 or 4]`, uint8; kept with three axes.

    Raises:
        ValueError: another shape, or no pixels.
        TypeError: another dtype.
    """

    pixels: np.ndarray

    def __post_init__(self) -> None:
        pixels = np.array(self.pixels)
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        _check_pixels("an Image", pixels, "[height, width, 1, 3 or 4]", 3, _CHANNELS)
        object.__setattr__(self, "pixels", pixels)

    def describe(self) -> dict[str, Any]:
        """What a record says about it, besides the file that holds it."""
        return {"media": "image", "shape": list(self.pixels.shape)}


@dataclass(frozen=True, eq=False)
class Video:
    """Pictures in a row.

    Args:
        frames: `[time, height, width, 3]`, uint8.
        fps: frames a second.

    Raises:
        ValueError: another shape, no frames, or `fps` not above 0.
        TypeError: another dtype.
    """

    frames: np.ndarray
    fps: float = 15.0

    def __post_init__(self) -> None:
        frames = np.array(self.frames)
        _check_pixels("a Video", frames, "[time, height, width, 3]", 4, [3])
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"a Video shows more than 0 frames a second, not fps={self.fps}.")
        object.__setattr__(self, "frames", frames)

    def describe(self) -> dict[str, Any]:
        """What a record says about it, besides the file that holds it."""
        return {"media": "video", "shape": list(self.frames.shape), "fps": self.fps}


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns, and rows with one number, text, bool or None in each.

    Raises:
        ValueError: a row has another length than `columns`, or a name comes twice.
        TypeError: a cell holds something else.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def __post_init__(self) -> None:
        columns = [str(column) for column in self.columns]
        if not columns or len(set(columns)) < len(columns):
            raise ValueError(f"a Table has columns of different names, not {columns}.")
        rows = [[_cell(value) for value in row] for row in self.rows]
        for i, row in enumerate(rows):
            if len(row) != len(columns):
                raise ValueError(
                    f"row {i} of a Table has {len(row)} cells, but there are {len(columns)} "
                    f"columns: {', '.join(columns)}."
                )
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "rows", rows)

    def describe(self) -> dict[str, Any]:
        """What a record says about it, besides the file that holds it."""
        return {"media": "table", "columns": list(self.columns), "rows": len(self.rows)}


Media = Image | Video | Table
"""Values too large for a line of text: a record keeps each as a file."""


def _check_pixels(
    what: str, array: np.ndarray, shape: str, axes: int, channels: Iterable[int]
) -> None:
    if array.dtype != np.uint8:
        raise TypeError(
            f"{what} has pixels from 0 to 255 of dtype uint8, not {array.dtype}; for values "
            f"between 0 and 1: (255 * x).astype(np.uint8)."
        )
    if array.ndim != axes or array.shape[-1] not in channels or array.size == 0:
        raise ValueError(f"{what} has the shape {shape}, not {list(array.shape)}.")


def _cell(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    if not isinstance(plain, bool | int | float | str | None):
        raise TypeError(f"a cell of a Table holds a number, a text, a bool or None, not {value!r}.")
    return plain
