"""Values on their way into a record: plain Python in the caller, one JSON line in the writer.

JSON has no NaN and no infinity. They are written as the strings `"NaN"`, `"Infinity"` and
`"-Infinity"`, and a histogram as `{"histogram": {"counts": [...], "edges": [...]}}`; `decode`
turns both back. Text that equals one of the three strings therefore reads back as a number. An
image, a video or a table is `{"media": "image", "file": ..., ...}`: see `tracking/media.py`.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from amago.core.errors import amago_warning
from amago.core.values import Histogram, Image, Media, Table, Video

_TYPED = (Histogram, Image, Video, Table)
_PLAIN = (float, int, bool, str, type(None), *_TYPED)
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """`row` with every 0-d array or tensor as a Python number.

    What is not a scalar, a text or one of `core.values` is left out, with a warning that names it.
    """
    plain = {}
    for name, value in row.items():
        if type(value) not in _PLAIN:
            try:
                value = _scalar(value)
            except (TypeError, ValueError) as error:
                amago_warning(f"metric '{name}' was not recorded: {error}")
                continue
        plain[str(name)] = value
    return plain


def _scalar(value: Any) -> Any:
    if isinstance(value, _PLAIN):  # a subclass, e.g. IntEnum or numpy.float64
        return value if isinstance(value, _TYPED) else _base_type(value)
    shape = tuple(getattr(value, "shape", ()))
    if shape != () or not hasattr(value, "item"):
        what = f"an array of shape {shape}" if shape else f"a {type(value).__name__}"
        raise TypeError(f"{what} is not a number; reduce it to one, or return a Histogram.")
    return value.item()


def _base_type(value: Any) -> Any:
    return next(kind(value) for kind in (bool, int, float, str) if isinstance(value, kind))


KeepMedia = Callable[[str, int, Media], dict[str, Any]]
"""Takes name, step and value of an image, video or table; returns what the row has instead."""


def to_line(entry: Mapping[str, Any], keep: KeepMedia | None = None) -> bytes:
    """`entry` as one line of ASCII JSON, newline included. Never fails on an odd value.

    Args:
        keep: writes media as files (`MediaFolder.keep`); None records only what they were.
    """
    if keep is not None and entry.get("kind") == "row":
        entry = _with_media_kept(entry, keep)
    try:
        text = _dumps(entry)
    except ValueError:  # a number that is not finite: rare, so only then pay for looking
        text = _dumps(finite(entry))
    return text.encode("ascii") + b"\n"


def _with_media_kept(entry: Mapping[str, Any], keep: KeepMedia) -> Mapping[str, Any]:
    kept = {
        name: keep(name, entry["step"], value)
        for name, value in entry["data"].items()
        if isinstance(value, Media)
    }
    return {**entry, "data": entry["data"] | kept} if kept else entry


def _dumps(entry: Any) -> str:
    return json.dumps(entry, separators=(",", ":"), allow_nan=False, default=_encode)


def _encode(value: Any) -> Any:
    if isinstance(value, Histogram):
        counts, edges = np.asarray(value.counts), np.asarray(value.edges)
        return {"histogram": {"counts": finite(counts.tolist()), "edges": finite(edges.tolist())}}
    if isinstance(value, Media):
        return value.describe() | {"file": None}
    return repr(value)


def finite(value: Any) -> Any:
    """`value` with NaN and infinities inside it as the strings that stand for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def decode(value: Any) -> Any:
    """A stored value as it was given: the inverse of what `to_line` does to one."""
    if isinstance(value, str):
        return _NOT_FINITE.get(value, value)
    if isinstance(value, dict) and "histogram" in value:
        stored = value["histogram"]
        return Histogram(_array(stored["counts"]), _array(stored["edges"]))
    return value


def _array(stored: list[Any]) -> np.ndarray:
    return np.asarray([decode(item) for item in stored])
