"""Environments stepped one after the other in this process: the fastest for cheap ones."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from amago.core.errors import ConfigError, EnvError
from amago.envs.pool.base import PoolStep
from amago.envs.pool.buffers import StepBuffers
from amago.envs.pool.members import Member, Recipe
from amago.envs.pool.row import Metrics
from amago.envs.pool.row_pool import RowPool
from amago.envs.pool.rows import EnvRows
from amago.envs.pool.spaces import PoolSpaces, common_spaces


class SyncPool(RowPool):
    """Steps its environments in a loop. One that hangs, or ends the process, is not survived."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        members = list(recipe.make())
        refuse_batches(members)
        spaces = common_spaces([PoolSpaces.of(member.amago_env) for member in members])
        self._adopt(len(members), spaces)
        self._buffers = StepBuffers(self.num_envs, spaces)
        self._rows = EnvRows(members, 0, self._buffers, recipe.supervision, recipe.replayable)
        self._is_open = True

    def reset(self) -> PoolStep:
        """Start an episode in every environment."""
        return self._supervised(self._rows.reset)

    def step(self, actions: np.ndarray) -> PoolStep:
        """Step every environment; a finished one begins its next episode in the same step."""
        self._buffers.take(actions)
        return self._supervised(self._rows.step)

    def _supervised(self, command: Callable[[], Metrics]) -> PoolStep:
        self._check_open()
        try:
            metrics = command()
        except Exception:
            self.close()
            raise
        if self._rows.faults or self._rows.notes:
            self._report()
        return self._buffers.step(self._rows.names, metrics)

    def _report(self) -> None:
        faults, notes = self._rows.faults, self._rows.notes
        self._rows.faults, self._rows.notes = [], []
        self._fault_log.report(faults, notes)

    def call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call a method, or read an attribute, of every environment."""
        return self._rows.call(name, [(args, kwargs)] * self.num_envs)

    def call_each(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of every environment, each with arguments of its own."""
        return self._rows.call(name, [(args, {}) for args in arguments])

    def close(self) -> None:
        """Close the environments."""
        if self._is_open:
            self._is_open = False
            self._rows.close()

    @property
    def description(self) -> str:
        """`SyncPool(Gym Env x N)`."""
        return f"SyncPool(Gym Env x {self.num_envs})"

    @property
    def _names(self) -> list[str]:
        return self._rows.names

    def _how_to_bring_back(self) -> tuple[list[dict[str, Any]], list[dict[str, Any] | None]]:
        return self._rows.environments(), self._rows.explorations()

    def _bring_back(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        try:
            reasons = self._rows.load(rows)
        except Exception:
            self.close()
            raise
        self._report()
        return reasons

    def _check_open(self) -> None:
        if not self._is_open:
            raise EnvError("the pool is closed; make a new one")


def refuse_batches(members: list[Member]) -> None:
    """Raise `ConfigError` for an environment that is a batch: it has a pool of its own."""
    for member in members:
        if member.amago_env.batched:
            raise ConfigError(
                f"the environment carries a batch of {member.amago_env.batched_envs} rows: use "
                "env_mode='already_vectorized', which takes exactly one such environment"
            )
