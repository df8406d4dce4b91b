"""Environments: the wrapper they must be in, exploration noise, and pools that step many."""

from importlib import import_module
from typing import Any

_HOME = {
    "AMAGOEnv": "amago.envs.amago_env",
    "AMAGO_ENV_LOG_PREFIX": "amago.envs.amago_env",
    "ReturnHistory": "amago.envs.histories",
    "SpecialMetricHistory": "amago.envs.histories",
    "SequenceWrapper": "amago.envs.legacy",
    "EnvCreator": "amago.envs.legacy",
    "ExplorationWrapper": "amago.envs.exploration",
    "register_exploration": "amago.envs.exploration",
    "get_exploration_cls": "amago.envs.exploration",
    "list_registered_explorations": "amago.envs.exploration",
}
_SUBMODULES = ("amago_env", "builtin", "env_utils", "exploration", "pool")

__all__ = [*_HOME, "builtin"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _SUBMODULES:
        return import_module(f"amago.envs.{name}")
    raise AttributeError(f"module 'amago.envs' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBMODULES])
