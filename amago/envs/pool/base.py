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
        env_names: `N` names of the episodes the step belonged to, or that were cut off.
        metrics: `(row, name, value)` of every `AMAGO_LOG_METRIC` entry of the infos.
        interrupted: `[N]` bool, a fault cut the row's episode off before this step: what was seen
            of it stands, but it has no end. The row made no transition (`stepped` and `ended` are
            false) and `timestep` is the first of its next episode (`started` is true).
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
    interrupted: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def __post_init__(self) -> None:
        if len(self.interrupted) != len(self.reward):  # not given: nothing was
            self.interrupted = np.zeros(len(self.reward), dtype=bool)

    @property
    def ended(self) -> np.ndarray:
        """`[N]` bool: the episode is over, for whichever reason."""
        return self.terminated | self.truncated


class EnvPool(ABC):
    """`N` environments behind one `reset` and `step`, which go on when one of them fails.

    A fault is an exception in an environment, a worker process that dies, or one that does not
    answer. Rows it hits are made anew and begin their next episode (`PoolStep.interrupted`); the
    pool warns, counts, and gives up after `Supervision.max_failures` in a row.

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

        Raises:
            EnvError: an environment failed too often, or returned what it did not promise
                (`Supervision.bad_values`); the pool is closed.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What going on exactly needs: nested dicts and lists of plain values and numpy arrays.

        For each environment its episode number, its name, the present timestep, its exploration,
        and how to bring it back: its own state, or the actions to take again (a `replayable`
        pool), or nothing.
        """

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> PoolStep:
        """Go on where `state_dict` was taken, in place of `reset`.

        A row that cannot be brought back begins its next episode, which is warned about: it is
        `interrupted` and `started`. The `timestep` of every other row is the saved one, bit for
        bit. From a state of another number of rows only the exploration is taken.
        """

    @property
    @abstractmethod
    def num_faults(self) -> int:
        """Faults since the pool was made."""

    @abstractmethod
    def episodes(self) -> list[int]:
        """How many episodes each environment has begun: the seeds of the next follow from it.

        One number for each environment; an environment that is a batch is one.
        """

    @abstractmethod
    def set_episodes(self, episodes: list[int]) -> None:
        """Go on counting from `episodes`; running episodes are left alone."""

    def remember_exploration(self) -> None:  # noqa: B027 (most have nothing to do)
        """Take note of how far the exploration is, for a worker that has to be started again.

        Where environments live in this process, nothing of it can be lost.
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
