"""Policy distributions: how the output of an actor network becomes a distribution over actions."""

from importlib import import_module
from typing import Any

_HOME = {
    "PolicyOutput": "base",
    "StdActivation": "base",
    "softplus_bounded_positive": "base",
    "tanh_bounded_positive": "base",
    "Discrete": "discrete",
    "DiscreteLikeContinuous": "discrete",
    "Multibinary": "discrete",
    "_Categorical": "discrete",
    "FactoredCategorical": "factored",
    "FactoredDiscrete": "factored",
    "FactoredLikeContinuous": "factored",
    "like_continuous": "factored",
    "Beta": "continuous",
    "GMM": "continuous",
    "TanhGaussian": "continuous",
    "_TanhTransform": "continuous",
}

__all__ = [name for name in _HOME if not name.startswith("_")]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(_HOME)
