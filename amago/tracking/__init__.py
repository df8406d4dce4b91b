"""Where results go, and how they are read: the local record, W&B, TensorBoard. No torch."""

from importlib import import_module
from typing import Any

_HOME = {
    "Tracker": "base",
    "TrackerContext": "base",
    "Background": "background",
    "FanOut": "base",
    "NullTracker": "base",
    "LocalRecord": "store",
    "Row": "reader",
    "read_rows": "reader",
    "read_events": "reader",
    "Run": "run",
    "open_run": "run",
    "find_runs": "runs",
    "export_run": "export",
    "write_config": "config_files",
    "Console": "console",
    "Forecast": "forecast",
    "SystemMonitor": "system",
    "WandbTracker": "wandb_tracker",
    "TensorBoardTracker": "tensorboard_tracker",
    "Metric": "metrics",
    "declared": "metrics",
    "all_metrics": "metrics",
}

__all__ = [*_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"amago.tracking.{_HOME[name]}"), name)
    raise AttributeError(f"module 'amago.tracking' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
