"""The learner side: gradient steps, the optimiser, what is due in an epoch, many processes.

| module | idea |
|---|---|
| `learner` | one gradient step |
| `divergence` | an update whose gradient is not finite is skipped, and counted |
| `optimizers` | AdamW, AdamW with relative steps, learning-rate warm-up |
| `schedule` | which steps of the loop are due in an epoch |
| `rng` | the global random streams, one per phase |
| `distributed` | one process or many: the only file that speaks to accelerate |
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Learner": "learner",
    "Learnable": "learner",
    "AdamWRel": "optimizers",
    "adamw": "optimizers",
    "get_constant_schedule_with_warmup": "optimizers",
    "Due": "schedule",
    "Every": "schedule",
    "Schedule": "schedule",
    "PhaseRandomness": "rng",
    "Ranks": "distributed",
}

__all__ = [*_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"amago.training.{_HOME[name]}"), name)
    raise AttributeError(f"module 'amago.training' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
