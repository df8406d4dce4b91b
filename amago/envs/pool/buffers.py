"""The arrays of a pool's step, carved out of one block of memory that processes can share.

Axes: `N` environments of the pool, `A` numbers in an action.
"""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np

from amago.envs.pool.base import PoolStep
from amago.envs.pool.spaces import PoolSpaces
from amago.envs.spaces import check_unit_range
from amago.hindsight import Timestep

_ALIGNMENT = 64  # a cache line: workers write neighbouring arrays at the same time

_FLAGS = ("terminated", "truncated", "started", "stepped", "interrupted")

_Entry = tuple[str, tuple[int, ...], Any]


class StepBuffers:
    """Where actions are read from and a `PoolStep` is written to.

    Attributes:
        actions: `[N, 1]` or `[N, A]`.
        timestep, final, reward, terminated, truncated, started, stepped, interrupted: as in
            `PoolStep`.
        episodes: `[N]` int64, episodes begun. Here, so that it outlives a worker process.
        failures: `[N]` int64, faults since the last finished episode; likewise.
        spaces: that the arrays were made for.
    """

    def __init__(self, num_envs: int, spaces: PoolSpaces, memory: Any = None) -> None:
        """Zeroed memory of this process is used, unless `memory` (of `size` bytes) is given."""
        if memory is None:
            memory = bytearray(self.size(num_envs, spaces))
        arrays, offset = {}, 0
        for name, shape, dtype in _entries(num_envs, spaces):
            count = int(np.prod(shape))
            arrays[name] = np.frombuffer(memory, dtype, count, offset).reshape(shape)
            offset += _padded(arrays[name].nbytes)
        self.spaces = spaces
        self.actions: np.ndarray = arrays["actions"]
        self.reward: np.ndarray = arrays["reward"]
        self.terminated: np.ndarray = arrays["terminated"]
        self.truncated: np.ndarray = arrays["truncated"]
        self.started: np.ndarray = arrays["started"]
        self.stepped: np.ndarray = arrays["stepped"]
        self.interrupted: np.ndarray = arrays["interrupted"]
        self._flags = tuple(arrays[name] for name in _FLAGS)
        self.episodes: np.ndarray = arrays["episodes"]
        self.failures: np.ndarray = arrays["failures"]
        self.timestep = _timestep(arrays, "timestep", num_envs)
        self.final = _timestep(arrays, "final", num_envs)

    @staticmethod
    def size(num_envs: int, spaces: PoolSpaces) -> int:
        """Bytes of memory that the buffers need."""
        return sum(
            _padded(int(np.prod(shape)) * np.dtype(dtype).itemsize)
            for _, shape, dtype in _entries(num_envs, spaces)
        )

    def take(self, actions: np.ndarray) -> None:
        """Begin a step: the actions are given, and nothing has happened in any row.

        Raises:
            ValueError: a continuous action outside [-1, 1]. That is no fault of an environment.
        """
        if isinstance(self.spaces.action, gym.spaces.Box):
            check_unit_range(actions)
        self.actions[:] = actions
        for flags in self._flags:
            flags[:] = False

    def step(self, env_names: list[str], metrics: list[tuple[int, str, Any]]) -> PoolStep:
        """The buffers as a `PoolStep`."""
        return PoolStep(
            timestep=self.timestep,
            final=self.final,
            reward=self.reward,
            terminated=self.terminated,
            truncated=self.truncated,
            started=self.started,
            stepped=self.stepped,
            env_names=env_names,
            metrics=metrics,
            interrupted=self.interrupted,
        )


def _entries(n: int, spaces: PoolSpaces) -> Iterator[_Entry]:
    yield "actions", (n, spaces.action_width), spaces.action_dtype
    yield "reward", (n,), np.float32
    for flag in _FLAGS:
        yield flag, (n,), np.bool_
    for count in ("episodes", "failures"):
        yield count, (n,), np.int64
    for part in ("timestep", "final"):
        for key, space in spaces.observation.spaces.items():
            yield f"{part}.obs.{key}", (n, *(space.shape or ())), space.dtype
        yield f"{part}.prev_action", (n, spaces.action_size), spaces.action_representation_dtype
        yield f"{part}.reward", (n,), np.float32
        yield f"{part}.time_idx", (n,), np.int64
        yield f"{part}.terminal", (n,), np.bool_


def _timestep(arrays: dict[str, np.ndarray], part: str, num_envs: int) -> Timestep:
    prefix = f"{part}.obs."
    return Timestep(
        obs={k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)},
        prev_action=arrays[f"{part}.prev_action"],
        reward=arrays[f"{part}.reward"],
        time_idx=arrays[f"{part}.time_idx"],
        terminal=arrays[f"{part}.terminal"],
        batched_envs=num_envs,
    )


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
