"""A random frozen lake per rollout, crossed several times: each attempt can teach the next."""

import math
import sys
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.toy_text.frozen_lake import generate_random_map

from amago.core.errors import ConfigError
from amago.envs.amago_env import AMAGO_ENV_LOG_PREFIX

_MOVES = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
_SWAPPED_MOVES = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))

_NOISE_CHANCE = 0.25
_CRACK_CHANCE = 0.33
_RECOVER_PENALTY = -0.1


class MetaFrozenLake(gym.Env):
    """`k_episodes` attempts at one random `size` x `size` lake; a new lake at every reset.

    The agent starts in corner (0, 0) and sees its position but not the ice. An attempt ends at the
    goal in the opposite corner (reward 1), in a hole (reward 0), or at its time limit; the next
    begins at once, so the observation after its last step is the first one of the next attempt.
    The rollout is `terminated` after the last attempt.

    Actions: stay, +x, -x, +y, -y. A move against the edge stays.

    Observation, four float32 in [0, 1]:

    | index | meaning |
    |---|---|
    | 0, 1 | `x / size`, `y / size` |
    | 2 | 1 on the first observation of an attempt (and on the very last of the rollout), else 0 |
    | 3 | `attempts finished / k_episodes`, or 0 when hidden |

    Metric: `Episode {i} Success`, 1 or 0, when attempt `i` ends (from 0).

    Args:
        k_episodes: attempts per rollout.
        hard_mode: per lake, a fair coin decides whether the x and y moves are exchanged; every
            observed coordinate pair is off by one each way with probability 0.25; a tile that is
            left becomes a hole with probability 0.33, until the attempt ends.
        recover_mode: a step into a hole costs 0.1 and is taken back, instead of ending the attempt.
        max_episode_steps: time limit of an attempt. None: `size ** 2`, twice that in hard mode, and
            longer by `1 / (1 - slip_chance)`.
        show_k_progress: whether the fourth number is shown.
        slip_chance: probability that a move does nothing, in [0, 1).

    Raises:
        ConfigError: a size below 2, no attempts, or a chance outside of its range.
    """

    metadata = {"render_modes": ["human"]}

    def __init__(
        self,
        size: int,
        k_episodes: int = 10,
        hard_mode: bool = False,
        recover_mode: bool = False,
        max_episode_steps: int | None = None,
        show_k_progress: bool = True,
        slip_chance: float = 0.0,
    ) -> None:
        if size < 2 or k_episodes < 1 or not 0.0 <= slip_chance < 1.0:
            raise ConfigError(
                f"MetaFrozenLake(size={size}, k_episodes={k_episodes}, slip_chance={slip_chance}) "
                f"needs size >= 2, k_episodes >= 1 and slip_chance in [0, 1)."
            )
        self.size = size
        self.k_episodes = k_episodes
        self.hard_mode = hard_mode
        self.recover_mode = recover_mode
        self.show_k_progress = show_k_progress
        self.slip_chance = slip_chance
        if max_episode_steps is None:
            max_episode_steps = math.ceil(size**2 * (1 + hard_mode) / (1.0 - slip_chance))
        self.max_episode_steps = max_episode_steps
        self.action_space = gym.spaces.Discrete(5)
        self.observation_space = gym.spaces.Box(0.0, 1.0, shape=(4,), dtype=np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A new lake, its first attempt. With a `seed`, the whole rollout is reproducible."""
        super().reset(seed=seed)
        self._layout = [list(row) for row in self.generate_lake()]
        is_swapped = self.hard_mode and self.np_random.random() < 0.5
        self._moves = _SWAPPED_MOVES if is_swapped else _MOVES
        self.attempt = 0
        return self.soft_reset(), {}

    def generate_lake(self) -> list[str]:
        """A random lake that can be crossed: rows of S(tart), F(rozen), H(ole), G(oal)."""
        return generate_random_map(self.size, seed=int(self.np_random.integers(2**31)))

    def soft_reset(self) -> np.ndarray:
        """Back to the start of the same lake, repaired; returns the attempt's first observation."""
        self._lake = [row.copy() for row in self._layout] if self.hard_mode else self._layout
        self._x = self._y = self._clock = 0
        return self.make_obs(reset_signal=True)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One move. The info holds a metric on the last step of an attempt."""
        reward, tile = self._move(action)
        self._clock += 1
        attempt_over = tile in "HG" or self._clock >= self.max_episode_steps
        if not attempt_over:
            return self.make_obs(reset_signal=False), reward, False, False, {}
        metric = f"{AMAGO_ENV_LOG_PREFIX} Episode {self.attempt} Success"
        self.attempt += 1
        is_last = self.attempt >= self.k_episodes
        return self.soft_reset(), reward, is_last, False, {metric: float(tile == "G")}

    def _move(self, action: int) -> tuple[float, str]:
        """Move the agent; returns the reward and the tile it now stands on."""
        x, y = self._x, self._y
        dx, dy = self._moves[action]
        if self.slip_chance and self.np_random.random() < self.slip_chance:
            dx = dy = 0
        last = self.size - 1
        new_x, new_y = min(max(x + dx, 0), last), min(max(y + dy, 0), last)
        tile = self._lake[new_x][new_y]
        if tile == "H" and self.recover_mode:
            return _RECOVER_PENALTY, self._lake[x][y]
        self._x, self._y = new_x, new_y
        is_moving = (new_x, new_y) != (x, y)
        if self.hard_mode and is_moving and self.np_random.random() < _CRACK_CHANCE:
            self._lake[x][y] = "H"
        return float(tile == "G"), tile

    def make_obs(self, reset_signal: bool) -> np.ndarray:
        """The observation of the current state, float32 [4]."""
        x, y = self._x, self._y
        if self.hard_mode and self.np_random.random() < _NOISE_CHANCE:
            noise_x, noise_y = 2 * self.np_random.integers(2, size=2) - 1
            last = self.size - 1
            x, y = min(max(x + noise_x, 0), last), min(max(y + noise_y, 0), last)
        progress = self.attempt / self.k_episodes if self.show_k_progress else 0.0
        return np.array((x / self.size, y / self.size, reset_signal, progress), dtype=np.float32)

    def render(self) -> None:
        """Print the lake, with `*` where the agent stands."""
        rows = [row.copy() for row in self._lake]
        rows[self._x][self._y] = "*"
        sys.stdout.write("\n".join("".join(row) for row in rows) + "\n\n")
