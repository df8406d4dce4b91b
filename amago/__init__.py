"""amago: agents that adapt in context.

Names are imported on first use, so `import amago` itself costs almost nothing.
"""

from importlib import import_module
from typing import Any

import amago.core.config  # noqa: F401  (from now on gin finds the built-in names by itself)

_HOME = {
    "Experiment": "amago.experiment",
    "Agent": "amago.agent",
    "register_agent": "amago.agent",
    "get_agent_cls": "amago.agent",
    "list_registered_agents": "amago.agent",
    "TstepEncoder": "amago.nets",
    "TrajEncoder": "amago.nets",
    "register_tstep_encoder": "amago.nets",
    "get_tstep_encoder_cls": "amago.nets",
    "list_registered_tstep_encoders": "amago.nets",
    "register_traj_encoder": "amago.nets",
    "get_traj_encoder_cls": "amago.nets",
    "list_registered_traj_encoders": "amago.nets",
    "ExplorationWrapper": "amago.envs",
    "register_exploration": "amago.envs",
    "get_exploration_cls": "amago.envs",
    "list_registered_explorations": "amago.envs",
    "open_run": "amago.tracking.run",
}
_SUBMODULES = (
    "agent",
    "cli_utils",
    "envs",
    "experiment",
    "hindsight",
    "learning",
    "loading",
    "nets",
    "utils",
)

__all__ = ["__version__", *_HOME, "cli_utils", "envs", "nets"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name == "__version__":
        return _version()
    if name in _SUBMODULES:
        return import_module(f"amago.{name}")
    raise AttributeError(f"module 'amago' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBMODULES])


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # half of what all else costs

    try:
        return version("amago")
    except PackageNotFoundError:
        return "unknown"
