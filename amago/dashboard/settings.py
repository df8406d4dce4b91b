"""Settings of runs: nested, as one list of names, and where runs differ."""

from collections.abc import Mapping, Sequence
from typing import Any

MISSING = {"missing": True}
"""Stands for a setting that a run does not have."""


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"dotted.name": value}` of every leaf; an empty dict is a leaf."""
    leaves: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            leaves.update(flat(value, f"{prefix}{name}."))
        else:
            leaves[f"{prefix}{name}"] = value
    return leaves


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
