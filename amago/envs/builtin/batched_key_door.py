"""Dark key-to-door by the thousand: the rooms of `key_door`, as arrays.

Axes: see `task_batch`.
"""

from typing import Any

import numpy as np

from amago.envs.builtin.key_door import Location, RoomKeyDoor
from amago.envs.builtin.task_batch import Metrics, TaskBatch

_DX = np.array((0, 1, -1, 0, 0))
_DY = np.array((0, 0, 0, 1, -1))


class BatchedRoomKeyDoor(TaskBatch):
    """`N` rooms `RoomKeyDoor`, whose arguments follow `num_envs`.

    Args:
        num_envs: `N`.
        arguments: of the room, by position or by name.
    """

    _STATE = ("start", "key", "goal", "order", "x", "y", "has_key")
    _STATE += ("clock", "rollout_clock", "is_episode_over")

    def __init__(self, num_envs: int, *arguments: Any, **named: Any) -> None:
        room = RoomKeyDoor(*arguments, **named)
        super().__init__(num_envs, room)
        self.dark = room.dark
        self.size = room.size
        self.max_episode_steps = room.max_episode_steps
        self.meta_rollout_horizon = room.meta_rollout_horizon
        self.start_location = room.start_location
        self.key_location = room.key_location
        self.goal_location = room.goal_location
        self.randomize_actions = room.randomize_actions
        self.start, self.key, self.goal = np.zeros((3, num_envs, 2), np.int64)
        self.order = np.tile(np.arange(5), (num_envs, 1))  # action -> move
        self.x, self.y, self.clock, self.rollout_clock = np.zeros((4, num_envs), np.int64)
        self.has_key, self.is_episode_over = np.zeros((2, num_envs), bool)
        self._coordinates = (np.arange(self.size) / self.size).astype(np.float32)

    def _begin(self, rows: np.ndarray) -> None:
        self.start[rows] = self._draw(self.start_location, len(rows))
        self.key[rows] = self._draw(self.key_location, len(rows))
        self.goal[rows] = self._draw(self.goal_location, len(rows))
        if self.randomize_actions:
            orders = np.tile(np.arange(5), (len(rows), 1))
            self.order[rows] = self.np_random.permuted(orders, axis=1)
        self.rollout_clock[rows] = 0
        self._begin_episode(rows)

    def _draw(self, location: Location | str, count: int) -> np.ndarray:
        if not isinstance(location, str):
            return np.array(location)
        return self.np_random.integers(self.size, size=(count, 2))

    def _begin_episode(self, rows: np.ndarray) -> None:
        self.x[rows], self.y[rows] = self.start[rows].T
        self.clock[rows] = 0
        self.has_key[rows] = False
        self.is_episode_over[rows] = False

    def _step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, Metrics]:
        self.rollout_clock += 1
        is_reset_step = self.is_episode_over.copy()
        rewards = self._move(actions)
        if is_reset_step.any():
            rewards[is_reset_step] = 0.0
            self._begin_episode(np.flatnonzero(is_reset_step))
        is_rollout_over = self.rollout_clock >= self.meta_rollout_horizon
        return rewards, np.zeros(self.num_envs, bool), is_rollout_over, {}

    def _move(self, actions: np.ndarray) -> np.ndarray:
        """Rewards `[N]` of a move in every row; those that only reset go back to their start."""
        moves = self.order[self._every_row, actions]
        self.x = np.clip(self.x + _DX[moves], 0, self.size - 1)
        self.y = np.clip(self.y + _DY[moves], 0, self.size - 1)
        self.clock += 1
        finds_key = ~self.has_key & self._is_at(self.key)
        is_through = self.has_key & self._is_at(self.goal)
        self.has_key |= finds_key
        self.is_episode_over = is_through | (self.clock >= self.max_episode_steps)
        return (finds_key | is_through).astype(np.float64)

    def _is_at(self, places: np.ndarray) -> np.ndarray:
        return (self.x == places[:, 0]) & (self.y == places[:, 1])

    def _observe(self, rows: np.ndarray) -> np.ndarray:
        obs = np.empty((len(rows), *self._obs_shape), np.float32)
        obs[:, 0] = self._coordinates[self.x[rows]]
        obs[:, 1] = self._coordinates[self.y[rows]]
        obs[:, 2] = self.has_key[rows]
        obs[:, 3] = self.clock[rows] / self.max_episode_steps
        if not self.dark:
            obs[:, 4:6] = self._coordinates[self.goal[rows]]
            obs[:, 6:8] = self._coordinates[self.key[rows]]
        return obs
