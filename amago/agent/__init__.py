"""What is learnt, and how a policy acts."""

from importlib import import_module
from typing import Any

_HOME = {
    "Agent": "amago.agent.agent",
    "BaseAgent": "amago.agent.base",
    "MultiTaskAgent": "amago.agent.multitask",
    "Multigammas": "amago.agent.multigammas",
    "binary_filter": "amago.rl.filters",
    "exp_filter": "amago.rl.filters",
    "get_action_dim_and_type": "amago.agent.base",
    "get_agent_cls": "amago.agent.base",
    "leaky_relu_filter": "amago.rl.filters",
    "list_registered_agents": "amago.agent.base",
    "nstep_return": "amago.rl.returns",
    "register_agent": "amago.agent.base",
}

__all__ = list(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(_HOME)
