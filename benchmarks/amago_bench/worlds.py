"""Environments and data of the right shape, that cost next to nothing to make."""

import time
from typing import Any

import gymnasium as gym
import numpy as np


class World(gym.Env):
    """Noise as observation, a reward of 1 with every step, episodes of a fixed length.

    Args:
        obs: numbers in an observation, or the shape of an image of bytes.
        actions: choices, or numbers if not `discrete`.
        busy_s: CPU time that a step takes.
    """

    def __init__(
        self,
        obs: int | tuple[int, ...] = 8,
        actions: int = 4,
        discrete: bool = True,
        episode: int = 200,
        busy_s: float = 0.0,
    ) -> None:
        image = isinstance(obs, tuple)
        shape = obs if isinstance(obs, tuple) else (obs,)
        self.observation_space = gym.spaces.Box(
            low=0 if image else -np.inf,
            high=255 if image else np.inf,
            shape=shape,
            dtype=np.uint8 if image else np.float32,
        )
        box = gym.spaces.Box(-1.0, 1.0, (actions,), np.float32)
        self.action_space = gym.spaces.Discrete(actions) if discrete else box
        self.episode = episode
        self.busy_s = busy_s
        noise = np.random.default_rng(0)
        if image:
            self._seen = noise.integers(0, 256, (16, *shape), dtype=np.uint8)
        else:
            self._seen = noise.standard_normal((64, *shape), dtype=np.float32)
        self._time = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """See `gymnasium.Env.reset`."""
        super().reset(seed=seed)
        self._time = 0
        return self._seen[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """See `gymnasium.Env.step`."""
        if self.busy_s:
            until = time.thread_time() + self.busy_s
            while time.thread_time() < until:
                pass
        self._time += 1
        obs = self._seen[self._time % len(self._seen)]
        return obs, 1.0, self._time >= self.episode, False, {}


class BatchedWorld(gym.Env):
    """Many at once as arrays, for "already_vectorized": spaces are those of one of them.

    Ends episodes at different times, and starts the next one in the same step.
    """

    def __init__(self, rows: int, obs: int = 8, actions: int = 4, episode: int = 200) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (obs,), np.float32)
        self.action_space = gym.spaces.Discrete(actions)
        self.rows = rows
        self.episode = episode
        noise = np.random.default_rng(0)
        self._seen = noise.standard_normal((16, rows, obs), dtype=np.float32)
        self._reward = np.ones(rows, np.float32)
        self._never = np.zeros(rows, bool)
        self._time = np.arange(rows) % episode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Observations of all rows, `[rows obs]`."""
        super().reset(seed=seed)
        return self._seen[0], {}

    def step(
        self, action: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Everything with a leading axis of rows."""
        self._time += 1
        ended = self._time >= self.episode
        self._time[ended] = 0
        obs = self._seen[int(self._time[0]) % len(self._seen)]
        return obs, self._reward, ended, self._never, {}
