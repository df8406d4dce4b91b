"""Trajectory encoders: a sequence of timestep embeddings to a sequence of states, causally."""

from importlib import import_module
from typing import Any

_HOME = {
    "TrajEncoder": "base",
    "register_traj_encoder": "base",
    "get_traj_encoder_cls": "base",
    "list_registered_traj_encoders": "base",
    "IdentityTrajEncoder": "feedforward",
    "FFTrajEncoder": "feedforward",
    "GRUTrajEncoder": "gru",
    "TformerTrajEncoder": "attention",
    "MambaTrajEncoder": "mamba",
}

__all__ = [*_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"amago.nets.traj_encoders.{_HOME[name]}"), name)
    raise AttributeError(f"module 'amago.nets.traj_encoders' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
