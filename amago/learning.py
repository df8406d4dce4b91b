"""What AMAGO 2 called `amago.experiment`, for users' scripts."""

from importlib import import_module
from typing import Any

from amago.core.errors import amago_warning


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # asked by the import machinery, not by a user
        raise AttributeError(f"module 'amago.learning' has no attribute '{name}'")
    found = getattr(import_module("amago.experiment"), name)
    amago_warning(f"import {name} from amago.experiment", category=DeprecationWarning)
    return found
