"""The experiment: settings, assembly, and the loop of collecting, learning and evaluating."""

from typing import Any

__all__ = ["Experiment"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from amago.experiment.experiment import Experiment

        return Experiment
    raise AttributeError(f"module 'amago.experiment' has no attribute '{name}'")
