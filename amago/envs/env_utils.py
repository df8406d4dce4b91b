"""Names of AMAGO 3.x that scripts import from here. The library itself uses them nowhere.

Axis: `N` environments.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np

from amago.core.errors import ConfigError, amago_warning
from amago.envs.resets import reset_with
from amago.envs.spaces import (
    ContinuousActionWrapper,
    DiscreteActionWrapper,
    MultiBinaryActionWrapper,
    MultiDiscreteActionWrapper,
    space_convert,
)

__all__ = [
    "AlreadyVectorizedEnv",
    "ContinuousActionWrapper",
    "DiscreteActionWrapper",
    "DummyAsyncVectorEnv",
    "MultiBinaryActionWrapper",
    "MultiDiscreteActionWrapper",
    "extend_box_obs_space_by",
    "space_convert",
]


_MOVED = {
    "AMAGOEnv": "AMAGOEnv",
    "ExplorationWrapper": "ExplorationWrapper",
    "ReturnHistory": "ReturnHistory",
    "SequenceWrapper": "SequenceWrapper",
    "SuccessHistory": "ReturnHistory",  # the same record, of another number for each episode
}


def __getattr__(name: str) -> Any:
    """Names that AMAGO 2 had in this module."""
    if name in _MOVED:
        amago_warning(f"{name}: import {_MOVED[name]} from amago.envs", DeprecationWarning)
        return getattr(import_module("amago.envs"), _MOVED[name])
    raise AttributeError(f"module 'amago.envs.env_utils' has no attribute '{name}'")


def extend_box_obs_space_by(
    space: gym.spaces.Box, by: int, low: float, high: float
) -> gym.spaces.Box:
    """A 1-D Box with `by` more numbers between `low` and `high` at its end."""
    if not isinstance(space, gym.spaces.Box) or len(space.shape) != 1:
        raise ConfigError(f"only a Box with one axis can be extended, got {space}")
    return gym.spaces.Box(
        low=np.concatenate([space.low, np.full(by, low)]).astype(space.dtype),
        high=np.concatenate([space.high, np.full(by, high)]).astype(space.dtype),
        dtype=space.dtype.type,
    )


class _CallAsync:
    """`call_async` / `call_wait` for environments that live in this process."""

    envs: list[Any]

    def call_async(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Call a method, or read an attribute, of every environment."""
        found = [env.get_wrapper_attr(name) for env in self.envs]
        self._answers = [f(*args, **kwargs) if callable(f) else f for f in found]

    def call_wait(self) -> list[Any]:
        """One answer for each environment."""
        return self._answers

    def render(self) -> Any:
        """What the first environment renders."""
        return self.envs[0].render()

    def close(self) -> None:
        """Close the environments."""
        for env in self.envs:
            env.close()


class DummyAsyncVectorEnv(_CallAsync):
    """Steps `SequenceWrapper`s one after the other; one whose episode ends is reset at once."""

    def __init__(self, env_funcs: Sequence[Callable[[], Any]]) -> None:
        self.envs = [make() for make in env_funcs]
        self.num_envs = len(self.envs)
        self.single_action_space = self.envs[0].action_space
        self.single_observation_space = self.envs[0].observation_space

    def reset(self, seed: int | None = None) -> tuple[dict[str, np.ndarray], list[Any]]:
        """Observations `{key: [N, ...]}` and `N` infos; environment `i` is seeded `seed + i`."""
        results = [
            reset_with(env.reset, None if seed is None else seed + i)
            for i, env in enumerate(self.envs)
        ]
        obs, infos = zip(*results, strict=True)
        return _concatenated(obs), list(infos)

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, Any]:
        """Observations, rewards `[N]`, terminated `[N]`, truncated `[N]`, and `N` infos."""
        results = [env.step(action) for env, action in zip(self.envs, actions, strict=True)]
        obs, rewards, terminated, truncated, infos = map(list, zip(*results, strict=True))
        for i, env in enumerate(self.envs):
            if np.any(terminated[i] | truncated[i]):
                obs[i], _ = env.reset()
        flags = np.concatenate(terminated), np.concatenate(truncated)
        return _concatenated(obs), np.concatenate(rewards), *flags, infos


class AlreadyVectorizedEnv(_CallAsync):
    """One `SequenceWrapper` around a batch, which resets its own rows."""

    def __init__(self, env_funcs: Sequence[Callable[[], Any]]) -> None:
        if len(env_funcs) != 1:
            raise ConfigError(f"expected exactly one environment, got {len(env_funcs)}")
        self.envs = [env_funcs[0]()]
        self.num_envs = self.envs[0].batched_envs
        self.single_action_space = self.envs[0].action_space
        self.single_observation_space = self.envs[0].observation_space

    def reset(self, seed: int | None = None) -> Any:
        """Reset every row."""
        return reset_with(self.envs[0].reset, seed)

    def step(self, actions: np.ndarray) -> Any:
        """Step every row."""
        return self.envs[0].step(actions)


def _concatenated(obs: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {key: np.concatenate([o[key] for o in obs]) for key in obs[0]}
