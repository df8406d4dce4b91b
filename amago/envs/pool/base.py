"""The contract between environments and everything that drives them.

A pool steps `N` environments and hands back one `PoolStep`: batched timesteps, and which rows
ended or began an episode. How the environments run (in this process, in workers, or as one
environment that is already a batch) stays behind this interface.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from amago.hindsight import Timestep


@dataclass
class PoolStep:
    """What one vector step produced. Arrays are views that the next step overwrites: copy to keep.

    Attributes:
        timestep: what the policy sees next, batched over `N`. Where `started`, it is the first of
            an episode: time index 0, previous action and reward zero.
        final: the last timestep of the episode in rows where `ended`; other rows are undefined.
        reward: `[N]` float32, of the step just taken.
        terminated: `[N]` bool, the episode ended in a terminal state.
        truncated: `[N]` bool, the episode was cut off.
        started: `[N]` bool, `timestep` is the first of an episode. An environment that resets
            itself at the step *after* the end has `ended` in one step and `started` in the next.
        stepped: `[N]` bool, the row made a transition. False where the step was only a reset (its
            action was ignored, it counts as no frame), true everywhere else.
        env_names: `N` names of the episodes the step belonged to.
        metrics: `(row, name, value)` of every `AMAGO_LOG_METRIC` entry of the infos.
    """

    timestep: Timestep
    final: Timestep
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    started: np.ndarray
    stepped: np.ndarray
    env_names: list[str]
    metrics: list[tuple[int, str, Any]] = field(default_factory=list)

    @property
    def ended(self) -> np.ndarray:
        """`[N]` bool: the episode is over, for whichever reason."""
        return self.terminated | self.truncated


class EnvPool(ABC):
    """`N` environments behind one `reset` and `step`.

    Attributes:
        num_envs: `N`.
        single_observation_space: a Dict space, of one environment.
        single_action_space: what the policy chooses from: Discrete, MultiBinary or Box[-1, 1].
        rl2_space: Box of `1 + A` numbers, previous reward then previous action.
    """

    num_envs: int
    single_observation_space: gym.spaces.Dict
    single_action_space: gym.Space
    rl2_space: gym.spaces.Box

    @abstractmethod
    def reset(self) -> PoolStep:
        """Start an episode in every environment. `started` is true, `stepped` false everywhere."""

    @abstractmethod
    def step(self, actions: np.ndarray) -> PoolStep:
        """Step every environment; those whose episode ends are reset as their kind does it.

        Args:
            actions: `[N, 1]` indices (discrete), `[N, A]` bits or `[N, A]` floats in [-1, 1].
        """

    @abstractmethod
    def call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call a method (or read an attribute) of every environment, through its wrappers."""

    @abstractmethod
    def call_each(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of every environment, each with arguments of its own."""

    @abstractmethod
    def render(self) -> Any:
        """Render the environments the way their `render` does."""

    @abstractmethod
    def close(self) -> None:
        """Close the environments and end their workers. A second call does nothing."""

    @property
    @abstractmethod
    def description(self) -> str:
        """One line for the start-up summary, e.g. `SyncPool(Gym Env x 12)`."""
