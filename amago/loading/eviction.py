"""Files that have left the index of a buffer but not yet the disk.

A checkpoint names the files that training samples from. They have to outlive it, or a run that
goes on from it would see other data. So a file is evicted in two steps: it leaves the index at
once, and the disk when a checkpoint that no longer needs it is safe.

What a run wrote after the checkpoint it goes on from, it will collect again. Those files are not
sampled, move to `set_aside/` when the run goes on, and are deleted by its next checkpoint.
"""

import heapq
import os
from collections.abc import Container, Iterable, Sequence
from typing import Any

from amago.core.errors import amago_warning
from amago.loading.filenames import age_key, writer_of
from amago.loading.folder import BufferFolder

_SHARE_TO_FREE = 0.1


class Eviction:
    """Which files of a buffer are on their way out. Deletes nothing that a checkpoint needs,
    except in `make_room`.

    Attributes:
        evicted: keys out of the index, deleted after the next checkpoint.
        superseded: keys of files that are newer than the loaded checkpoint.
    """

    def __init__(self, folder: BufferFolder) -> None:
        self._folder = folder
        self.evicted: set[str] = set()
        self.superseded: set[str] = set()
        self._evicted_in_state: frozenset[str] = frozenset()
        self._evicted_in_checkpoint: frozenset[str] = frozenset()
        # Sequences: as sets they would be the largest part of what is kept for a file.
        self._needed_by_state: Sequence[str] = ()
        self._needed_by_checkpoint: Sequence[str] = ()

    @property
    def hidden(self) -> set[str]:
        """Keys that are on the disk and not to be sampled."""
        return self.evicted | self.superseded

    # -------------------------------------------------------------------------------- evicting

    def evict_oldest(self, keys: Iterable[str], count: int) -> None:
        """Mark the `count` oldest of `keys` as evicted."""
        self.evicted.update(self._oldest(keys, count))

    def _oldest(self, keys: Iterable[str], count: int) -> list[str]:
        return heapq.nsmallest(count, keys, key=lambda key: age_key(self._folder.path(key)))

    def delete_evicted(self) -> set[str]:
        """Delete every evicted file now; returns their keys."""
        return self._delete_evicted(frozenset(self.evicted))

    def _delete_evicted(self, keys: frozenset[str]) -> set[str]:
        done = self.evicted & keys
        self._folder.delete(done)
        self.evicted -= done
        return done

    def make_room(self, fifo: list[str]) -> set[str]:
        """Delete what is on its way out or, if that is nothing, the oldest tenth of `fifo`.

        Returns the keys that were deleted. Warns if the last checkpoint needs one of them.
        """
        deleted = self._folder.delete([*self.evicted, *self._set_aside_keys()])
        self.evicted -= deleted
        if not deleted and fifo:
            count = max(1, int(_SHARE_TO_FREE * len(fifo)))
            deleted = self._folder.delete(self._oldest(fifo, count))
        missed = len(deleted.intersection(self._needed_by_checkpoint))
        if missed:
            amago_warning(
                f"the disk is full: deleted {len(deleted)} trajectory files from "
                f"{self._folder.root}. The last checkpoint needs {missed} of them: a run that goes "
                "on from it will not see exactly the same data."
            )
        return deleted

    # ----------------------------------------------------------------------------- checkpoints

    def state(self, keys: list[str], waiting: list[str]) -> dict[str, Any]:
        """What a checkpoint must say about files.

        Args:
            keys: sampled from.
            waiting: written, and not yet in the index.
        """
        self._evicted_in_state = frozenset(self.evicted)
        self._needed_by_state = (*keys, *waiting)
        return {"keys": keys, "evicted": sorted(self.evicted), "waiting": waiting}

    def restore(self, state: dict[str, Any], present: Iterable[str]) -> None:
        """Go back to what `state` returned, given the keys of all files on the disk.

        Nothing is moved or deleted yet: who only loads a checkpoint must not take files away from
        a run that is alive.
        """
        present = set(present)
        self._needed_by_checkpoint = (*state["keys"], *state["waiting"])
        self._evicted_in_checkpoint = frozenset(state["evicted"])
        self.evicted = present & self._evicted_in_checkpoint
        fifo = {key for key in present if key.startswith("fifo/")}
        self.superseded = fifo.difference(self._needed_by_checkpoint, self._evicted_in_checkpoint)

    def go_on(self, own_writers: Container[str] | None) -> set[str]:
        """The run goes on from the checkpoint: set aside what its writers wrote after that, and
        delete what was evicted before it, if it died between the two steps.

        Args:
            own_writers: the writer fields of file names that are this run's; None: all files.

        Returns:
            The keys that were deleted.
        """
        for key in self.superseded:
            if own_writers is None or (writer_of(os.path.basename(key)) or "") in own_writers:
                self._folder.move(key, "set_aside")
        self.superseded = set()
        return self._delete_evicted(self._evicted_in_checkpoint)

    def delete_for_checkpoint(self) -> set[str]:
        """The last `state` is safe: delete the files it had evicted, and those set aside.

        Returns the keys that were evicted.
        """
        self._needed_by_checkpoint = self._needed_by_state
        self._evicted_in_checkpoint = self._evicted_in_state
        self._folder.delete(self._set_aside_keys())
        return self._delete_evicted(self._evicted_in_checkpoint)

    def _set_aside_keys(self) -> list[str]:
        return [f"set_aside/{name}" for name in self._folder.names("set_aside")]
