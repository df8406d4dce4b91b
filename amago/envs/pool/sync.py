"""Environments stepped one after the other in this process: the fastest for cheap ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from amago.core.errors import ConfigError
from amago.envs.pool.base import EnvPool, PoolStep
from amago.envs.pool.buffers import StepBuffers
from amago.envs.pool.members import Member, Recipe
from amago.envs.pool.rows import EnvRows
from amago.envs.pool.spaces import PoolSpaces, common_spaces


class SyncPool(EnvPool):
    """Steps its environments in a loop."""

    def __init__(self, recipe: Recipe) -> None:
        members = recipe.make()
        refuse_batches(members)
        spaces = common_spaces([PoolSpaces.of(member.amago_env) for member in members])
        self.num_envs = len(members)
        self.single_observation_space = spaces.observation
        self.single_action_space = spaces.action
        self.rl2_space = spaces.rl2
        self._buffers = StepBuffers(self.num_envs, spaces)
        self._rows = EnvRows(members, 0, self._buffers)
        self._is_open = True

    def reset(self) -> PoolStep:
        """Start an episode in every environment."""
        self._rows.reset()
        return self._buffers.step(self._rows.names, [])

    def step(self, actions: np.ndarray) -> PoolStep:
        """Step every environment; a finished one begins its next episode in the same step."""
        self._buffers.actions[:] = actions
        metrics = self._rows.step()
        return self._buffers.step(self._rows.names, metrics)

    def call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call a method, or read an attribute, of every environment."""
        return self._rows.call(name, [(args, kwargs)] * self.num_envs)

    def call_each(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of every environment, each with arguments of its own."""
        return self._rows.call(name, [(args, {}) for args in arguments])

    def render(self) -> list[Any]:
        """What each environment renders."""
        return self.call("render")

    def close(self) -> None:
        """Close the environments."""
        if self._is_open:
            self._is_open = False
            self._rows.close()

    @property
    def description(self) -> str:
        """`SyncPool(Gym Env x N)`."""
        return f"SyncPool(Gym Env x {self.num_envs})"


def refuse_batches(members: list[Member]) -> None:
    """Raise `ConfigError` for an environment that is a batch: it has a pool of its own."""
    for member in members:
        if member.amago_env.batched:
            raise ConfigError(
                f"the environment carries a batch of {member.amago_env.batched_envs} rows: use "
                "env_mode='already_vectorized', which takes exactly one such environment"
            )
