"""What users call accepts their calls: parameter names, their order, their defaults.

`signatures.json` is frozen. A signature may grow at its end, by parameters that have a default, and
a required parameter may become optional; nothing else may change.
"""

import dataclasses
import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from amago.core.config import REQUIRED

HERE = Path(__file__).parent
SIGNATURES = json.loads((HERE / "signatures.json").read_text())
FIELDS = json.loads((HERE / "experiment_fields.json").read_text())


def resolve(dotted: str) -> Any:
    """The class, function or method of a path whose last parts may be attributes of a class."""
    names = dotted.split(".")
    for split in range(len(names) - 1, 0, -1):
        try:
            found = import_module(".".join(names[:split]))
        except ModuleNotFoundError:
            continue
        for name in names[split:]:
            found = getattr(found, name)
        return found
    raise ModuleNotFoundError(dotted)


def shown(parameter: inspect.Parameter) -> str:
    """`name`, `name=default`, `*name` or `**name`; classes and functions by their name."""
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    name = stars.get(parameter.kind, "") + parameter.name
    default = parameter.default
    if default is inspect.Parameter.empty:
        return name
    if default is REQUIRED:
        return f"{name}=REQUIRED"
    if isinstance(default, tuple):
        default = list(default)
    return f"{name}={default.__name__ if hasattr(default, '__name__') else repr(default)}"


def accepts(found: list[inspect.Parameter], frozen: list[str]) -> list[str]:
    """The frozen parameters as they are now, and what else a caller would have to give."""
    now = [shown(parameter) for parameter in found]
    for i, wanted in enumerate(frozen[: len(now)]):
        became_optional = "=" not in wanted and now[i].startswith(f"{wanted}=")
        if became_optional:
            now[i] = wanted
    added = [text for text in now[len(frozen) :] if "=" not in text and not text.startswith("*")]
    return now[: len(frozen)] + added


@pytest.mark.parametrize("dotted", SIGNATURES)
def test_signature(dotted: str) -> None:
    found = inspect.signature(resolve(dotted)).parameters.values()
    assert accepts(list(found), SIGNATURES[dotted]) == SIGNATURES[dotted]


def test_experiment_has_every_field_with_its_default() -> None:
    from amago.experiment import Experiment

    wanted = dict(FIELDS)
    found = {}
    for field in dataclasses.fields(Experiment):
        if field.name in wanted:
            value = "REQUIRED" if field.default is dataclasses.MISSING else field.default
            found[field.name] = getattr(value, "__name__", value)
    assert found == wanted
