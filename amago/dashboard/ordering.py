"""The order in which names are listed."""

import re

_DIGITS = re.compile(r"([0-9]+)")


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key: case is ignored and numbers count as numbers, so "ep 2" is before "ep 10"."""
    parts = _DIGITS.split(name.casefold())
    keys = [_number(part) if i % 2 else (1, 0, part) for i, part in enumerate(parts)]
    return (*keys, (1, 0, name))


def _number(digits: str) -> tuple[int, int, str]:
    """Compares as the number does, however many digits a name has."""
    significant = digits.lstrip("0")
    return (0, len(significant), significant)
