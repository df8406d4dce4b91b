"""T-mazes by the thousand: those of `tmaze`, as arrays.

Axes: see `task_batch`.
"""

from typing import Any

import numpy as np

from amago.envs.builtin.task_batch import Metrics, TaskBatch
from amago.envs.builtin.tmaze import (
    RIGHT,
    TMazeAlt,
    TMazeAltActive,
    TMazeAltPassive,
    _TMazeBase,
)

_DX = np.array((1, 0, -1, 0))
_DY = np.array((0, 1, 0, -1))


class _BatchedTMazeBase(TaskBatch):
    """`N` mazes `_TMazeBase`. Subclasses say which maze it is.

    Args:
        num_envs: `N`.
        arguments: of the maze, by position or by name.
    """

    _maze: type[_TMazeBase] = _TMazeBase
    _STATE = ("goal_y", "x", "y", "time_step")

    def __init__(self, num_envs: int, *arguments: Any, **named: Any) -> None:
        maze = self._maze(*arguments, **named)
        super().__init__(num_envs, maze)
        self.corridor_length = maze.corridor_length
        self.oracle_length = maze.oracle_length
        self.episode_length = maze.episode_length
        self.goal_reward = maze.goal_reward
        self.penalty = maze.penalty
        self.distract_reward = maze.distract_reward
        self.is_ambiguous = maze.is_ambiguous
        self.expose_time = maze.expose_time
        self.goal_y, self.x, self.y, self.time_step = np.zeros((4, num_envs), np.int64)

    def _begin(self, rows: np.ndarray) -> None:
        self.goal_y[rows] = np.where(self.np_random.random(len(rows)) < 0.5, 1, -1)
        for start in (self.x, self.y, self.time_step):
            start[rows] = 0

    def _step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, Metrics]:
        self._move(_DX[actions], _DY[actions])
        self.time_step += 1
        is_over = self.time_step >= self.episode_length
        is_right = (self.y == self.goal_y).astype(np.float64)
        rewards = np.where(is_over, self.goal_reward * is_right, self._walking(actions))
        metrics: Metrics = {"Success": (is_right, is_over)} if is_over.any() else {}
        return rewards, is_over, np.zeros(self.num_envs, bool), metrics

    def _move(self, dx: np.ndarray, dy: np.ndarray) -> None:
        x = np.clip(self.x + dx, -self.oracle_length, self.corridor_length)
        self.x = np.where(self.y == 0, x, self.x)
        y = np.clip(self.y + dy, -1, 1)
        self.y = np.where(self.x == self.corridor_length, y, self.y)

    def _walking(self, actions: np.ndarray) -> np.ndarray:
        """Rewards `[N]` of steps that are not the last."""
        lags = self.x < self.time_step - self.oracle_length
        return self.penalty * lags + self.distract_reward * (self.x <= 0)

    def _observe(self, rows: np.ndarray) -> np.ndarray:
        x, y, goal_y = self.x[rows], self.y[rows], self.goal_y[rows]
        obs = np.empty((len(rows), *self._obs_shape), np.float32)
        is_oracle = x == -self.oracle_length
        if self.is_ambiguous:
            obs[:, 0] = x == self.corridor_length
            obs[:, 1] = np.where(is_oracle, goal_y, y)
        else:
            obs[:, 0] = x
            obs[:, 1] = y
            obs[:, 2] = np.where(is_oracle, goal_y, 0)
        if self.expose_time:
            obs[:, -1] = self.time_step[rows] / self.episode_length
        return obs


class BatchedTMazeAlt(_BatchedTMazeBase):
    """`N` mazes `TMazeAlt`, whose arguments follow `num_envs`."""

    _maze: type[_TMazeBase] = TMazeAlt

    def _walking(self, actions: np.ndarray) -> np.ndarray:
        is_detour = (actions != RIGHT) & (self.time_step > self.oracle_length)
        return self.penalty * is_detour + self.distract_reward * (self.x <= 0)


class BatchedTMazeAltPassive(BatchedTMazeAlt):
    """`N` mazes `TMazeAltPassive`, whose arguments follow `num_envs`."""

    _maze: type[_TMazeBase] = TMazeAltPassive


class BatchedTMazeAltActive(BatchedTMazeAlt):
    """`N` mazes `TMazeAltActive`, whose arguments follow `num_envs`."""

    _maze: type[_TMazeBase] = TMazeAltActive
