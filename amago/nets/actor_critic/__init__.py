"""Heads on top of a sequence model: policies, critics, and how a critic's output is read."""

from importlib import import_module
from typing import Any

_HOME = {
    "Actor": "actors",
    "BaseActorHead": "actors",
    "ResidualActor": "actors",
    "BaseCriticHead": "critics",
    "NCritics": "critics",
    "NCriticsTwoHot": "critics",
    "gammas_as_input_seq": "critics",
    "PopArtLayer": "values",
    "PopArtRegression": "values",
    "TwoHotClassification": "values",
    "Values": "values",
}

__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(_HOME)
