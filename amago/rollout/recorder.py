"""Timesteps of many environments become trajectory files.

The timesteps of all environments lie in one array per field, `[time, N, ...]`: a step is one copy
per field, whatever `N` is, and nothing is done per environment until an episode ends there or its
file is long enough.

Axes: `N` environments, `L` stored timesteps, `A` action.
"""

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from amago.core import npz
from amago.core.errors import ConfigError, amago_warning
from amago.core.rng import derive_seed, generator
from amago.envs.pool.base import PoolStep
from amago.hindsight import FrozenTraj, Timestep, Trajectory
from amago.loading.filenames import file_stem, next_sequence

FORMATS = ("npz", "npz-compressed", "trajectory")
_ALIASES = {"traj": "trajectory"}
_NOT_ACTIVE = np.iinfo(np.int64).max // 2
_FIRST_CAPACITY = 128


@dataclass
class FinishedTraj:
    """A trajectory that waits to be written, and the environment it came from."""

    traj: FrozenTraj
    env_name: str
    row: int


class Recorder:
    """Follows `N` environments step by step; writes trajectory files.

    Args:
        save_to: directory for the files. None records nothing.
        save_every: (low, high), the length limit in transitions, drawn for each file. A file
            that would exceed it is ended; its last timestep is the first of the next file. None
            ends files only where episodes end.
        save_as: "npz", "npz-compressed" or "trajectory" (a pickle).
        seed: of the limits and the random part of file names.
        name_of: environment name -> the name its files carry.

    Attributes:
        finished: trajectories that wait for `save_finished`.
        save_on_done: write a trajectory as soon as it is finished.

    Raises:
        ConfigError: an unknown format, or limits that are no range of positive integers.
    """

    def __init__(
        self,
        num_envs: int,
        save_to: str | None,
        save_every: tuple[int, int] | None = None,
        save_as: str | None = "npz",
        seed: int = 0,
        name_of: Callable[[str], str] = str,
    ) -> None:
        self.num_envs = num_envs
        self.save_to = save_to
        self.save_every = _checked_limits(save_every)
        self.save_as = _checked_format(save_as)
        self.seed = seed
        self.name_of = name_of
        self.finished: deque[FinishedTraj] = deque()
        self.save_on_done = False
        self._columns: _Columns | None = None
        self._now = 0
        self._start = np.full(num_envs, _NOT_ACTIVE)
        self._limit = np.full(num_envs, _NOT_ACTIVE)
        self._next_split = _NOT_ACTIVE
        self._num_files = [0] * num_envs
        self._sequence = 0
        self._must_list = True
        if save_to is not None:
            os.makedirs(save_to, exist_ok=True)

    # ---------------------------------------------------------------------------- recording

    def begin(self, step: PoolStep) -> None:
        """Start a trajectory in every environment, after a reset. Unfinished ones are dropped."""
        if self.save_to is None:
            return
        self._columns = _Columns(step.timestep)
        self._columns.write(0, step.timestep)
        self._now = 0
        self._must_list = True
        self._start_rows(range(self.num_envs))

    def observe(self, step: PoolStep) -> list[FinishedTraj]:
        """Add a step. Returns the trajectories that it finished (also queued in `finished`)."""
        if self.save_to is None:
            return []
        columns = self._active_columns()
        if self._must_list:
            self._list_sequences()
        if self._now + 1 == columns.capacity:
            self._make_room(columns)
        self._now += 1
        columns.write(self._now, step.timestep)
        if not step.stepped.all():
            self._hold_still(columns, ~(step.stepped | step.started))
        done: list[FinishedTraj] = []
        ended, started = step.ended, step.started
        if ended.any():
            for row in np.flatnonzero(ended & step.stepped):
                done += self._close(row, step.env_names[row], step.final)
                self._start[row] = _NOT_ACTIVE
            self._plan_split()
        if started.any():
            self._start_rows(np.flatnonzero(started))
        if self._now >= self._next_split:
            done += self._split(step.env_names)
        self.finished.extend(done)
        if done and self.save_on_done:
            self._save_queue()
        return done

    def _active_columns(self) -> "_Columns":
        if self._columns is None:
            raise RuntimeError("observe() before begin(): the recorder has not seen a reset")
        return self._columns

    def _start_rows(self, rows: Any) -> None:
        """The present timestep is the first of a new file in `rows`."""
        for row in rows:
            self._start[row] = self._now
            if self.save_every is not None:
                low, high = self.save_every
                draws = generator(self.seed, "length", int(row), self._num_files[row])
                self._limit[row] = draws.integers(low, high + 1)
            self._num_files[row] += 1
        self._plan_split()

    def _plan_split(self) -> None:
        self._next_split = int((self._start + self._limit).min())

    def _split(self, env_names: list[str]) -> list[FinishedTraj]:
        rows = np.flatnonzero(self._now >= self._start + self._limit)
        done = [item for row in rows for item in self._close(row, env_names[row], None)]
        self._start_rows(rows)
        return done

    def _close(self, row: Any, env_name: str, final: Timestep | None) -> list[FinishedTraj]:
        """The file of `row` up to now, its last timestep from `final` if given. A list of 0 or 1:
        a single timestep is no trajectory, and nothing to train on.
        """
        start = int(self._start[row])
        if start >= self._now:
            return []
        traj = self._active_columns().cut(row, start, self._now, final)
        return [FinishedTraj(traj, env_name, int(row))]

    def _hold_still(self, columns: "_Columns", is_waiting: np.ndarray) -> None:
        """Rows that neither stepped nor started add nothing: their past moves up to the present."""
        for row in np.flatnonzero(is_waiting & (self._start < _NOT_ACTIVE)):
            columns.move_up(int(row), int(self._start[row]), self._now)
            self._start[row] += 1
            self._plan_split()

    def _make_room(self, columns: "_Columns") -> None:
        """Forget what no unfinished file needs; if that is less than half, double the space."""
        unneeded = min(int(self._start.min()), self._now + 1)
        if unneeded < columns.capacity // 2:
            columns.grow()
            return
        columns.drop(unneeded)
        self._now -= unneeded
        self._start[self._start < _NOT_ACTIVE] -= unneeded
        self._plan_split()

    def active(self, row: int) -> FrozenTraj | None:
        """A copy of the unfinished trajectory of one environment, as far as it is."""
        if self._columns is None or self._start[row] >= _NOT_ACTIVE:
            return None
        return self._columns.cut(row, int(self._start[row]), self._now, None)

    # ------------------------------------------------------------------------------- writing

    def save_finished(self) -> int:
        """Write the queued trajectories, each whole or not at all. Returns how many.

        Raises:
            OSError: a file could not be written; it and those after it stay queued.
        """
        self._must_list = True
        return self._save_queue()

    def _save_queue(self) -> int:
        num_saved = 0
        while self.finished:
            self._save(self.finished[0])
            self.finished.popleft()
            num_saved += 1
        return num_saved

    def _save(self, item: FinishedTraj) -> None:
        assert self.save_to is not None
        stem = file_stem(
            env_name=self.name_of(item.env_name),
            sequence=self._sequence,
            writer=derive_seed(self.seed, "writer"),
            random_part=derive_seed(self.seed, "file", self._sequence),
            length=len(item.traj.time_idxs),
            unix_time=time.time(),
        )
        path = os.path.join(self.save_to, stem)
        if self.save_as == "trajectory":
            _thaw(item.traj, self._active_columns().action_dtype).save_to_disk(path, self.save_as)
        else:
            compressed = self.save_as == "npz-compressed"
            npz.write_npz(f"{path}.npz", item.traj.to_dict(), compressed=compressed)
        self._sequence += 1

    def _list_sequences(self) -> None:
        """Number the next files above all that are there, whoever wrote them.

        Once per collection phase, at its beginning: writers that take turns then agree about what
        is older, however fast each of them is.
        """
        assert self.save_to is not None
        self._sequence = max(self._sequence, next_sequence(os.listdir(self.save_to)))
        self._must_list = False


