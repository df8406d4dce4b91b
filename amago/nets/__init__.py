"""Torch modules: timestep and trajectory encoders, policies, critics. They know tensors only.

Names are imported on first use.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "TstepEncoder": "amago.nets.tstep_encoders",
    "register_tstep_encoder": "amago.nets.tstep_encoders",
    "get_tstep_encoder_cls": "amago.nets.tstep_encoders",
    "list_registered_tstep_encoders": "amago.nets.tstep_encoders",
    "TrajEncoder": "amago.nets.traj_encoders",
    "register_traj_encoder": "amago.nets.traj_encoders",
    "get_traj_encoder_cls": "amago.nets.traj_encoders",
    "list_registered_traj_encoders": "amago.nets.traj_encoders",
}
_SUBMODULES = (
    "actor_critic",
    "cnn",
    "ff",
    "goal_embedders",
    "policy_dists",
    "traj_encoders",
    "transformer",
    "tstep_encoders",
    "utils",
)

__all__ = [*_HOME, *_SUBMODULES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _SUBMODULES:
        return import_module(f"amago.nets.{name}")
    raise AttributeError(f"module 'amago.nets' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
