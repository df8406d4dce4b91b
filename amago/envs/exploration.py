"""Exploration noise on the actions of training environments.

Axes: `N` environments of a batch (1 for an ordinary environment), `A` numbers in an action, `F`
factors: choices that make up one action.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar, cast

import gymnasium as gym
import numpy as np

from amago.core.config import REQUIRED, configurable
from amago.core.errors import ConfigError
from amago.core.registry import Registry
from amago.envs.amago_env import AMAGOEnv
from amago.envs.resets import reset_with
from amago.envs.spaces import check_unit_range, choices_of
from amago.hindsight import Timestep


class ExplorationWrapper(gym.ActionWrapper, ABC):
    """Changes the policy's actions before an `AMAGOEnv` takes them.

    The pool makes one for each training environment, and seeds it. Subclasses implement
    `add_exploration_noise`, draw from `self.rng` only, and take `amago_env` as their first
    argument; all others need a default (or a binding).

    Attributes:
        batched_envs: `N`.
        discrete: actions are indices.
        multibinary: actions are bits.
        rng: the wrapper's own generator.
    """

    env: AMAGOEnv

    def __init__(self, amago_env: AMAGOEnv) -> None:
        super().__init__(amago_env)
        self.batched_envs = amago_env.batched_envs
        self.discrete = amago_env.discrete
        self.multibinary = amago_env.multibinary
        self.rng = np.random.default_rng()

    def seed(self, seed: int) -> None:
        """Start the generator anew; two wrappers with one seed add the same noise."""
        self.rng = np.random.default_rng(seed)

    @abstractmethod
    def add_exploration_noise(self, action: np.ndarray, local_step: np.ndarray) -> np.ndarray:
        """The action to take instead, of the same shape and dtype.

        Args:
            action: `[N, F]` indices or `[N, A]`; continuous ones are in [-1, 1], and must stay so.
            local_step: `[N]`, steps since the episode began.
        """

    def action(self, action: np.ndarray) -> np.ndarray:
        """The action with noise, in the shape it came in: with or without the batch axis."""
        given = np.asarray(action)
        batch = given.reshape(self.batched_envs, -1)
        if not (self.discrete or self.multibinary):
            check_unit_range(batch)
        return self.add_exploration_noise(batch, self.env.step_count).reshape(given.shape)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Timestep, dict[str, Any]]:
        """Reset the environment. `seed` is the environment's: noise has its own (see `seed()`)."""
        return reset_with(self.env.reset, seed, options)

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs: the state of the generator."""
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.rng.bit_generator.state = state["rng"]


_registry: Registry[ExplorationWrapper] = Registry("exploration strategy")
get_exploration_cls = _registry.get
list_registered_explorations = _registry.names

_Wrapper = TypeVar("_Wrapper", bound=type[ExplorationWrapper])


def register_exploration(name: str) -> Callable[[_Wrapper], _Wrapper]:
    """Decorator that makes an `ExplorationWrapper` available under `name`.

    Raises:
        ValueError: the name is taken.
    """
    return cast(Any, _registry.register(name))


@configurable(module="amago.envs.exploration")
@register_exploration("bilevel")
class BilevelEpsilonGreedy(ExplorationWrapper):
    """Epsilon-greedy that anneals over training, and over each rollout from start to end level.

    With `g` actions taken so far by this environment, and a multiplier `m` of its own:

        start = max(eps_start_start - g * (eps_start_start - eps_start_end) / steps_anneal,
                    eps_start_end),    end likewise from the `eps_end_*` pair
        eps = clip(m * (start - (start - end) * local_step / rollout_horizon), 0, 1)

    Discrete: with probability `eps` a uniform action, in all of its factors. Continuous: add
    `eps * N(0, 1)`, clip to [-1, 1].

    Args:
        rollout_horizon: steps of a rollout over which `start` goes to `end`, e.g. the longest
            meta-episode.
        eps_start_start: level at the start of a rollout, at the start of training.
        eps_start_end: level at the start of a rollout, after `steps_anneal` actions.
        eps_end_start: level at the end of a rollout, at the start of training.
        eps_end_end: level at the end of a rollout, after `steps_anneal` actions.
        steps_anneal: actions of one environment over which the levels anneal.
        randomize_eps: draw `m` from U[0, 1) at each episode; otherwise it is 1. Different levels
            side by side make the stored data more diverse.

    Differs: AMAGO 3.x lets eps leave [0, 1] when an episode outlasts the horizon.
    """

    def __init__(
        self,
        amago_env: AMAGOEnv,
        rollout_horizon: float = REQUIRED,  # pyright: ignore[reportArgumentType]
        eps_start_start: float = 1.0,
        eps_start_end: float = 0.05,
        eps_end_start: float = 0.8,
        eps_end_end: float = 0.01,
        steps_anneal: int = 1_000_000,
        randomize_eps: bool = True,
    ) -> None:
        super().__init__(amago_env)
        _check_schedule(self, rollout_horizon, steps_anneal)
        self.rollout_horizon = rollout_horizon
        self.eps_start_start = eps_start_start
        self.eps_start_end = eps_start_end
        self.eps_end_start = eps_end_start
        self.eps_end_end = eps_end_end
        self.steps_anneal = steps_anneal
        self.randomize_eps = randomize_eps
        self.global_step = 0
        self.global_multiplier = np.ones(self.batched_envs)
        self._choices = choices_of(amago_env.action_space)

    def current_eps(self, local_step: np.ndarray) -> np.ndarray:
        """`[N]` exploration levels in [0, 1]. Override it for a schedule of your own.

        Args:
            local_step: `[N]`, steps since the episode began.
        """
        start = self._annealed(self.eps_start_start, self.eps_start_end)
        end = self._annealed(self.eps_end_start, self.eps_end_end)
        slope = (start - end) / self.rollout_horizon
        eps = self.global_multiplier * (start - slope * local_step)
        return np.minimum(np.maximum(eps, 0.0, out=eps), 1.0, out=eps)

    def _annealed(self, first: float, last: float) -> float:
        return max(first - self.global_step * (first - last) / self.steps_anneal, last)

    def add_exploration_noise(self, action: np.ndarray, local_step: np.ndarray) -> np.ndarray:
        """Epsilon-greedy, or Gaussian noise of scale epsilon. Counts one global step."""
        eps = self.current_eps(local_step)
        self.global_step += 1
        if self.discrete:
            return self._random_in_place_of(action, eps)
        noise = eps[:, np.newaxis] * self.rng.standard_normal(action.shape)
        return np.clip(action + noise, -1.0, 1.0).astype(action.dtype)

    def _random_in_place_of(self, action: np.ndarray, eps: np.ndarray) -> np.ndarray:
        if len(action) == 1:  # the same draws, without the price of arrays
            if not self.rng.random() < eps:
                return action
            draws = [int(self.rng.random() * n) for n in self._choices]
            return np.array([draws], dtype=action.dtype)
        explores = self.rng.random(len(action)) < eps
        count = np.count_nonzero(explores)
        if count == 0:
            return action
        action = action.copy()
        draws = self.rng.random((count, len(self._choices)))
        action[explores] = draws * self._choices  # rounded down
        return action

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Timestep, dict[str, Any]]:
        """Reset the environment and draw new multipliers."""
        result = super().reset(seed=seed, options=options)
        self._draw_multipliers(np.ones(self.batched_envs, dtype=bool))
        return result

    def step(self, action: np.ndarray) -> Any:
        """Step with noise. Rows of a batch that finish an episode get a new multiplier."""
        result: Any = super().step(action)
        if self.env.batched:  # an ordinary environment is reset by whoever steps it
            self._draw_multipliers(result[2] | result[3])
        return result

    def _draw_multipliers(self, rows: np.ndarray) -> None:
        if self.randomize_eps and rows.any():
            self.global_multiplier[rows] = self.rng.random(int(rows.sum()))

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs: the generator, the global step and the multipliers."""
        return {
            **super().state_dict(),
            "global_step": self.global_step,
            "global_multiplier": self.global_multiplier.copy(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        super().load_state_dict(state)
        self.global_step = int(state["global_step"])
        self.global_multiplier = np.array(state["global_multiplier"], dtype=np.float64)


@configurable(module="amago.envs.exploration")
@register_exploration("egreedy")
class EpsilonGreedy(BilevelEpsilonGreedy):
    """Epsilon-greedy with one linear schedule: the bi-level one with an infinite horizon.

    Args:
        eps_start: level at the start of training.
        eps_end: level after `steps_anneal` actions.
        steps_anneal: actions of one environment over which the level anneals.
        randomize_eps: multiply by a number from U[0, 1), drawn at each episode.
    """

    def __init__(
        self,
        amago_env: AMAGOEnv,
        eps_start: float = 1.0,
        eps_end: float = 0.05,
        steps_anneal: int = 1_000_000,
        randomize_eps: bool = True,
    ) -> None:
        super().__init__(  # every argument, so that no binding of the parent reaches this class
            amago_env,
            rollout_horizon=float("inf"),
            eps_start_start=eps_start,
            eps_start_end=eps_end,
            eps_end_start=eps_start,
            eps_end_end=eps_end,
            steps_anneal=steps_anneal,
            randomize_eps=randomize_eps,
        )

    def current_eps(self, local_step: np.ndarray) -> np.ndarray:
        """`[N]` exploration levels in [0, 1]; the same at every step of an episode."""
        level = self._annealed(self.eps_start_start, self.eps_start_end)
        return self.global_multiplier * min(max(level, 0.0), 1.0)


def _check_schedule(
    wrapper: ExplorationWrapper, rollout_horizon: float, steps_anneal: float
) -> None:
    name = type(wrapper).__name__
    if wrapper.multibinary:
        raise ConfigError(
            f"{name} adds no noise to MultiBinary actions. Pass exploration_wrapper_type=None, or "
            "an ExplorationWrapper of your own."
        )
    if not rollout_horizon > 0 or not steps_anneal > 0:
        raise ConfigError(
            f"{name} needs a positive rollout_horizon and steps_anneal, got {rollout_horizon} and "
            f"{steps_anneal}"
        )
