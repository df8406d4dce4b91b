"""What the environments of a pool must agree on before they can share its arrays.

Axes: `N` environments of the pool, `A` numbers in an action.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from amago.core.errors import ConfigError
from amago.envs.amago_env import AMAGOEnv
from amago.envs.spaces import choices_of


@dataclass(frozen=True)
class PoolSpaces:
    """The spaces of one environment, as the policy sees them.

    Attributes:
        observation: a Dict.
        action: what the policy chooses from.
        action_size: `A`.
        action_dtype: of an action from the policy.
        action_representation_dtype: of a previous action.
    """

    observation: gym.spaces.Dict
    action: gym.Space
    action_size: int
    action_dtype: type[np.generic]
    action_representation_dtype: type[np.generic]

    @classmethod
    def of(cls, env: AMAGOEnv) -> "PoolSpaces":
        """Those of `env`."""
        assert isinstance(env.observation_space, gym.spaces.Dict)
        return cls(
            observation=env.observation_space,
            action=env.action_space,
            action_size=env.action_size,
            action_dtype=env.action_dtype,
            action_representation_dtype=env.action_representation_dtype,
        )

    @property
    def action_width(self) -> int:
        """Numbers in an action as the policy gives it: an index for each choice, or `A`."""
        return len(choices_of(self.action)) or self.action_size

    @property
    def rl2(self) -> gym.spaces.Box:
        """Previous reward, then previous action: `1 + A` numbers."""
        return gym.spaces.Box(-np.inf, np.inf, (1 + self.action_size,), np.float32)

    def fits(self, other: "PoolSpaces") -> bool:
        """Whether timesteps and actions of the other fit into arrays made for this one."""
        return self._layout() == other._layout()

    def _layout(self) -> dict[str, object]:
        observations = {
            f"observation '{key}'": (space.shape, space.dtype)
            for key, space in self.observation.spaces.items()
        }
        kind = type(self.action).__name__
        return {**observations, "action": (kind, choices_of(self.action) or self.action_size)}


def common_spaces(spaces: Sequence[PoolSpaces]) -> PoolSpaces:
    """The spaces all environments share; bounds of observations may differ.

    Raises:
        ConfigError: two environments differ, and in what.
    """
    first = spaces[0]._layout()
    for index, other in enumerate(spaces[1:], start=1):
        layout = other._layout()
        for entry in sorted(first.keys() | layout.keys()):
            if first.get(entry) != layout.get(entry):
                raise ConfigError(
                    f"environments of one pool must share their spaces, but the {entry} of "
                    f"environment 0 is {first.get(entry)}, of environment {index} "
                    f"{layout.get(entry)}. Wrap them to a common shape."
                )
    return spaces[0]
