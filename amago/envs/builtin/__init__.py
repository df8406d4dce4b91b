"""Built-in environments, one module a suite. Each is a plain `gym.Env`: wrap it in `AMAGOEnv`.

Modules are imported on first use, and heavy packages inside the functions that need them.
"""

from importlib import import_module
from types import ModuleType

_SUITES = (
    "batched_frozen_lake",
    "batched_key_door",
    "batched_tmaze",
    "metaworld_ml",
    "tmaze",
    "toy_gym",
)

__all__ = [*_SUITES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
