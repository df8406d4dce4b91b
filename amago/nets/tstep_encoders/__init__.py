"""Timestep encoders: one observation, with the previous reward and action, to one vector."""

from importlib import import_module
from typing import Any

_HOME = {
    "TstepEncoder": "base",
    "register_tstep_encoder": "base",
    "get_tstep_encoder_cls": "base",
    "list_registered_tstep_encoders": "base",
    "FFTstepEncoder": "feedforward",
    "CNNTstepEncoder": "image",
}

__all__ = [*_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"amago.nets.tstep_encoders.{_HOME[name]}"), name)
    raise AttributeError(f"module 'amago.nets.tstep_encoders' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
