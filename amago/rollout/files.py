"""Finished trajectories become files.

Every file appears whole or not at all, under a name that carries its order (see
`amago.loading.filenames`).
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from amago.core import npz
from amago.core.atomic import sync
from amago.core.errors import ConfigError, amago_warning
from amago.core.rng import derive_seed
from amago.hindsight import FrozenTraj, Timestep, Trajectory
from amago.loading import filenames
from amago.rollout.columns import pack, unpack

FORMATS = ("npz", "npz-compressed", "trajectory")
_ALIASES = {"traj": "trajectory"}


@dataclass
class FinishedTraj:
    """A trajectory that waits to be written.

    Attributes:
        env_name: of the environment it came from.
        row: of the environment it came from.
        action_dtype: of a previous action, which a stored trajectory does not say.
        was_cut: a fault of the environment ended it.
    """

    traj: FrozenTraj
    env_name: str
    row: int
    action_dtype: np.dtype
    was_cut: bool = False


class TrajectoryFiles:
    """The files that one writer puts in a directory.

    Args:
        directory: made if it is missing.
        save_as: one of `FORMATS`.
        seed: of the random parts of names.
        name_of: environment name -> the name its files carry.

    Attributes:
        writer: 32 bits, the mark of this writer in its file names.
        sequence: number of the next file; what its age goes by.
    """

    def __init__(
        self, directory: str, save_as: str, seed: int, name_of: Callable[[str], str]
    ) -> None:
        self.directory = directory
        self.save_as = save_as
        self.seed = seed
        self.name_of = name_of
        self.writer = writer_of(seed)
        self.sequence = 0
        self._first_unsynced: int | None = None
        os.makedirs(directory, exist_ok=True)

    def number_above_all(self) -> None:
        """Number the next files above all that are there, whoever wrote them."""
        self.sequence = max(self.sequence, filenames.next_sequence(os.listdir(self.directory)))

    def write(self, item: FinishedTraj) -> None:
        """Write one trajectory. Raises `OSError`, and then leaves nothing behind."""
        stem = filenames.file_stem(
            env_name=self.name_of(item.env_name),
            sequence=self.sequence,
            writer=self.writer,
            random_part=derive_seed(self.seed, "file", self.sequence),
            length=len(item.traj.time_idxs),
            unix_time=time.time(),
            was_cut=item.was_cut,
        )
        path = os.path.join(self.directory, stem)
        if self.save_as == "trajectory":
            _thaw(item.traj, item.action_dtype).save_to_disk(path, self.save_as)
        else:
            compressed = self.save_as == "npz-compressed"
            npz.write_npz(f"{path}.npz", item.traj.to_dict(), compressed=compressed)
        if self._first_unsynced is None:
            self._first_unsynced = self.sequence
        self.sequence += 1

    def sync(self) -> None:
        """Make what was written since the last sync survive a power cut.

        Raises:
            OSError: a file could not be synced. It is deleted, because its contents may be lost
                without a trace; the others remain to be synced by the next call.
        """
        if self._first_unsynced is None:
            return
        for sequence, name in self._written_since(self._first_unsynced):
            path = os.path.join(self.directory, name)
            try:
                sync(path)
            except FileNotFoundError:  # evicted meanwhile
                continue
            except OSError as error:
                self._first_unsynced = sequence
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                error.add_note(f"{path} may be damaged and was deleted")
                raise
        sync(self.directory)
        self._first_unsynced = None

    def _written_since(self, first: int) -> list[tuple[int, str]]:
        """Sequence numbers and names of this writer's files from `first` on, in order."""
        own = f"{self.writer:08x}"
        numbered = (
            (filenames.sequence_of(name) or 0, name)
            for name in os.listdir(self.directory)
            if filenames.writer_of(name) == own
        )
        return sorted(pair for pair in numbered if pair[0] >= first)


def queue_state(finished: Iterable[FinishedTraj]) -> dict[str, Any]:
    """Trajectories that wait to be written, as nested plain values and arrays."""
    finished = list(finished)
    return {
        "trajs": pack([item.traj.to_dict() for item in finished]),
        "env_names": [item.env_name for item in finished],
        "rows": [item.row for item in finished],
        "action_dtypes": [item.action_dtype.str for item in finished],
        "were_cut": [item.was_cut for item in finished],
    }


def queue_of(state: dict[str, Any]) -> list[FinishedTraj]:
    """The inverse of `queue_state`."""
    fields = zip(
        unpack(state["trajs"]),
        state["env_names"],
        state["rows"],
        state["action_dtypes"],
        state["were_cut"],
        strict=True,
    )
    return [
        FinishedTraj(FrozenTraj.from_dict(traj), name, row, np.dtype(dtype), was_cut)
        for traj, name, row, dtype, was_cut in fields
    ]


def writer_of(seed: int) -> int:
    """32 bits that mark the files of the recorder with that seed."""
    return derive_seed(seed, "writer")


def checked_format(save_as: str | None) -> str:
    """The format by its present name.

    Raises:
        ConfigError: there is no such format.
    """
    if save_as is None:
        amago_warning("save_trajs_as=None now means 'npz'", category=DeprecationWarning)
        return "npz"
    save_as = _ALIASES.get(save_as, save_as)
    if save_as not in FORMATS:
        raise ConfigError(f"cannot save trajectories as '{save_as}'; choose from {FORMATS}")
    return save_as


def _thaw(traj: FrozenTraj, action_dtype: np.dtype) -> Trajectory:
    """The timesteps that `traj` was made of (whether the first was terminal is not stored)."""
    dones = np.concatenate((np.zeros((1, 1), dtype=bool), traj.dones))
    return Trajectory(
        [
            Timestep(
                obs={key: value[t : t + 1] for key, value in traj.obs.items()},
                prev_action=traj.rl2s[t : t + 1, 1:].astype(action_dtype),
                reward=traj.rl2s[t : t + 1, 0],
                time_idx=traj.time_idxs[t],
                terminal=dones[t],
                batched_envs=1,
            )
            for t in range(len(traj.time_idxs))
        ]
    )
