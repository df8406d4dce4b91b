"""How much disk and memory a run will take, told before it starts rather than when it fails."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_FILE_BYTES = 4_096
"""Header, directory and last block of one stored trajectory, on average."""

_LIBRARY_BYTES = 600_000_000
"""Python with torch imported, measured on CPU; a CUDA context adds to it."""

_BYTES_PER_PARAMETER = 4
_BYTES_PER_TRAINED_PARAMETER = 12
"""Gradient and the two moments of Adam."""


def timestep_bytes(observation: Mapping[str, Any], action_size: int) -> int:
    """Bytes of one stored timestep.

    Args:
        observation: the observation's spaces by name (anything with `shape` and `dtype`).
        action_size: numbers in an action, `A`; a one-hot's width when discrete.
    """
    of_observation = sum(
        math.prod(space.shape) * np.dtype(space.dtype).itemsize for space in observation.values()
    )
    previous = 4 * (1 + action_size)
    time_reward_done_action = 8 + 4 + 1 + 4 * action_size
    return of_observation + previous + time_reward_done_action


def buffer_bytes(per_timestep: int, trajectory_length: int, trajectories: int) -> int:
    """Disk space of a full replay buffer of uncompressed files."""
    return trajectories * (trajectory_length * per_timestep + _FILE_BYTES)


def model_bytes(parameters: int, trained_parameters: int) -> int:
    """Memory of float32 weights, and of gradient and Adam's moments for those that are trained."""
    return _BYTES_PER_PARAMETER * parameters + _BYTES_PER_TRAINED_PARAMETER * trained_parameters


@dataclass(frozen=True)
class Forecast:
    """What a run is expected to need, in bytes.

    Args:
        buffer: disk space of the full replay buffer; None if the length of trajectories is unknown.
        free: free disk space where the buffer is.
        model: weights, gradients and optimiser.
        batch: one batch of sequences, without activations.
        growing: trajectories that are being collected and not yet on disk.
    """

    buffer: int | None
    free: int
    model: int
    batch: int
    growing: int

    @property
    def process(self) -> int:
        """Memory of the process, without activations and the environments' own."""
        return _LIBRARY_BYTES + self.model + 2 * self.batch + self.growing

    def lines(self) -> dict[str, str]:
        """`{name: text}` for the start-up summary."""
        if self.buffer is None:
            disk = f"grows with the length of episodes ({size(self.free)} free)"
        else:
            disk = f"up to {size(self.buffer)} on disk ({size(self.free)} free)"
        return {
            "Replay buffer": disk,
            "Process memory": f"about {size(self.process)}, plus activations "
            f"(model and optimizer {size(self.model)}, batch {size(self.batch)})",
        }

    def problem(self) -> str | None:
        """What to warn about, if the disk will not do."""
        if self.buffer is None or self.buffer <= self.free:
            return None
        return (
            f"the replay buffer may grow to {size(self.buffer)}, but only {size(self.free)} of "
            f"disk are free. Lower the dataset's dset_max_size, or put dset_root elsewhere."
        )


def forecast(
    *,
    per_timestep: int,
    folder: Path,
    trajectories: int,
    trajectory_length: int | None,
    actors: int,
    parameters: int,
    trained_parameters: int,
    batch_size: int,
    sequence_length: int,
) -> Forecast:
    """The forecast for a run.

    Args:
        per_timestep: see `timestep_bytes`.
        folder: where the buffer is, or will be: free space is that of its disk.
        trajectories: most files the buffer keeps (`dset_max_size`).
        trajectory_length: timesteps of a stored file: the episode's or `traj_save_len`, whichever
            is shorter; None if neither is known.
        sequence_length: stored timesteps of a training sequence, `max_seq_len + 1`.
    """
    length = trajectory_length
    return Forecast(
        buffer=None if length is None else buffer_bytes(per_timestep, length, trajectories),
        free=free_bytes(folder),
        model=model_bytes(parameters, trained_parameters),
        batch=batch_size * sequence_length * per_timestep,
        growing=actors * (length or 0) * per_timestep,
    )


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of `folder`, which need not exist yet."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(existing).free


def size(count: float) -> str:
    """Bytes for people: `1.2 GB`, in powers of 1000."""
    units = iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while count >= 999.5 and unit != "TB":
        count, unit = count / 1000, next(units)
    return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
