"""Trajectories in a directory: what actors wrote, oldest evicted, and what the user put there.

The directory is the truth. Every process lists it, so that collectors and learners on many
machines need no lock. Of the files, only names and sizes are kept in memory.
"""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from amago.core.atomic import sweep_temporaries
from amago.core.config import configurable
from amago.core.errors import TrajectoryError, amago_warning
from amago.hindsight import FrozenTraj, NoOpRelabeler, Relabeler, Trajectory
from amago.loading.batch import RLData
from amago.loading.damage import Damaged
from amago.loading.dataset import RLDataset, kept_globals
from amago.loading.eviction import Eviction
from amago.loading.folder import VANISHED, BufferFolder
from amago.loading.rows import BatchRows, Blocks
from amago.loading.slicing import random_window
from amago.loading.windows import Pick, WindowReader, load_traj_from_disk, to_rl_data

T = TypeVar("T")

_MAX_DRAWS = 200


def get_path_to_trajs(dset_root: str, dset_name: str, fifo: bool) -> str:
    """The directory of evictable (`fifo`) or protected trajectories."""
    kind = "fifo" if fifo else "protected"
    return os.path.join(dset_root, dset_name, "buffer", kind)


@configurable(module="amago.loading")
class DiskTrajDataset(RLDataset):
    """A replay buffer of trajectory files. Sizes count files.

    Args:
        dset_root, dset_name: the directory is `{dset_root}/{dset_name}/buffer`.
        dset_max_size: beyond this many files in `fifo`, the oldest are not sampled any more. They
            are deleted by the next checkpoint, because a run that goes on from the last one needs
            them; at once if there are no checkpoints.
        dset_min_size: training begins with this many files (of either kind).
        relabeler: rewrites each trajectory after it was loaded, before it is cut.
        trust_pickle: also read `.traj` files, which are pickles: they can run any code. Others
            ignore them.

    Raises:
        ConfigError: its directories cannot be made or, at `configure`, not be used.
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
        self._folder = BufferFolder(self.buffer_path)
        self._damaged = Damaged(self._folder)
        self._eviction = Eviction(self._folder)
        self._is_main = True
        self._sizes: dict[str, int] = {}
        self._keys: list[str] = []
        self._reader = WindowReader()
        self._whole_reader = WindowReader(must_agree=False)  # a relabeler may make them agree
        self._blocks = Blocks()

    # ------------------------------------------------------------------------------ the index

    def configure(self, *args: Any, **kwargs: Any) -> None:
        super().configure(*args, **kwargs)
        self._folder.check(writable=self.has_edit_rights)
        if self.has_edit_rights:
            sweep_temporaries(self.fifo_path)
        self._refresh_files()

    def configure_from_experiment(self, experiment: Any) -> None:
        super().configure_from_experiment(experiment)
        if getattr(experiment, "train_timesteps_per_epoch", 0) > 0:  # it collects
            self._folder.check(writable=True)

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
        self._damaged.look()
        found = {key for kind in ("fifo", "protected") for key in self._list(kind)}
        found -= self._damaged.keys
        for key in self._sizes.keys() - found:
            del self._sizes[key]
        shared = {size: size for size in self._sizes.values()}  # one object for equal sizes
        for key in found - self._sizes.keys():
            size = self._folder.size(key)
            if size is not None:
                self._sizes[key] = shared.setdefault(size, size)
        self._eviction.evicted &= self._sizes.keys()
        self._keys = self._sampled()

    def _list(self, kind: str) -> Iterator[str]:
        """Keys of the files in a directory that may be read."""
        num_ignored = 0
        for name in self._folder.names(kind):
            if name.endswith(".npz") or (self.trust_pickle and name.endswith(".traj")):
                yield f"{kind}/{name}"
            elif name.endswith(".traj"):
                num_ignored += 1
        if num_ignored:
            amago_warning(
                f"ignoring {num_ignored} .traj file(s) in {self._folder.path(kind)}: they are "
                "pickles, which may run any code. Pass trust_pickle=True if you know who wrote "
                "them."
            )

    def _sampled(self) -> list[str]:
        """The keys of the index, in order."""
        hidden = self._eviction.hidden
        return sorted(key for key in self._sizes if key not in hidden)

    # ------------------------------------------------------------------------------- sampling

    def __getitem__(self, i: int) -> RLData:
        """Item `i`: a random file, of which only a random window is read where that is possible."""
        if not self._reads_windows:
            return super().__getitem__(i)

        def read(path: str, pick: Pick) -> RLData:
            if path.endswith(".npz"):
                return self._reader.read(path, pick)
            data = self._load(path)
            data.cut(*pick(len(data)))
            return data

        return self._window_of_item(i, read)

    def __getitems__(self, indices: Sequence[int]) -> Sequence[RLData]:
        """The items `indices`, in the memory of one batch if possible."""
        if not self.fills_rows:
            return self._one_by_one(indices)
        rows = BatchRows(len(indices), self._blocks)
        for k, i in enumerate(indices):
            self.fill_row(rows, k, i)
        return rows

    def _one_by_one(self, indices: Sequence[int]) -> list[RLData]:
        if self._reads_windows or not self._makes_its_items:
            return [self[i] for i in indices]
        self.check_configured()
        with kept_globals():
            return [self._draw_item(i) for i in indices]

    @property
    def _makes_its_items(self) -> bool:
        return type(self).__getitem__ is DiskTrajDataset.__getitem__

    @property
    def fills_rows(self) -> bool:
        """Whether items are the same when they are read straight into a batch."""
        return self._makes_its_items and not self.trust_pickle and self._reads_windows

    def fill_row(self, rows: BatchRows, k: int, i: int) -> None:
        """Read item `i` into row `k`.

        Raises:
            SchemaMismatchError: the rows before it have other arrays.
        """
        make = partial(rows.row, k)
        self._window_of_item(i, lambda path, pick: self._reader.read_into(path, pick, make))

    def _window_of_item(self, i: int, read: Callable[[str, Pick], T]) -> T:
        self.check_configured()
        rng = self.item_rng(i)

        def pick(num_transitions: int) -> tuple[int, int]:
            return random_window(num_transitions, self.max_seq_len, self.padded_sampling, rng)

        return self._first_readable(lambda n: int(rng.integers(n)), lambda path: read(path, pick))

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
        if path.endswith(".npz"):
            traj = self._whole_reader.read_all(path)
        else:
            traj = load_traj_from_disk(path, trust_pickle=self.trust_pickle)
        return self._traj_to_rl_data(self.relabeler(traj) if self.relabeler else traj)

    def _traj_to_rl_data(self, traj: Trajectory | FrozenTraj) -> RLData:
        """Tensors of a loaded, relabelled trajectory."""
        return to_rl_data(traj.freeze() if isinstance(traj, Trajectory) else traj)

    def _first_readable(self, randrange: Callable[[int], int], read: Callable[[str], T]) -> T:
        """What `read` makes of a random file. One that is gone or damaged gives way to the next."""
        for _ in range(_MAX_DRAWS):
            if not self._keys:
                break
            # A damaged file stays in the index until the next listing, so that the other draws
            # of this epoch keep their files.
            key = self._keys[randrange(len(self._keys))]
            if key in self._damaged.keys:
                continue
            try:
                return read(self._folder.path(key))
            except OSError as error:
                if error.errno not in VANISHED:
                    raise
                self._damaged.count_vanished()
            except TrajectoryError as error:
                self._damaged.reject(key, error, len(self._keys), may_move=self.has_edit_rights)
        raise TrajectoryError(
            f"found no trajectory to read in {self.buffer_path}: {len(self._keys)} files are "
            f"listed, {self.num_vanished} were gone, {self.num_bad} damaged"
        )

    @property
    def num_vanished(self) -> int:
        """Times that a file was gone when it was to be read."""
        return self._damaged.num_vanished

    @property
    def num_bad(self) -> int:
        """Damaged files that were met."""
        return len(self._damaged.keys)

    # --------------------------------------------------------------------- eviction, per epoch

    def on_end_of_collection(self, experiment: Any) -> dict[str, Any]:
        """List the files again and, with edit rights, evict. Returns metrics (SI gigabytes)."""
        if not self.has_edit_rights:
            self._refresh_files()
            return {}
        wait = self._meet(experiment)
        wait()  # for what the others collected
        self._refresh_files()
        num_evicted = self._filter(self.dset_max_size)
        wait()  # all have seen the same files, and evicted the same
        if self._is_main and not getattr(experiment, "ckpt_interval", None):
            self._forget(self._eviction.delete_evicted())
        return self._metrics(num_evicted)

    def _forget(self, deleted: set[str]) -> None:
        for key in deleted:
            self._sizes.pop(key, None)

    def _meet(self, experiment: Any) -> Callable[[], None]:
        """Note whether this is the process that deletes; returns a barrier of all processes."""
        ranks: Any = getattr(experiment, "accelerator", None)
        if getattr(ranks, "num_processes", 1) == 1:
            return lambda: None
        self._is_main = ranks.is_main_process
        return ranks.wait_for_everyone

    def _metrics(self, num_evicted: int) -> dict[str, Any]:
        num_fifo = sum(key.startswith("fifo/") for key in self._keys)
        return {
            "Trajectory Files Saved in FIFO Replay Buffer": num_fifo,
            "Trajectory Files Saved in Protected Replay Buffer": len(self._keys) - num_fifo,
            "Total Trajectory Files in Replay Buffer": len(self._keys),
            "Trajectory Files Deleted": num_evicted,
            "Buffer Disk Space (GB)": sum(self._sizes.values()) * 1e-9,
            **self._damaged.report(),
        }

    def _filter(self, new_size: int) -> int:
        """Evict the oldest `fifo` files until `new_size` are left. Returns how many it evicted."""
        fifo = [key for key in self._keys if key.startswith("fifo/")]
        surplus = max(0, len(fifo) - int(min(new_size, len(fifo))))
        if surplus:
            self._eviction.evict_oldest(fifo, surplus)
            self._keys = self._sampled()
        return surplus

    def make_room(self) -> int:
        """Delete what is evicted or set aside; if there is nothing, the oldest tenth of `fifo`.

        Needs edit rights. The index changes with the next listing. Returns how many files.
        """
        if not self.has_edit_rights:
            return 0
        hidden = self._eviction.hidden
        return len(self._eviction.make_room([k for k in self._list("fifo") if k not in hidden]))

    def delete(self, delete_protected: bool = False) -> None:
        """Delete every stored trajectory; protected ones only when asked to."""
        kinds = ("fifo", "set_aside", *(["protected"] if delete_protected else []))
        self._folder.delete(key for kind in kinds for key in self._list(kind))
        self._refresh_files()

    # ------------------------------------------------------------------------------ checkpoints

    def state_dict(self) -> dict[str, Any]:
        """The epoch and the files: sampled from, in order; evicted; written and not listed yet."""
        index = {*self._keys, *self._eviction.hidden, *self._damaged.keys}
        waiting = sorted(key for key in self._list("fifo") if key not in index)
        return {"epoch": self.epoch, **self._eviction.state(list(self._keys), waiting)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Sample from the files of the checkpoint again.

        Those that are gone stay in the index until the next listing: a draw that meets one moves
        on, so that the other draws keep their files. With edit rights, `fifo` files that the
        checkpoint does not know are ignored; what becomes of them is decided when the run goes on
        (`on_learning_begins`).
        """
        super().load_state_dict(state)
        self._eviction.restore({"keys": (), "evicted": (), "waiting": ()}, present=())
        self._refresh_files()
        gone = set(state["keys"]) - self._sizes.keys()
        if gone:
            amago_warning(
                f"{len(gone)} of {len(state['keys'])} trajectory files of the checkpoint are "
                f"gone from {self.buffer_path}; training goes on with the others"
            )
        if self.has_edit_rights:
            self._eviction.restore(state, present=self._sizes)
        self._keys = list(state["keys"])

    def on_learning_begins(self, experiment: Any) -> None:
        """Set aside what this run wrote after the checkpoint it goes on from."""
        wait = self._meet(experiment)
        if self.has_edit_rights:
            self._forget(self._eviction.go_on(getattr(experiment, "own_writers", None)))
        wait()  # numbers of new files follow from those that are there

    def on_checkpoint_saved(self) -> None:
        """Delete the files that only earlier checkpoints needed."""
        if self.has_edit_rights and self._is_main:
            self._forget(self._eviction.delete_for_checkpoint())
