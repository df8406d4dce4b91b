"""Dark key-to-door: find an invisible key, then an invisible door, and do it again, faster."""

from typing import Any

import gymnasium as gym
import numpy as np

from amago.core.errors import ConfigError

Location = tuple[int, int]

_MOVES = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))


class RoomKeyDoor(gym.Env):
    """Episodes in one room, until `meta_rollout_horizon` steps have been made; then a new room.

    Standing on the key after an action pays 1, once an episode; with the key, standing on the door
    pays 1 and ends the episode. An episode also ends after `max_episode_steps`. The step after an
    episode's last ignores its action and pays 0: its observation is the first one of the next
    episode, in the same room. The rollout's end is a truncation: nothing about the room ends there.

    Actions: stay, +x, -x, +y, -y; with `randomize_actions`, in an order that is drawn per room.

    Observation, four float32 in [0, 1] when dark, else eight:

    | index | meaning |
    |---|---|
    | 0, 1 | `x / size`, `y / size` |
    | 2 | 1 once the key is found |
    | 3 | steps of this episode / `max_episode_steps` |
    | 4, 5, 6, 7 | `x / size`, `y / size` of the door, then of the key (not when dark) |

    Args:
        meta_rollout_horizon: steps of a rollout, reset steps included.
        start_location: a cell, or "random": uniform over the grid, per room. `key_location` and
            `goal_location` (the door) likewise; they may coincide.

    Raises:
        ConfigError: a size or horizon below 1, or a location outside of the grid.

    Source: Laskin et al. (2023), "In-context Reinforcement Learning with Algorithm Distillation",
        section 4. Differs: the room may be lit, the actions shuffled.
    """

    metadata = {"render_modes": []}

    def __init__(
        self,
        dark: bool = True,
        size: int = 9,
        max_episode_steps: int = 50,
        meta_rollout_horizon: int = 500,
        start_location: Location | str = "random",
        key_location: Location | str = "random",
        goal_location: Location | str = "random",
        randomize_actions: bool = False,
    ) -> None:
        if min(size, max_episode_steps, meta_rollout_horizon) < 1:
            raise ConfigError(
                f"RoomKeyDoor(size={size}, max_episode_steps={max_episode_steps}, "
                f"meta_rollout_horizon={meta_rollout_horizon}): each must be at least 1."
            )
        self.dark = dark
        self.size = size
        self.max_episode_steps = max_episode_steps
        self.meta_rollout_horizon = meta_rollout_horizon
        self.start_location = _checked("start_location", start_location, size)
        self.key_location = _checked("key_location", key_location, size)
        self.goal_location = _checked("goal_location", goal_location, size)
        self.randomize_actions = randomize_actions
        self.action_space = gym.spaces.Discrete(5)
        width = 4 if dark else 8
        self.observation_space = gym.spaces.Box(0.0, 1.0, shape=(width,), dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A new room. With a `seed`, the whole rollout is reproducible."""
        super().reset(seed=seed)
        self.generate_task()
        self._rollout_clock = 0
        self.reset_same_task()
        return self.obs(), {}

    def generate_task(self) -> None:
        """Draw the start, the key, the door and the order of the actions."""
        self.start = self._draw(self.start_location)
        self.key = self._draw(self.key_location)
        self.goal = self._draw(self.goal_location)
        order = self.np_random.permutation(5) if self.randomize_actions else range(5)
        self._moves = [_MOVES[i] for i in order]

    def _draw(self, location: Location | str) -> Location:
        if not isinstance(location, str):
            return location
        x, y = self.np_random.integers(self.size, size=2)
        return int(x), int(y)

    def reset_same_task(self) -> None:
        """Position, clock and key back to the start of an episode; the room stays."""
        self._x, self._y = self.start
        self._clock = 0
        self._has_key = False
        self._is_episode_over = False

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One move, or the reset step that follows an episode's last move."""
        self._rollout_clock += 1
        is_rollout_over = self._rollout_clock >= self.meta_rollout_horizon
        reward = 0.0
        if self._is_episode_over:
            self.reset_same_task()
        else:
            reward = self._move(action)
        return self.obs(), reward, False, is_rollout_over, {}

    def _move(self, action: int) -> float:
        dx, dy = self._moves[action]
        self._x = min(max(self._x + dx, 0), self.size - 1)
        self._y = min(max(self._y + dy, 0), self.size - 1)
        self._clock += 1
        here = (self._x, self._y)
        reward = 0.0
        if not self._has_key:
            self._has_key = here == self.key
            reward = float(self._has_key)
        elif here == self.goal:
            reward = 1.0
            self._is_episode_over = True
        if self._clock >= self.max_episode_steps:
            self._is_episode_over = True
        return reward

    def obs(self) -> np.ndarray:
        """The observation of the current state, float32 [4] or [8]."""
        size = self.size
        seen = (self._x / size, self._y / size, self._has_key, self._clock / self.max_episode_steps)
        if not self.dark:
            seen += tuple(coordinate / size for coordinate in (*self.goal, *self.key))
        return np.array(seen, dtype=np.float32)


def _checked(name: str, location: Location | str, size: int) -> Location | str:
    if location == "random" or _is_cell(location, size):
        return location
    raise ConfigError(
        f"RoomKeyDoor: {name}={location!r} is neither 'random' nor a cell (x, y) "
        f"of the {size} x {size} grid, counted from 0."
    )


def _is_cell(location: Location | str, size: int) -> bool:
    if isinstance(location, str) or len(location) != 2:
        return False
    return all(0 <= coordinate < size for coordinate in location)
