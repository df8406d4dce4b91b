"""Timesteps of many environments become trajectories, which become files.

The timesteps of all environments lie in one array per field, `[time, N, ...]`: a step is one copy
per field, whatever `N` is, and nothing is done per environment until an episode ends there or its
file is long enough.

Axis: `N` environments.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from amago.core.errors import ConfigError, amago_warning
from amago.core.rng import generator
from amago.envs.pool.base import PoolStep
from amago.hindsight import FrozenTraj, Timestep
from amago.rollout.columns import Columns, pack, unpack
from amago.rollout.files import (
    FinishedTraj,
    TrajectoryFiles,
    checked_format,
    queue_of,
    queue_state,
    writer_of,
)

_NOT_ACTIVE = np.iinfo(np.int64).max // 2


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
        self.save_as = checked_format(save_as)
        self.seed = seed
        self.finished: deque[FinishedTraj] = deque()
        self.save_on_done = False
        self._files = None
        if save_to is not None:
            self._files = TrajectoryFiles(save_to, self.save_as, seed, name_of)
        self._must_list = True
        self._num_begun = np.zeros(num_envs, np.int64)  # files begun in each row
        self._names = [""] * num_envs
        self._forget_rows()

    def _forget_rows(self) -> None:
        self._columns: Columns | None = None
        self._now = 0
        self._start = np.full(self.num_envs, _NOT_ACTIVE)
        self._limit = np.full(self.num_envs, _NOT_ACTIVE)
        self._is_drawn = np.ones(self.num_envs, bool)  # the limit; else it is the lowest possible
        self._next_split = _NOT_ACTIVE

    # ---------------------------------------------------------------------------- recording

    @property
    def has_begun(self) -> bool:
        """Whether it has seen a reset, so that `observe` can follow."""
        return self._columns is not None

    def begin(self, step: PoolStep) -> None:
        """Start a trajectory in every environment, after a reset. Unfinished ones are dropped."""
        if self._files is None:
            return
        self._columns = Columns.of(step.timestep)
        self._columns.write(0, step.timestep)
        self._now = 0
        self._names = step.env_names
        self._must_list = True
        self._start_rows(np.arange(self.num_envs))

    def observe(self, step: PoolStep) -> list[FinishedTraj]:
        """Add a step. Returns the trajectories that it finished (also queued in `finished`).

        Raises:
            OSError: `save_on_done`, and the disk refused; the step has been added.
        """
        if self._files is None:
            return []
        columns = self._active_columns()
        done = self._cut_off(step.interrupted) if step.interrupted.any() else []
        if self._now + 1 == columns.capacity:
            self._make_room(columns)
        self._now += 1
        columns.write(self._now, step.timestep)
        self._names = step.env_names
        if not step.stepped.all():
            self._hold_still(columns, ~(step.stepped | step.started))
        ended, started = step.ended, step.started
        if ended.any():
            rows = np.flatnonzero(ended & step.stepped)
            done += self._close(rows, step.final)
            self._start[rows] = _NOT_ACTIVE
            self._plan_split()
        if started.any():
            self._start_rows(np.flatnonzero(started))
        if self._now >= self._next_split:
            done += self._split()
        self.finished.extend(done)
        if self._must_list and step.stepped.any():
            self.number_files()
        if done and self.save_on_done:
            self._save_queue()
        return done

    def split_row(self, row: int, first: Timestep) -> list[FinishedTraj]:
        """Finish the trajectory of one environment as it is; `first` (of one environment) takes
        the place of the present timestep, and begins the next. Returns what it finished.
        """
        if self._files is None:
            return []
        columns = self._active_columns()
        rows = np.array([row])
        done = self._close(rows)
        columns.write_row(self._now, row, first)
        self._start_rows(rows)
        self.finished.extend(done)
        return done

    def active(self, row: int) -> FrozenTraj | None:
        """A copy of the unfinished trajectory of one environment, as far as it is."""
        if self._columns is None or self._start[row] >= _NOT_ACTIVE:
            return None
        rows = np.array([row])
        return self._columns.cut(rows, self._start[rows], self._now)[0]

    def _active_columns(self) -> Columns:
        if self._columns is None:
            raise RuntimeError("observe() before begin(): the recorder has not seen a reset")
        return self._columns

    def _start_rows(self, rows: np.ndarray) -> None:
        """The present timestep is the first of a new file in `rows`."""
        self._start[rows] = self._now
        if self.save_every is not None:
            low, high = self.save_every
            self._limit[rows] = low
            self._is_drawn[rows] = low == high
        self._num_begun[rows] += 1
        self._plan_split()

    def _draw_limits(self, rows: np.ndarray) -> None:
        """Draw the limits that have not been. Most files end below the lowest, and need none."""
        for row in rows[~self._is_drawn[rows]].tolist():
            assert self.save_every is not None
            low, high = self.save_every
            draws = generator(self.seed, "length", row, int(self._num_begun[row]) - 1)
            self._limit[row] = draws.integers(low, high + 1)
        self._is_drawn[rows] = True

    def _plan_split(self) -> None:
        self._next_split = int((self._start + self._limit).min())

    def _split(self) -> list[FinishedTraj]:
        self._draw_limits(np.flatnonzero(self._now >= self._start + self._limit))
        rows = np.flatnonzero(self._now >= self._start + self._limit)
        done = self._close(rows)
        self._start_rows(rows)
        return done

    def _cut_off(self, interrupted: np.ndarray) -> list[FinishedTraj]:
        """Close the rows whose episodes have no end, as they were at the previous step."""
        return self._close(np.flatnonzero(interrupted), was_cut=True)

    def _close(
        self, rows: np.ndarray, final: Timestep | None = None, was_cut: bool = False
    ) -> list[FinishedTraj]:
        """The files of `rows` up to now, their last timesteps from `final` if given. A single
        timestep is no trajectory, and nothing to train on: of such a row there is none.
        """
        rows = rows[self._start[rows] < self._now]
        if not len(rows):
            return []
        columns = self._active_columns()
        trajs = columns.cut(rows, self._start[rows], self._now, final)
        return [
            FinishedTraj(traj, self._names[row], row, columns.action_dtype, was_cut)
            for row, traj in zip(rows.tolist(), trajs, strict=True)
        ]

    def _hold_still(self, columns: Columns, is_waiting: np.ndarray) -> None:
        """Rows that neither stepped nor started add nothing: their past moves up to the present."""
        for row in np.flatnonzero(is_waiting & (self._start < _NOT_ACTIVE)):
            columns.move_up(int(row), int(self._start[row]), self._now)
            self._start[row] += 1
            self._plan_split()

    def _make_room(self, columns: Columns) -> None:
        """Forget what no unfinished file needs; if that is less than half, double the space."""
        unneeded = min(int(self._start.min()), self._now + 1)
        if unneeded < columns.capacity // 2:
            columns.grow()
            return
        columns.drop(unneeded)
        self._now -= unneeded
        self._start[self._start < _NOT_ACTIVE] -= unneeded
        self._plan_split()

    # ------------------------------------------------------------------------------- writing

    @property
    def writer(self) -> int:
        """32 bits that mark the files of this recorder, in their names."""
        return writer_of(self.seed)

    def save_finished(self) -> int:
        """Write the queued trajectories, each whole or not at all. Returns how many.

        Raises:
            OSError: a file could not be written; it and those after it stay queued, so that a
                second call goes on.
        """
        self._must_list = True
        return self._save_queue()

    def sync(self) -> None:
        """Make the files written since the last sync survive a power cut.

        Raises:
            OSError: a file could not be synced. It is deleted, because its contents may be lost
                without a trace; the others remain to be synced by the next call.
        """
        if self._files:
            self._files.sync()

    def _save_queue(self) -> int:
        num_saved = 0
        while self.finished:
            assert self._files
            self._files.write(self.finished[0])
            self.finished.popleft()
            num_saved += 1
        return num_saved

    def number_files(self) -> None:
        """Number the next files above all that are there, whoever wrote them.

        Once per collection phase, at its beginning: writers that take turns, or wait for each other
        here, then agree about what is older, however fast each of them is. `observe` does it where
        nobody did.
        """
        if self._files and self._must_list:
            self._files.number_above_all()
            self._must_list = False

    # --------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """Unfinished and queued trajectories, and what the names and lengths of files follow from.

        Nested plain values and arrays; nothing in it changes when recording goes on.
        """
        active, dtype = None, None
        self._draw_limits(np.arange(self.num_envs))
        if self._columns is not None:
            starts = np.minimum(self._start, self._now + 1).tolist()
            parts = [self._columns.part(row, at, self._now) for row, at in enumerate(starts)]
            active, dtype = pack(parts), self._columns.action_dtype.str
        return {
            "num_envs": self.num_envs,
            "active": active,
            "action_dtype": dtype,
            "limits": self._limit.copy(),
            "num_begun": self._num_begun.copy(),
            "names": list(self._names),
            "finished": queue_state(self.finished),
            "sequence": self._files.sequence if self._files else 0,
            "must_list": self._must_list,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken, with an `observe` if `has_begun`, else with a `begin`.

        Of a state of another number of environments only the queue is taken; its unfinished
        trajectories are dropped, with a warning.
        """
        if not self._files:
            return
        self.finished = deque(queue_of(state["finished"]))
        self._files.sequence = state["sequence"]
        self._must_list = state["must_list"]
        self._forget_rows()
        if state["active"] is None:
            return
        parts = unpack(state["active"])
        if len(parts) == self.num_envs:
            self._load_rows(parts, state)
        elif num_dropped := sum(len(part["time_idx"]) > 1 for part in parts):
            amago_warning(
                f"{num_dropped} unfinished trajectories were dropped: they are of "
                f"{len(parts)} environments, and this run has {self.num_envs}"
            )

    def _load_rows(self, parts: list[dict[str, np.ndarray]], state: dict[str, Any]) -> None:
        self._columns = Columns.holding(parts, np.dtype(state["action_dtype"]))
        lengths = np.array([len(part["time_idx"]) for part in parts])
        self._now = max(int(lengths.max()) - 1, 0)
        self._start = np.where(lengths > 0, self._now + 1 - lengths, _NOT_ACTIVE)
        self._limit = state["limits"].copy()
        self._num_begun = state["num_begun"].copy()
        self._names = list(state["names"])
        self._plan_split()


def _checked_limits(save_every: tuple[int, int] | None) -> tuple[int, int] | None:
    if save_every is None:
        return None
    low, high = (int(limit) for limit in save_every)
    if not 1 <= low <= high:
        raise ConfigError(f"save_every is {save_every}; expected (low, high) with 1 <= low <= high")
    return low, high
