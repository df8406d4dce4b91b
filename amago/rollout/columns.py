"""The timesteps of many environments, in one array per field.

Axes: `N` environments, `L` stored timesteps, `A` action.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import numpy as np

from amago.hindsight import OBS_KEY_PREFIX, FrozenTraj, Timestep

_FIRST_CAPACITY = 128
_REST = ("rl2", "time_idx", "terminal")


class Columns:
    """One array per field, `[capacity, N, ...]`, filled from the front.

    The fields of a timestep lie side by side in memory: the past of one row, which is spread over
    the memory of all of them, is then fetched once and not once for every field.

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
        self.action_dtype = action_dtype
        kinds = [(OBS_KEY_PREFIX + key, v.dtype, v.shape[1:]) for key, v in obs_like.items()]
        kinds += [("rl2", np.float32, (1 + action_size,)), ("time_idx", np.int64)]
        self._kind = np.dtype([*kinds, ("terminal", np.bool_)], align=True)
        self._hold(np.empty((capacity, num_envs, self._kind.itemsize), np.uint8))

    def _hold(self, memory: np.ndarray) -> None:
        """Keep the timesteps in `memory`: `[capacity, N, bytes of a timestep]`."""
        self._memory = memory
        self.capacity = len(memory)
        timesteps = memory.view(self._kind)[:, :, 0]
        self._fields = {name: timesteps[name] for name in self._kind.names or ()}
        self.obs = _observations(self._fields)
        self.rl2, self.time_idx, self.terminal = (self._fields[name] for name in _REST)

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
                columns._fields[key][length - len(values) : length, row] = values
        return columns

    def part(self, row: int, start: int, last: int) -> dict[str, np.ndarray]:
        """`[start, last]` of one row (empty if `start` is beyond): fields by name, as views."""
        return {name: column[start : last + 1, row] for name, column in self._fields.items()}

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

    def cut(
        self, rows: np.ndarray, starts: np.ndarray, last: int, final: Timestep | None = None
    ) -> list[FrozenTraj]:
        """Copies of `[start, last]` of some rows; `last` is their timestep in `final`, if given.

        Args:
            rows: `[K]` indices.
            starts: `[K]`; each is at most `last`.

        Returns:
            `K` trajectories. Rows that started together lie in one block of memory.
        """
        ends = None if final is None else self._ends(rows, final)
        trajs: dict[int, FrozenTraj] = {}
        for start in np.unique(starts).tolist():
            of_start = np.flatnonzero(starts == start)
            block = {}
            for name, column in self._fields.items():
                block[name] = _block(column[start : last + 1], rows[of_start])
                if ends is not None:
                    block[name][:, -1] = ends[name][of_start]
            trajs.update(zip(of_start.tolist(), _frozen(block), strict=True))
        return [trajs[i] for i in range(len(rows))]

    def _ends(self, rows: np.ndarray, final: Timestep) -> dict[str, np.ndarray]:
        """Fields of a timestep, `[K, ...]`."""
        obs = {f"{OBS_KEY_PREFIX}{key}": final.obs[key][rows] for key in self.obs}
        rl2 = np.empty((len(rows), self.rl2.shape[-1]), np.float32)
        rl2[:, 0] = final.reward[rows]
        rl2[:, 1:] = final.prev_action[rows]
        rest = {"time_idx": final.time_idx[rows], "terminal": final.terminal[rows]}
        return {**obs, "rl2": rl2, **rest}

    def grow(self) -> None:
        """Double the capacity."""
        larger = np.empty((2 * self.capacity, *self._memory.shape[1:]), np.uint8)
        larger[: self.capacity] = self._memory
        self._hold(larger)

    def drop(self, count: int) -> None:
        """Forget the first `count` timesteps; the others move to the front."""
        self._memory[: self.capacity - count] = self._memory[count:]

    def move_up(self, row: int, start: int, last: int) -> None:
        """Shift `[start, last)` of one row by one, to `(start, last]`."""
        self._memory[start + 1 : last + 1, row] = self._memory[start:last, row].copy()


def _observations(fields: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k.removeprefix(OBS_KEY_PREFIX): v for k, v in fields.items() if k not in _REST}


def _block(column: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A copy of some rows of `[L, N, ...]`, each in one piece: `[K, L, ...]`."""
    if len(rows) == 1:
        return column[np.newaxis, :, rows[0]].copy()
    return np.ascontiguousarray(column.swapaxes(0, 1)[rows])


def _frozen(block: Mapping[str, np.ndarray]) -> Iterator[FrozenTraj]:
    """The trajectories in fields of `[K, L, ...]`."""
    rl2s, time_idxs = block["rl2"], block["time_idx"][:, :, np.newaxis]
    rews, actions = rl2s[:, 1:, :1].copy(), rl2s[:, 1:, 1:].copy()
    dones = block["terminal"][:, 1:, np.newaxis]
    obs = _observations(block)
    for i in range(len(rl2s)):
        yield FrozenTraj(
            obs={key: values[i] for key, values in obs.items()},
            rl2s=rl2s[i],
            time_idxs=time_idxs[i],
            rews=rews[i],
            dones=dones[i],
            actions=actions[i],
        )


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
