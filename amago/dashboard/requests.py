"""Reading what a page asks for. Everything in a request is checked before it is used."""

import json
from collections.abc import Sequence
from typing import Any

LARGEST_BODY = 1_000_000
"""Bytes; the longest list of metric names that makes sense is far below."""

_MOST_NAMES = 5_000
_LONGEST_NAME = 4_000


class RequestError(Exception):
    """A request that cannot be answered: `status` is the HTTP status, the text says why."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Body:
    """A request's JSON object; each method returns one checked entry or raises RequestError."""

    def __init__(self, data: bytes) -> None:
        try:
            parsed = json.loads(data)
        except (ValueError, RecursionError):
            raise RequestError("The body of the request is not JSON.") from None
        if not isinstance(parsed, dict):
            raise RequestError("The body of the request must be a JSON object.")
        self._entries: dict[str, Any] = parsed

    def text(self, key: str, default: str | None = None) -> str:
        """A text."""
        return _text(self._entries.get(key, default), key)

    def texts(self, key: str) -> list[str]:
        """A list of texts, without repetitions."""
        return _texts(self._entries.get(key), key)

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """One of `choices`."""
        value = self._entries.get(key, default)
        if value not in choices:
            raise RequestError(f"'{key}' must be one of {', '.join(choices)}.")
        return value

    def whole(self, key: str, default: int, smallest: int, largest: int) -> int:
        """A whole number, brought into the given limits."""
        value = self._entries.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise RequestError(f"'{key}' must be a whole number.")
        return min(max(value, smallest), largest)

    def span(self, key: str) -> tuple[float | None, float | None]:
        """`[lo, hi]` in ascending order, or nothing at all."""
        value = self._entries.get(key)
        if value is None:
            return None, None
        if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
            raise RequestError(f"'{key}' must be null or two numbers.")
        return float(min(value)), float(max(value))

    def groups(self, key: str) -> list[tuple[str, list[str]]]:
        """`[{"label": text, "runs": texts}]` as pairs."""
        value = self._entries.get(key)
        if not isinstance(value, list) or len(value) > _MOST_NAMES:
            raise RequestError(f"'{key}' must be a list of objects with 'label' and 'runs'.")
        pairs = []
        for group in value:
            if not isinstance(group, dict):
                raise RequestError(f"'{key}' must hold objects with 'label' and 'runs'.")
            pairs.append((_text(group.get("label"), "label"), _texts(group.get("runs"), "runs")))
        return pairs


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_NAME:
        raise RequestError(f"'{key}' must be a text of at most {_LONGEST_NAME} characters.")
    return value


def _texts(value: Any, key: str) -> list[str]:
    if not isinstance(value, list) or len(value) > _MOST_NAMES:
        raise RequestError(f"'{key}' must be a list of at most {_MOST_NAMES} texts.")
    return list(dict.fromkeys(_text(item, key) for item in value))
