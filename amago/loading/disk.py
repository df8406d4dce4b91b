"""Trajectories in a directory: what actors wrote, oldest evicted, and what the user put there.

    {dset_root}/{dset_name}/buffer/
        fifo/         written by actors, evicted oldest first
        protected/    the user's files: sampled, never deleted
        quarantine/   damaged fifo files, each with the reason
        set_aside/    fifo files that are newer than the checkpoint a run went on from

The directory is the truth. Every process lists it, so that collectors and learners on many
machines need no lock. Of the files, only names and sizes are kept in memory.
"""

import contextlib
import errno
import heapq
import json
import os
import random
from collections.abc import Callable
from typing import Any

from amago.core.atomic import sweep_temporaries, write_whole
from amago.core.config import configurable
from amago.core.errors import TrajectoryError, amago_warning
from amago.hindsight import FrozenTraj, NoOpRelabeler, Relabeler, Trajectory
from amago.loading.batch import RLData
from amago.loading.dataset import RLDataset
from amago.loading.filenames import age_key
from amago.loading.slicing import random_window
from amago.loading.windows import WindowReader, load_traj_from_disk, to_rl_data

_MAX_DRAWS = 200
_TOLERATED_BAD_FILES = 3
_TOLERATED_BAD_SHARE = 0.01
_VANISHED = (errno.ENOENT, errno.ESTALE)


def get_path_to_trajs(dset_root: str, dset_name: str, fifo: bool) -> str:
    """The directory of evictable (`fifo`) or protected trajectories."""
    kind = "fifo" if fifo else "protected"
    return os.path.join(dset_root, dset_name, "buffer", kind)


