"""Stored trajectories become training batches."""

from importlib import import_module
from typing import Any

_HOME = {
    "MAGIC_PAD_VAL": "batch",
    "pad": "batch",
    "RLData": "batch",
    "Batch": "batch",
    "RLData_pad_collate": "batch",
    "load_traj_from_disk": "windows",
    "get_path_to_trajs": "disk",
    "Dataset": "dataset",  # torch's own; a client annotates with it
    "RLDataset": "dataset",
    "DoNothingDataset": "dataset",
    "DiskTrajDataset": "disk",
    "MixtureOfDatasets": "mixture",
}

__all__ = [*_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"amago.loading.{_HOME[name]}"), name)
    if name == "TrajDset":
        return _renamed_dataset()
    raise AttributeError(f"module 'amago.loading' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)


def _renamed_dataset() -> Any:
    from amago.core.errors import amago_warning

    amago_warning(
        "amago.loading.TrajDset is now called DiskTrajDataset", category=DeprecationWarning
    )
    return import_module("amago.loading.disk").DiskTrajDataset
