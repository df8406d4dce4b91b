"""Meta-Frozen-Lake by the thousand: the lakes of `frozen_lake`, as arrays.

Axes: see `task_batch`; `S` tiles along a side of a lake.
"""

from typing import Any

import numpy as np

from amago.envs.builtin import frozen_lake
from amago.envs.builtin.frozen_lake import MetaFrozenLake
from amago.envs.builtin.task_batch import Metrics, TaskBatch

_MOVES = np.array((frozen_lake._MOVES, frozen_lake._SWAPPED_MOVES))  # [is swapped, action, x or y]
_FROZEN_CHANCE = 0.8  # of gymnasium's lakes
_STOCK = 256


class BatchedMetaFrozenLake(TaskBatch):
    """`N` lakes `MetaFrozenLake`, whose arguments follow `num_envs`.

    Args:
        num_envs: `N`.
        arguments: of the lake, by position or by name.
    """

    _STATE = ("layout", "lake", "is_swapped", "attempt", "x", "y", "clock", "is_first")
    _STATE += ("stock", "num_taken")

    def __init__(self, num_envs: int, *arguments: Any, **named: Any) -> None:
        lake = MetaFrozenLake(*arguments, **named)
        super().__init__(num_envs, lake)
        self.size = lake.size
        self.k_episodes = lake.k_episodes
        self.hard_mode = lake.hard_mode
        self.recover_mode = lake.recover_mode
        self.show_k_progress = lake.show_k_progress
        self.slip_chance = lake.slip_chance
        self.max_episode_steps = lake.max_episode_steps
        self.layout = np.zeros((num_envs, self.size**2), bool)  # the holes of a new attempt
        self.lake = self.layout.copy()  # the holes now
        self.is_swapped = np.zeros(num_envs, np.int64)
        self.attempt, self.x, self.y, self.clock = np.zeros((4, num_envs), np.int64)
        self.is_first = np.zeros(num_envs, bool)  # of an attempt
        # Few rows need a lake at a time, and lakes are cheap by the hundred.
        self.stock = np.zeros((_STOCK, self.size**2), bool)
        self.num_taken = np.array(_STOCK)
        self._coordinates = (np.arange(self.size) / self.size).astype(np.float32)
        self._progress = (np.arange(self.k_episodes + 1) / self.k_episodes).astype(np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A new lake in every row; observations `[N, 4]`. With a `seed`, all that follow repeat."""
        self.num_taken[...] = _STOCK
        return super().reset(seed=seed, options=options)

    def _begin(self, rows: np.ndarray) -> None:
        self.layout[rows] = self._take_lakes(len(rows))
        if self.hard_mode:
            self.is_swapped[rows] = self.np_random.random(len(rows)) < 0.5
        self.attempt[rows] = 0
        self._begin_attempt(rows)

    def _take_lakes(self, count: int) -> np.ndarray:
        """Lakes that nobody has had, `[count, S * S]`."""
        lakes = self.stock[self.num_taken :][:count]
        self.num_taken += len(lakes)
        if len(lakes) == count:
            return lakes
        missing = count - len(lakes)
        new = self.generate_lakes(missing + _STOCK).reshape(-1, self.size**2)
        self.stock, self.num_taken[...] = new[missing:], 0
        return np.concatenate((lakes, new[:missing]))

    def generate_lakes(self, count: int) -> np.ndarray:
        """Where the holes of random lakes are that can be crossed: `[count, S, S]` bool."""
        lakes = np.empty((count, self.size, self.size), bool)
        missing = np.arange(count)
        while len(missing):
            holes = self.np_random.random((len(missing), self.size, self.size)) >= _FROZEN_CHANCE
            holes[:, 0, 0] = holes[:, -1, -1] = False
            is_good = can_be_crossed(holes)
            lakes[missing[is_good]] = holes[is_good]
            missing = missing[~is_good]
        return lakes

    def _begin_attempt(self, rows: np.ndarray) -> None:
        self.lake[rows] = self.layout[rows]
        self.x[rows] = 0
        self.y[rows] = 0
        self.clock[rows] = 0
        self.is_first[rows] = True

    def _step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, Metrics]:
        rewards, is_at_goal, is_in_hole = self._move(actions)
        self.clock += 1
        is_over = is_at_goal | is_in_hole | (self.clock >= self.max_episode_steps)
        self.is_first[:] = False
        metrics: Metrics = {}
        rows = np.flatnonzero(is_over)
        if len(rows):
            metrics = self._successes(rows, is_over, is_at_goal)
            self.attempt[rows] += 1
            self._begin_attempt(rows)
        is_last = is_over & (self.attempt >= self.k_episodes)
        return rewards, is_last, np.zeros(self.num_envs, bool), metrics

    def _successes(self, rows: np.ndarray, is_over: np.ndarray, is_at_goal: np.ndarray) -> Metrics:
        """One metric for each number of an attempt that is over somewhere."""
        success = is_at_goal.astype(np.float64)
        return {
            f"Episode {i} Success": (success, is_over & (self.attempt == i))
            for i in np.flatnonzero(np.bincount(self.attempt[rows])).tolist()
        }

    def _move(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rewards, who stands on the goal, and who in a hole: `[N]` each."""
        moves = _MOVES[self.is_swapped, actions]
        if self.slip_chance:
            moves[self.np_random.random(self.num_envs) < self.slip_chance] = 0
        last = self.size - 1
        new_x = np.clip(self.x + moves[:, 0], 0, last)
        new_y = np.clip(self.y + moves[:, 1], 0, last)
        is_in_hole = self.lake[self._every_row, new_x * self.size + new_y]
        if self.recover_mode:
            penalty = frozen_lake._RECOVER_PENALTY * is_in_hole
            new_x = np.where(is_in_hole, self.x, new_x)
            new_y = np.where(is_in_hole, self.y, new_y)
            is_in_hole = np.zeros_like(is_in_hole)
        is_at_goal = (new_x == last) & (new_y == last)
        rewards = is_at_goal.astype(np.float64)
        if self.recover_mode:
            rewards += penalty
        if self.hard_mode:
            self._crack((new_x != self.x) | (new_y != self.y))
        self.x, self.y = new_x, new_y
        return rewards, is_at_goal, is_in_hole

    def _crack(self, is_leaving: np.ndarray) -> None:
        """Some tiles that are left become holes."""
        cracks = is_leaving & (self.np_random.random(self.num_envs) < frozen_lake._CRACK_CHANCE)
        rows = np.flatnonzero(cracks)
        self.lake[rows, self.x[rows] * self.size + self.y[rows]] = True

    def _observe(self, rows: np.ndarray) -> np.ndarray:
        x, y = self.x[rows], self.y[rows]
        if self.hard_mode:
            is_noisy = self.np_random.random(len(rows)) < frozen_lake._NOISE_CHANCE
            noise = (2 * self.np_random.integers(2, size=(len(rows), 2)) - 1) * is_noisy[:, None]
            x = np.clip(x + noise[:, 0], 0, self.size - 1)
            y = np.clip(y + noise[:, 1], 0, self.size - 1)
        obs = np.empty((len(rows), 4), np.float32)
        obs[:, 0] = self._coordinates[x]
        obs[:, 1] = self._coordinates[y]
        obs[:, 2] = self.is_first[rows]
        obs[:, 3] = self._progress[self.attempt[rows]] if self.show_k_progress else 0.0
        return obs


def can_be_crossed(holes: np.ndarray) -> np.ndarray:
    """`[K]` bool: whether the last corner of a lake is reached from the first, side by side.

    Args:
        holes: `[K, S, S]` bool; neither corner is one.
    """
    is_ice = ~holes
    reached = np.zeros_like(holes)
    reached[:, 0, 0] = True
    count = 0
    while (now := int(np.count_nonzero(reached))) > count:
        count = now
        reached[:, 1:] |= reached[:, :-1] & is_ice[:, 1:]
        reached[:, :-1] |= reached[:, 1:] & is_ice[:, :-1]
        reached[:, :, 1:] |= reached[:, :, :-1] & is_ice[:, :, 1:]
        reached[:, :, :-1] |= reached[:, :, 1:] & is_ice[:, :, :-1]
    return reached[:, -1, -1]
