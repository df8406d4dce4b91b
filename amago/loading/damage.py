"""Stored files that cannot be trained on: moved out of the way, counted, and too many of them an
error. Works from loader workers too.
"""

import json
import mmap

import numpy as np
from torch.utils.data import get_worker_info

from amago.core.atomic import write_whole
from amago.core.errors import TrajectoryError, amago_warning
from amago.loading.folder import BufferFolder

_REASON = ".reason.json"
_TOLERATED_FILES = 3
_TOLERATED_SHARE = 0.01
_COUNTER_SLOTS = 64


class Damaged:
    """The damaged files of a buffer, as far as this run has met them.

    A rename to `quarantine/` is seen by every process, so that loader workers need no other way to
    tell: what appeared there since this object was made has been damaged.

    Attributes:
        keys: the damaged files.
        num_vanished: times that a file was gone when it was to be read; forked loader workers
            count here as well.
    """

    def __init__(self, folder: BufferFolder) -> None:
        self.keys: set[str] = set()
        self._folder = folder
        self._from_before = set(self._in_quarantine())
        # One slot a process. Memory of no file: forked workers write to the same.
        self._vanished = np.frombuffer(mmap.mmap(-1, 8 * _COUNTER_SLOTS), np.int64)
        self._reported = (0, 0)

    @property
    def num_vanished(self) -> int:
        return int(self._vanished.sum())

    def count_vanished(self) -> None:
        """A file was gone when it was to be read."""
        worker = get_worker_info()
        self._vanished[0 if worker is None else 1 + worker.id % (_COUNTER_SLOTS - 1)] += 1

    def reject(self, key: str, error: TrajectoryError, num_files: int, may_move: bool) -> None:
        """Note a damaged file; warn.

        Args:
            num_files: how many there are in all.
            may_move: move it to quarantine, if it is a `fifo` file.

        Raises:
            TrajectoryError: more than 1 % (and more than 3) of the files are damaged.
        """
        self.keys.add(key)
        moved = ""
        if may_move and key.startswith("fifo/"):
            moved = self._quarantine(key, error)
        self.look()
        if len(self.keys) > max(_TOLERATED_FILES, _TOLERATED_SHARE * num_files):
            raise TrajectoryError(
                f"{len(self.keys)} of {num_files} trajectory files in {self._folder.root} are "
                f"damaged or do not belong there. The last was {key}: {error}. Take them out, or "
                "find out what writes them."
            ) from error
        amago_warning(f"ignoring {self._folder.path(key)}: {error}{moved}")

    def look(self) -> None:
        """Learn what other processes moved to quarantine."""
        self.keys.update(set(self._in_quarantine()) - self._from_before)

    def report(self) -> dict[str, int]:
        """Metrics of what happened since the last report; nothing where nothing did."""
        self.look()
        now = (len(self.keys), self.num_vanished)
        bad, vanished = (new - old for new, old in zip(now, self._reported, strict=True))
        self._reported = now
        counts = {
            "Trajectory Files Quarantined": bad,
            "Trajectory Files Gone While Reading": vanished,
        }
        return {name: count for name, count in counts.items() if count}

    def _in_quarantine(self) -> list[str]:
        names = self._folder.names("quarantine")
        return [f"fifo/{name}" for name in names if not name.endswith(_REASON)]

    def _quarantine(self, key: str, error: TrajectoryError) -> str:
        """Returns what to add to the warning if that failed."""
        reason = json.dumps({"file": key, "reason": str(error)}, indent=2).encode()
        try:
            target = self._folder.move(key, "quarantine")
            if target is not None:  # None: another process was faster
                write_whole(f"{target}{_REASON}", [reason])
        except OSError as failure:  # a full or read-only disk is no reason to stop training
            return f" (and it could not be put into quarantine: {failure})"
        return ""
