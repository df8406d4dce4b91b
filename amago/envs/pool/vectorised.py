"""One environment that is already a batch, as a pool."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from amago.core.errors import ConfigError
from amago.envs.pool.base import EnvPool, PoolStep
from amago.envs.pool.batch import BatchSteps
from amago.envs.pool.members import Recipe
from amago.envs.pool.rows import call_env
from amago.envs.pool.spaces import PoolSpaces


class VectorisedPool(EnvPool):
    """Steps one `AMAGOEnv(..., batched_envs=N)`, whose rows reset themselves.

    Such an environment owns its random streams: it is seeded once, at the first reset.
    """

    def __init__(self, recipe: Recipe) -> None:
        if len(recipe.factories) != 1:
            raise ConfigError(
                "env_mode='already_vectorized' takes exactly one environment, which carries the "
                f"batch itself, but got {len(recipe.factories)} factories"
            )
        self._member = recipe.make()[0]
        self._steps = BatchSteps(self._member.env)
        spaces = PoolSpaces.of(self._member.amago_env)
        self.num_envs = self._member.amago_env.batched_envs
        self.single_observation_space = spaces.observation
        self.single_action_space = spaces.action
        self.rl2_space = spaces.rl2
        self._is_seeded = False
        self._is_open = True

    def reset(self) -> PoolStep:
        """Start an episode in every row."""
        seed = None if self._is_seeded else self._member.next_episode_seed()
        self._is_seeded = True
        return self._steps.reset(seed)

    def step(self, actions: np.ndarray) -> PoolStep:
        """Step every row; rows reset as their environment does it."""
        return self._steps.step(actions)

    def call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call a method, or read an attribute, of the environment. One answer, for all rows."""
        return [call_env(self._member.env, 0, name, *args, **kwargs)]

    def call_each(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """`call` with the one set of arguments given."""
        (args,) = arguments
        return self.call(name, *args)

    def render(self) -> Any:
        """What the environment renders."""
        return self._member.env.render()

    def close(self) -> None:
        """Close the environment."""
        if self._is_open:
            self._is_open = False
            self._member.env.close()

    @property
    def description(self) -> str:
        """`VectorisedPool(Vectorized Gym Env x N)`."""
        return f"VectorisedPool(Vectorized Gym Env x {self.num_envs})"
