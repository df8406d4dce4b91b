"""The timesteps of many environments, in one array per field.

Axes: `N` environments, `L` stored timesteps, `A` action.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Self

import numpy as np

from amago.hindsight import OBS_KEY_PREFIX, FrozenTraj, Timestep

_FIRST_CAPACITY = 128
_REST = ("rl2", "time_idx", "terminal")


class Columns:
    """One array per field, `[capacity, N, ...]`, filled from the front.

    Args:
        obs_like: `{key: [any, ...]}`, which gives the shapes and types of observations.
        action_size: `A`.
        action_dtype: of a previous action, before it becomes a part of `rl2`.
    """

    def __init__(
        self,
        num_envs: int,
        obs_like: Mapping[str, np.ndarray],
        action_size: int,
        action_dtype: np.dtype,
        capacity: int = _FIRST_CAPACITY,
    ) -> None:
        shape = (capacity, num_envs)
        self.capacity = capacity
        self.action_dtype = action_dtype
        self.obs = {k: np.empty((*shape, *v.shape[1:]), v.dtype) for k, v in obs_like.items()}
        self.rl2 = np.empty((*shape, 1 + action_size), np.float32)
        self.time_idx = np.empty(shape, np.int64)
        self.terminal = np.empty(shape, bool)

    @classmethod
    def of(cls, like: Timestep) -> Self:
        """Room for timesteps like that one."""
        actions = like.prev_action
        return cls(like.batched_envs, like.obs, actions.shape[1], actions.dtype)

    @classmethod
    def holding(cls, parts: Sequence[Mapping[str, np.ndarray]], action_dtype: np.dtype) -> Self:
        """`N` results of `part`, each with its last timestep at the index `length of all - 1`."""
        length = max(len(part["time_idx"]) for part in parts)
        obs_like = {
            key.removeprefix(OBS_KEY_PREFIX): values
            for key, values in parts[0].items()
            if key not in _REST
        }
        capacity = _FIRST_CAPACITY
        while capacity <= length:
            capacity *= 2
        action_size = parts[0]["rl2"].shape[1] - 1
        columns = cls(len(parts), obs_like, action_size, action_dtype, capacity)
        for row, part in enumerate(parts):
            for key, values in part.items():
                columns._field(key)[length - len(values) : length, row] = values
        return columns

    def part(self, row: int, start: int, last: int) -> dict[str, np.ndarray]:
        """`[start, last]` of one row (empty if `start` is beyond): fields by name, as views."""
        obs = {f"{OBS_KEY_PREFIX}{key}": column for key, column in self.obs.items()}
        fields = {**obs, **{name: getattr(self, name) for name in _REST}}
        return {name: column[start : last + 1, row] for name, column in fields.items()}

    def _field(self, name: str) -> np.ndarray:
        return getattr(self, name) if name in _REST else self.obs[name[len(OBS_KEY_PREFIX) :]]

    def write(self, at: int, timestep: Timestep) -> None:
        """Put the timestep of every row at index `at`."""
        for key, column in self.obs.items():
            column[at] = timestep.obs[key]
        self.rl2[at, :, 0] = timestep.reward
        self.rl2[at, :, 1:] = timestep.prev_action
        self.time_idx[at] = timestep.time_idx
        self.terminal[at] = timestep.terminal

    def write_row(self, at: int, row: int, timestep: Timestep) -> None:
        """Put a timestep of one environment at index `at` of one row."""
        for key, column in self.obs.items():
            column[at, row] = timestep.obs[key][0]
        self.rl2[at, row] = timestep.rl2[0]
        self.time_idx[at, row] = timestep.time_idx[0]
        self.terminal[at, row] = timestep.terminal[0]

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

    def _each(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self.obs = {key: change(column) for key, column in self.obs.items()}
        for name in _REST:
            setattr(self, name, change(getattr(self, name)))


def pack(records: Sequence[Mapping[str, np.ndarray]]) -> dict[str, dict[str, np.ndarray]]:
    """Many dicts of arrays as one: `{key: {"joined": [sum of L, ...], "lengths": [records]}}`."""
    keys = list(records[0]) if records else []
    return {
        key: {
            "joined": np.concatenate([record[key] for record in records]),
            "lengths": np.array([len(record[key]) for record in records], dtype=np.int64),
        }
        for key in keys
    }


def unpack(packed: Mapping[str, Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """The inverse of `pack`; the arrays are views."""
    columns = [
        np.split(values["joined"], np.cumsum(values["lengths"])[:-1]) for values in packed.values()
    ]
    return [dict(zip(packed, arrays, strict=True)) for arrays in zip(*columns, strict=True)]
