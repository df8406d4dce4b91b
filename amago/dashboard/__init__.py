"""The web page of local records: `amago dashboard`. Torch-free; starts in well under a second."""

from importlib import import_module
from typing import Any

_HOME = {
    "Library": "library",
    "create_app": "app",
    "serve": "serve",
    "serve_in_background": "background",
    "BackgroundDashboard": "background",
    "export_page": "export_html",
    "pack_reference": "reference_runs",
}

__all__ = [*_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"amago.dashboard.{_HOME[name]}"), name)
    raise AttributeError(f"module 'amago.dashboard' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
