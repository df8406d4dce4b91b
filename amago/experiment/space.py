"""Writing what a run must not lose, also when the disk is full: old trajectories give way."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from amago.core.errors import CheckpointError, StorageError, amago_warning

if TYPE_CHECKING:
    from amago.experiment.experiment import Experiment

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def store_trajectories(experiment: Experiment) -> None:
    """Write the trajectories that have finished.

    Raises:
        StorageError: the disk is full, also after old trajectories were deleted. What could not be
            written waits in memory.
    """
    envs = experiment.train_envs
    try:
        envs.save_finished_trajs()
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        num_freed = _make_room(experiment, error)
        try:
            envs.save_finished_trajs()
        except OSError as again:
            raise StorageError(
                f"the disk of {experiment.dataset.save_new_trajs_to} is full ({again.strerror}), "
                f"also after {num_freed} stored trajectories were deleted. Free some space, then "
                f"resume the run from its last checkpoint; a smaller dset_max_size keeps fewer "
                f"files."
            ) from again
    if experiment.fifo_fsync == "always":
        envs.recorder.sync()


def save_with_room(experiment: Experiment) -> None:
    """Save a checkpoint. If the disk refuses, the run goes on, and its last checkpoint counts."""
    try:
        experiment.save_checkpoint()
    except CheckpointError as error:
        if not _is_full(error):
            raise
        _make_room(experiment, error)
        try:
            experiment.save_checkpoint()
        except CheckpointError as again:
            amago_warning(f"{again} The run goes on without this checkpoint.")


def _make_room(experiment: Experiment, error: Exception) -> int:
    num_freed = experiment.dataset.make_room()
    amago_warning(
        f"the disk is full ({error}): {num_freed} stored trajectories were deleted to make room."
    )
    return num_freed


def _is_full(error: CheckpointError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_SPACE
