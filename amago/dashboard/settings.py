"""Where the settings of runs differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from amago.tracking.config_files import flat

MISSING = {"missing": True}
"""Stands for a setting that a run does not have."""


def diff(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`{"key", "values"}` of every setting in which the runs differ; one value a run."""
    leaves = [flat(config) for config in configs]
    rows = []
    for key in sorted(set().union(*leaves)):
        values = [each.get(key, MISSING) for each in leaves]
        if any(_differs(value, values[0]) for value in values):
            rows.append({"key": key, "values": values})
    return rows


def _differs(one: Any, other: Any) -> bool:
    """As JSON differs: True is not 1, but 1 is 1.0."""
    return one != other or isinstance(one, bool) != isinstance(other, bool)
