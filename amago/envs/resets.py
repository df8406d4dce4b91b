"""Calling `reset` methods that take a seed, and those that never heard of one."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any


def reset_with(
    reset: Callable[..., Any], seed: int | None = None, options: dict[str, Any] | None = None
) -> Any:
    """What `reset` returns, called with those of `seed` and `options` that it accepts.

    Environments without a `seed` argument work, but their episodes are not reproducible.
    """
    accepted = _accepted(getattr(reset, "__func__", reset))
    if len(accepted) == 2:
        return reset(seed=seed, options=options)
    arguments = {"seed": seed, "options": options}
    return reset(**{name: value for name, value in arguments.items() if name in accepted})


@lru_cache(maxsize=256)
def _accepted(function: Callable[..., Any]) -> frozenset[str]:
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return frozenset({"seed", "options"})
    return frozenset({"seed", "options"} & set(parameters))
