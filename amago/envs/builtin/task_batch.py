"""Many tasks of one kind as arrays: what the batched built-in environments have in common.

Axes: `N` rows of the batch, one task each; `K` of them that begin a new one; `D` numbers in an
observation.
"""

from abc import abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space

from amago.core.errors import ConfigError
from amago.envs.amago_env import AMAGO_ENV_LOG_PREFIX
from amago.envs.batched import Autoreset

Metrics = dict[str, tuple[np.ndarray, np.ndarray]]
"""By name: values `[N]`, and `[N]` bool, the rows that have one."""

# gymnasium 1.0 has no such enum yet.
_SAME_STEP = getattr(gym.vector, "AutoresetMode", Autoreset).SAME_STEP


class TaskBatch(VectorEnv):
    """`N` tasks side by side, without a Python loop over them.

    A row whose rollout ends begins its next task in the same step (autoreset `SAME_STEP`): the
    observation returned is the first of the new task, the last of the old one is in
    `info["final_obs"]`. All rows draw from one generator, which `reset(seed=...)` starts: the seed
    fixes every task that follows, of all rows together.

    Subclasses keep what the rows know in arrays, list the names of those in `_STATE`, and implement
    `_begin`, `_step` and `_observe`.

    Args:
        num_envs: `N`.
        single: the environment that every row is; it gives the spaces.

    Raises:
        ConfigError: no row.
    """

    metadata = {"autoreset_mode": _SAME_STEP, "render_modes": []}

    _STATE: tuple[str, ...] = ()

    def __init__(self, num_envs: int, single: gym.Env) -> None:
        if num_envs < 1:
            raise ConfigError(f"{type(self).__name__}: num_envs={num_envs} must be at least 1.")
        self.num_envs = num_envs
        self.single_observation_space = single.observation_space
        self.single_action_space = single.action_space
        self.observation_space = batch_space(single.observation_space, num_envs)
        self.action_space = batch_space(single.action_space, num_envs)
        self._every_row = np.arange(num_envs)
        self._obs_shape = single.observation_space.shape or ()

    @abstractmethod
    def _begin(self, rows: np.ndarray) -> None:
        """Draw a new task in `rows` (`[K]` indices), and go to its start."""

    @abstractmethod
    def _step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, Metrics]:
        """Take `actions [N]`: rewards, terminated and truncated `[N]`, and metrics."""

    @abstractmethod
    def _observe(self, rows: np.ndarray) -> np.ndarray:
        """What `rows` (`[K]` indices, ascending) show: `[K, D]` float32, a new array."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A new task in every row; observations `[N, D]`. With a `seed`, all that follow repeat."""
        super().reset(seed=seed)
        self._begin(self._every_row)
        return self._observe(self._every_row), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take `actions [N]`.

        Returns:
            Observations `[N, D]`, rewards `[N]` float64, terminated and truncated `[N]`, and an
            info that pairs `key` with `_key`, `[N]` bool: the rows it holds for.
        """
        rewards, terminated, truncated, metrics = self._step(np.asarray(actions))
        obs = self._observe(self._every_row)
        info: dict[str, Any] = {}
        for name, (values, has_value) in metrics.items():
            info[f"{AMAGO_ENV_LOG_PREFIX} {name}"] = values
            info[f"_{AMAGO_ENV_LOG_PREFIX} {name}"] = has_value
        ended = terminated | truncated
        rows = np.flatnonzero(ended)
        if len(rows):
            info["final_obs"], info["_final_obs"] = obs.copy(), ended
            self._begin(rows)
            obs[rows] = self._observe(rows)
        return obs, rewards, terminated, truncated, info

    def get_state(self) -> dict[str, Any]:
        """Where every row is, and the generator: what going on exactly needs."""
        arrays = {name: getattr(self, name).copy() for name in self._STATE}
        return {"arrays": arrays, "rng": self.np_random.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where `get_state` was called, after a `reset`.

        Raises:
            ValueError: it is the state of a batch of another shape.
        """
        for name in self._STATE:
            values, now = state["arrays"][name], getattr(self, name)
            if values.shape != now.shape:
                raise ValueError(f"'{name}' has shape {values.shape}, and here {now.shape}")
            setattr(self, name, values.copy())
        self.np_random.bit_generator.state = state["rng"]
