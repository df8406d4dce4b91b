"""A causal Transformer decoder in parts: attention, positions, cache, blocks."""

from importlib import import_module
from typing import Any

_HOME = {
    "SelfAttention": "attention",
    "VanillaAttention": "attention",
    "SDPAttention": "attention",
    "FlashAttention": "attention",
    "FlexAttention": "flex",
    "VanillaFlexAttention": "flex",
    "SlidingWindowFlexAttention": "flex",
    "ClippedSlidingSinkAttention": "flex",
    "Cache": "cache",
    "TformerHiddenState": "cache",
    "FixedPosEmb": "positions",
    "LearnablePosEmb": "positions",
    "RotaryPosEmb": "positions",
    "SigmaReparam": "sigma_reparam",
    "AttentionLayer": "stack",
    "TransformerLayer": "stack",
    "Transformer": "stack",
}

__all__ = [*_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"amago.nets.transformer.{_HOME[name]}"), name)
    raise AttributeError(f"module 'amago.nets.transformer' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