@configurable(module="amago.loading")
class DiskTrajDataset(RLDataset):
    """A replay buffer of trajectory files. Sizes count files.

    Args:
        dset_root, dset_name: the directory is `{dset_root}/{dset_name}/buffer`.
        dset_max_size: beyond this many files in `fifo`, the oldest are deleted.
        dset_min_size: training begins with this many files (of either kind).
        relabeler: rewrites each trajectory after it was loaded, before it is cut.
        trust_pickle: also read `.traj` files, which are pickles: they can run any code. Others
            ignore them.
    """

    def __init__(
        self,
        dset_root: str,
        dset_name: str,
        dset_max_size: int,
        dset_min_size: int = 1,
        relabeler: Relabeler | None = None,
        trust_pickle: bool = False,
    ) -> None:
        super().__init__(dset_name=dset_name)
        self.dset_root = dset_root
        self.dset_max_size = dset_max_size
        self.dset_min_size = dset_min_size
        self.relabeler = relabeler
        self.trust_pickle = trust_pickle
        self.fifo_path = get_path_to_trajs(dset_root, dset_name, fifo=True)
        self.protected_path = get_path_to_trajs(dset_root, dset_name, fifo=False)
        self.buffer_path = os.path.dirname(self.fifo_path)
        for path in (self.fifo_path, self.protected_path):
            os.makedirs(path, exist_ok=True)
        self.num_vanished = 0
        self.num_bad = 0
        self._bad: set[str] = set()
        self._newer: set[str] = set()
        self._sizes: dict[str, int] = {}
        self._keys: list[str] = []
        self._reader = WindowReader()

    # ------------------------------------------------------------------------------ the index

    def configure(self, *args: Any, **kwargs: Any) -> None:
        super().configure(*args, **kwargs)
        if self.has_edit_rights:
            sweep_temporaries(self.fifo_path)
        self._refresh_files()

    @property
    def save_new_trajs_to(self) -> str:
        return self.fifo_path

    @property
    def ready_for_training(self) -> bool:
        return self.configured and len(self._keys) >= self.dset_min_size

    def get_description(self) -> str:
        return f"{self.buffer_path} (at most {self.dset_max_size} files)"

    def _refresh_files(self) -> None:
        """List both directories again. Costs one call a new file."""
        found = {*self._list("fifo"), *self._list("protected")} - self._bad - self._newer
        for key in self._sizes.keys() - found:
            del self._sizes[key]
        for key in found - self._sizes.keys():
            with contextlib.suppress(FileNotFoundError):
                self._sizes[key] = os.path.getsize(self._path(key))
        self._keys = sorted(self._sizes)

    def _list(self, kind: str) -> list[str]:
        names = [n for n in os.listdir(self._path(kind)) if not n.startswith(".")]
        pickles = [f"{kind}/{name}" for name in names if name.endswith(".traj")]
        if pickles and not self.trust_pickle:
            amago_warning(
                f"ignoring {len(pickles)} .traj file(s) in {self._path(kind)}: they are pickles, "
                "which may run any code. Pass trust_pickle=True if you know who wrote them."
            )
            pickles = []
        return [f"{kind}/{name}" for name in names if name.endswith(".npz")] + pickles

    def _path(self, key: str) -> str:
        return os.path.join(self.buffer_path, key)

    # ------------------------------------------------------------------------------- sampling

    def __getitem__(self, i: int) -> RLData:
        """Item `i`: a random file, of which only a random window is read where that is possible."""
        if not self._reads_windows:
            return super().__getitem__(i)
        self.check_configured()
        rng = self.item_rng(i)

        def pick(num_transitions: int) -> tuple[int, int]:
            return random_window(num_transitions, self.max_seq_len, self.padded_sampling, rng)

        def read(path: str) -> RLData:
            if path.endswith(".npz"):
                return self._reader.read(path, pick)
            data = self._load(path)
            data.cut(*pick(len(data)))
            return data

        return self._first_readable(lambda n: int(rng.integers(n)), read)

    @property
    def _reads_windows(self) -> bool:
        """Whether nobody has to see whole trajectories: no relabeler, no overridden hook."""
        cls, hooks = type(self), ("sample_random_trajectory", "_traj_to_rl_data")
        own = all(getattr(cls, name) is getattr(DiskTrajDataset, name) for name in hooks)
        return own and (self.relabeler is None or type(self.relabeler) is NoOpRelabeler)

    def sample_random_trajectory(self) -> RLData:
        """A random file, whole. Draws from Python's global `random`."""
        return self._first_readable(random.randrange, self._load)

    def _load(self, path: str) -> RLData:
        traj = load_traj_from_disk(path, trust_pickle=self.trust_pickle)
        return self._traj_to_rl_data(self.relabeler(traj) if self.relabeler else traj)

    def _traj_to_rl_data(self, traj: Trajectory | FrozenTraj) -> RLData:
        """Tensors of a loaded, relabelled trajectory."""
        return to_rl_data(traj.freeze() if isinstance(traj, Trajectory) else traj)

    def _first_readable(
        self, randrange: Callable[[int], int], read: Callable[[str], RLData]
    ) -> RLData:
        """What `read` makes of a random file. One that is gone or damaged gives way to the next."""
        for _ in range(_MAX_DRAWS):
            if not self._keys:
                break
            key = self._keys[randrange(len(self._keys))]
            if key in self._bad:
                continue
            try:
                return read(self._path(key))
            except OSError as error:
                if error.errno not in _VANISHED:
                    raise
                self.num_vanished += 1
            except TrajectoryError as error:
                self._reject(key, error)
        raise TrajectoryError(
            f"found no trajectory to read in {self.buffer_path}: {len(self._keys)} files are "
            f"listed, {self.num_vanished} were gone, {self.num_bad} damaged"
        )

    # --------------------------------------------------------------------------- damaged files

    def _reject(self, key: str, error: TrajectoryError) -> None:
        """Ignore a damaged file from now on; stop when that happens too often.

        It stays in the index until the next listing, so that other draws keep their files.
        """
        self.num_bad += 1
        self._bad.add(key)
        if self.has_edit_rights and key.startswith("fifo/"):
            self._quarantine(key, error)
        allowed = max(_TOLERATED_BAD_FILES, _TOLERATED_BAD_SHARE * len(self._keys))
        if self.num_bad > allowed:
            raise TrajectoryError(
                f"{self.num_bad} of {len(self._keys)} trajectory files in {self.buffer_path} "
                f"are damaged or do not belong there. The last was {key}: {error}"
            ) from error
        amago_warning(f"ignoring {self._path(key)}: {error}")

    def _quarantine(self, key: str, error: TrajectoryError) -> None:
        target = os.path.join(self._path("quarantine"), os.path.basename(key))
        os.makedirs(self._path("quarantine"), exist_ok=True)
        reason = json.dumps({"file": key, "reason": str(error)}, indent=2).encode()
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            os.rename(self._path(key), target)
            write_whole(f"{target}.reason.json", [reason])

    # --------------------------------------------------------------------- eviction, per epoch

    def on_end_of_collection(self, experiment: Any) -> dict[str, Any]:
        """List the files again and, with edit rights, evict. Returns metrics (SI gigabytes)."""
        if not self.has_edit_rights:
            self._refresh_files()
            return {}
        ranks: Any = getattr(experiment, "accelerator", None)
        many = getattr(ranks, "num_processes", 1) > 1
        num_deleted = 0
        if many:
            ranks.wait_for_everyone()
        if not many or ranks.is_main_process:
            self._set_newer_aside()
            self._refresh_files()
            num_deleted = self._filter(self.dset_max_size)
        if many:
            ranks.wait_for_everyone()
        self._refresh_files()
        return self._metrics(num_deleted)

    def _metrics(self, num_deleted: int) -> dict[str, Any]:
        num_fifo = sum(key.startswith("fifo/") for key in self._keys)
        return {
            "Trajectory Files Saved in FIFO Replay Buffer": num_fifo,
            "Trajectory Files Saved in Protected Replay Buffer": len(self._keys) - num_fifo,
            "Total Trajectory Files in Replay Buffer": len(self._keys),
            "Trajectory Files Deleted": num_deleted,
            "Buffer Disk Space (GB)": sum(self._sizes.values()) * 1e-9,
        }

    def _filter(self, new_size: int) -> int:
        """Delete the oldest `fifo` files until `new_size` are left. Returns how many it deleted."""
        fifo = [self._path(key) for key in self._keys if key.startswith("fifo/")]
        surplus = max(0, len(fifo) - int(min(new_size, len(fifo))))
        for path in heapq.nsmallest(surplus, fifo, key=age_key):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        return surplus

    def delete(self, delete_protected: bool = False) -> None:
        """Delete every stored trajectory; protected ones only when asked to."""
        self._refresh_files()
        for key in self._keys:
            if delete_protected or key.startswith("fifo/"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path(key))
        self._refresh_files()

    # ------------------------------------------------------------------------------ checkpoints

    def state_dict(self) -> dict[str, Any]:
        """The epoch and the files it samples from, in order."""
        return {"epoch": self.epoch, "keys": list(self._keys)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Sample from the files of the checkpoint again.

        With edit rights, `fifo` files that the checkpoint does not know are ignored, because the
        restored run will collect them again; when it goes on, they move to `set_aside`. Not
        before: whoever only loads a checkpoint must not take files away from a run that is alive.
        """
        super().load_state_dict(state)
        self._refresh_files()
        known, present = set(state["keys"]), set(self._keys)
        if known - present:
            amago_warning(
                f"{len(known - present)} of {len(known)} trajectory files of the checkpoint are "
                f"gone from {self.buffer_path}; training goes on with the others"
            )
        if self.has_edit_rights:
            self._newer = {key for key in present - known if key.startswith("fifo/")}
        self._keys = sorted(known & present)

    def _set_newer_aside(self) -> None:
        if self._newer:
            os.makedirs(self._path("set_aside"), exist_ok=True)
        for key in self._newer:
            with contextlib.suppress(FileNotFoundError):
                os.rename(self._path(key), self._path(key.replace("fifo", "set_aside", 1)))

    def __getstate__(self) -> dict[str, Any]:
        """For loader workers: bound to the files, not to what this process counted."""
        return {**self.__dict__, "num_vanished": 0, "num_bad": 0}