class _Columns:
    """One array per field, `[capacity, N, ...]`, filled from the front."""

    def __init__(self, like: Timestep) -> None:
        self.capacity = _FIRST_CAPACITY
        self.action_dtype = like.prev_action.dtype
        shape = (self.capacity, like.batched_envs)
        self.obs = {k: np.empty((*shape, *v.shape[1:]), v.dtype) for k, v in like.obs.items()}
        self.rl2 = np.empty((*shape, 1 + like.prev_action.shape[1]), np.float32)
        self.time_idx = np.empty(shape, np.int64)
        self.terminal = np.empty(shape, bool)

    def write(self, at: int, timestep: Timestep) -> None:
        for key, column in self.obs.items():
            column[at] = timestep.obs[key]
        self.rl2[at, :, 0] = timestep.reward
        self.rl2[at, :, 1:] = timestep.prev_action
        self.time_idx[at] = timestep.time_idx
        self.terminal[at] = timestep.terminal

    def cut(self, row: int, start: int, last: int, final: Timestep | None) -> FrozenTraj:
        """A copy of `[start, last]` of one row, `last` replaced by the row of `final` if given."""

        def copied(column: np.ndarray, end: np.ndarray | None) -> np.ndarray:
            part = column[start : last + 1, row].copy()
            if end is not None:
                part[-1] = end[row]
            return part

        rl2s = copied(self.rl2, final and final.rl2)
        dones = copied(self.terminal, final and final.terminal)
        return FrozenTraj(
            obs={k: copied(column, final and final.obs[k]) for k, column in self.obs.items()},
            rl2s=rl2s,
            time_idxs=copied(self.time_idx, final and final.time_idx)[:, np.newaxis],
            rews=rl2s[1:, :1].copy(),
            dones=dones[1:, np.newaxis],
            actions=rl2s[1:, 1:].copy(),
        )

    def _each(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self.obs = {key: change(column) for key, column in self.obs.items()}
        for name in ("rl2", "time_idx", "terminal"):
            setattr(self, name, change(getattr(self, name)))

    def grow(self) -> None:
        """Double the capacity."""

        def doubled(column: np.ndarray) -> np.ndarray:
            larger = np.empty((2 * len(column), *column.shape[1:]), column.dtype)
            larger[: len(column)] = column
            return larger

        self._each(doubled)
        self.capacity *= 2

    def drop(self, count: int) -> None:
        """Forget the first `count` timesteps; the others move to the front."""

        def dropped(column: np.ndarray) -> np.ndarray:
            column[: len(column) - count] = column[count:]
            return column

        self._each(dropped)

    def move_up(self, row: int, start: int, last: int) -> None:
        """Shift `[start, last)` of one row by one, to `(start, last]`."""

        def moved(column: np.ndarray) -> np.ndarray:
            column[start + 1 : last + 1, row] = column[start:last, row].copy()
            return column

        self._each(moved)


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


def _checked_limits(save_every: tuple[int, int] | None) -> tuple[int, int] | None:
    if save_every is None:
        return None
    low, high = (int(limit) for limit in save_every)
    if not 1 <= low <= high:
        raise ConfigError(f"save_every is {save_every}; expected (low, high) with 1 <= low <= high")
    return low, high


def _checked_format(save_as: str | None) -> str:
    if save_as is None:
        amago_warning("save_trajs_as=None now means 'npz'", category=DeprecationWarning)
        return "npz"
    save_as = _ALIASES.get(save_as, save_as)
    if save_as not in FORMATS:
        raise ConfigError(f"cannot save trajectories as '{save_as}'; choose from {FORMATS}")
    return save_as
