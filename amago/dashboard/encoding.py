"""Answers as JSON. Numbers that are not finite become null: JSON has no NaN."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def numbers(values: np.ndarray) -> list[float | int | None]:
    """A float `[n]` array as a list; whole numbers without a decimal point, if all are."""
    finite = np.isfinite(values)
    if not finite.all():
        return [value if is_finite else None for value, is_finite in zip(values.tolist(), finite)]
    whole = np.abs(values).max(initial=0.0) < 2**53 and np.array_equal(values, np.rint(values))
    return values.astype(np.int64).tolist() if whole else values.tolist()


def dumps(answer: Any) -> bytes:
    """`answer` as ASCII JSON."""
    try:
        text = _dumps(answer)
    except ValueError:  # something is not finite: rare, so only then pay for looking
        text = _dumps(finite(answer))
    return text.encode("ascii")


def finite(value: Any) -> Any:
    """`value` (nested) with None for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _dumps(answer: Any) -> str:
    return json.dumps(answer, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return finite(value.tolist())
    return str(value)
