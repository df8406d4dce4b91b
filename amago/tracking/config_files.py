"""`config.json` and `config.gin` of a run, and how two configurations differ."""

import json
import os
import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

from amago.core.atomic import sweep_temporaries, write_whole
from amago.tracking.redact import redact_config, redact_text

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_LARGEST_ARRAY = 64
"""Numbers of an array in a configuration that are written out; a larger one is described."""


def write_config(run_dir: str | os.PathLike[str], config: Mapping[str, Any], gin_text: str) -> None:
    """Write `config.json` (every value) and `config.gin` (what reproduces them) into `run_dir`.

    Secrets are redacted. Each file appears whole, or not at all.
    """
    text = json.dumps(recordable(config), indent=2, allow_nan=False)
    write_text(Path(run_dir) / "config.json", text + "\n")
    write_text(Path(run_dir) / "config.gin", redact_text(gin_text))


def write_text(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old one or the new one, never part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(str(path.parent))
    write_whole(str(path), [text.encode(errors="backslashreplace")], fsync=True)


def recordable(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` as JSON-able values without secrets: what every record and tracker is given."""
    return redact_config(jsonable(config))


def jsonable(value: Any) -> Any:
    """`value` as JSON has it; a class or function by its full name, anything else by its `repr`.

    Equal values give equal results in every process: sets are sorted and addresses left out.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float | np.generic):
        return _number(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, Set):
        return sorted((jsonable(item) for item in value), key=repr)
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return _ADDRESS.sub("", repr(value))


def _number(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bool | int):
        return plain
    if isinstance(plain, float):
        return float(plain) if np.isfinite(plain) else str(plain)
    return str(plain)


def _array(value: np.ndarray) -> Any:
    if value.size <= _LARGEST_ARRAY:
        return jsonable(value.tolist())
    return f"array of {value.dtype}, shape {value.shape}"


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[Any]]:
    """`{"dotted.name": [old, new]}` of every setting that differs; a missing one is None."""
    before, after = flat(old), flat(new)
    return {
        name: [before.get(name), after.get(name)]
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    }


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"dotted.name": value}` of every leaf of a nested configuration; an empty dict is a leaf."""
    leaves: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            leaves.update(flat(value, f"{prefix}{name}."))
        else:
            leaves[f"{prefix}{name}"] = value
    return leaves
