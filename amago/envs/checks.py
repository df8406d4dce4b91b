"""What an environment may return: arrays of the promised shape and dtype, finite numbers.

Axis: `N` parallel environments.
"""

import math
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from amago.core.errors import EnvError
from amago.envs.spaces import OBSERVATION_KEY


class BadValueError(EnvError):
    """An environment returned something that it did not promise, or that is not finite."""


class ReturnCheck:
    """Turns what one environment (or batch) returns into arrays, or explains what is wrong.

    Args:
        space: the observations it promises.
        batched: it returns a leading axis of `num_envs`; otherwise that axis is added.
        clamps: numbers that are not finite are replaced (see `clamped`), not refused.

    Attributes:
        num_clamped: arrays in which numbers were replaced.
    """

    def __init__(
        self, space: gym.spaces.Dict, num_envs: int, batched: bool, clamps: bool = False
    ) -> None:
        self.num_clamped = 0
        self._space = space
        self._clamps = clamps
        self._num_envs = num_envs
        self._batched = batched
        self._promised = {
            key: ((num_envs, *(entry.shape or ())), entry.dtype)
            for key, entry in space.spaces.items()
        }

    def observation(self, obs: Any) -> dict[str, np.ndarray]:
        """`{key: [N, ...]}` in the dtypes of the space; an array that fits is not copied."""
        if not isinstance(obs, dict):
            obs = {OBSERVATION_KEY: obs}
        if obs.keys() != self._promised.keys():
            raise BadValueError(
                f"the observation has the keys {sorted(obs)}, but the observation space has "
                f"{sorted(self._promised)}. Make both agree."
            )
        checked = {}
        for key, (shape, dtype) in self._promised.items():
            value = np.asarray(obs[key])
            if not self._batched:
                value = value[np.newaxis]
            if value.shape != shape or value.dtype != dtype:
                value = _converted(key, value, shape, dtype)
            checked[key] = value
        return self.finite(checked) if self._clamps else checked

    def finite(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """`{key: [N, ...]}`, clamped if that is wanted; otherwise as it is."""
        if not self._clamps:
            return obs
        return {key: self._finite(value, self._space[key]) for key, value in obs.items()}

    def _finite(self, values: np.ndarray, space: gym.Space | None) -> np.ndarray:
        if values.dtype.kind != "f" or np.isfinite(values).all():
            return values
        self.num_clamped += 1
        return clamped(values, space)

    def reward(self, reward: Any) -> np.ndarray:
        """`[N]` float32, finite."""
        rewards = self._one_each("reward", reward, np.float32)
        if self._clamps:
            return self._finite(rewards, None)
        finite = math.isfinite(rewards[0]) if len(rewards) == 1 else np.isfinite(rewards).all()
        if not finite:
            raise BadValueError(f"the reward is not a finite number: {reward}")
        return rewards

    def flag(self, name: str, value: Any) -> np.ndarray:
        """`[N]` bool."""
        return self._one_each(name, value, np.bool_)

    def _one_each(self, name: str, value: Any, dtype: Any) -> np.ndarray:
        try:
            return np.array(value, dtype=dtype).reshape(self._num_envs)
        except (TypeError, ValueError):
            wanted = f"{self._num_envs} values" if self._batched else "one value"
            raise BadValueError(f"{name} must be {wanted}, got {_brief(value)}") from None


def clamped(values: np.ndarray, space: gym.Space | None) -> np.ndarray:
    """A copy of `values`, all finite: 0 for NaN, the largest and smallest for infinity.

    Args:
        values: `[N, ...]`, of a float dtype.
        space: of one of the `N`; its bounds are the limits, where it has finite ones. Elsewhere
            they are those of the dtype.
    """
    limits = np.finfo(values.dtype)
    low, high = np.full(values.shape, limits.min), np.full(values.shape, limits.max)
    if isinstance(space, gym.spaces.Box):
        low = np.where(np.isfinite(space.low), space.low, low)
        high = np.where(np.isfinite(space.high), space.high, high)
    finite = np.where(np.isnan(values), 0, values)
    finite = np.where(np.isposinf(finite), high, np.where(np.isneginf(finite), low, finite))
    return finite.astype(values.dtype)


def is_finite(obs: dict[str, np.ndarray]) -> bool:
    """Whether every number of `{key: [N, ...]}` is."""
    return all(v.dtype.kind != "f" or bool(np.isfinite(v).all()) for v in obs.values())


def check_finite(obs: dict[str, np.ndarray], env_names: Sequence[str]) -> None:
    """Refuse NaN and infinity in observations `{key: [N, ...]}`.

    Raises:
        BadValueError: naming the environment and the key.
    """
    for key, values in obs.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            row = next(i for i, value in enumerate(values) if not np.isfinite(value).all())
            raise BadValueError(
                f"environment '{env_names[row]}' returned an observation whose '{key}' is not "
                f"finite: {_brief(values[row])}"
            )


def unpacked(result: Any, method: str, length: int) -> Any:
    """`result` if it is a tuple of `length`, as gymnasium's `method` must return."""
    if isinstance(result, tuple | list) and len(result) == length:
        return result
    wanted = {
        2: "(observation, info)",
        5: "(observation, reward, terminated, truncated, info)",
    }[length]
    got = f"{len(result)} values" if isinstance(result, tuple | list) else type(result).__name__
    raise BadValueError(f"{method} must return {wanted}, got {got}")


def _converted(key: str, value: np.ndarray, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    if value.shape == shape[:-1] and shape[-1] == 1:
        value = value[..., np.newaxis]  # a plain number, e.g. of a Discrete space
    if value.shape != shape:
        raise BadValueError(
            f"the observation '{key}' has shape {value.shape[1:]}, the observation space "
            f"promises {shape[1:]}"
        )
    if np.can_cast(value.dtype, dtype, "same_kind"):
        return value.astype(dtype, copy=False)
    cast = value.astype(dtype) if value.dtype.kind in "iub" and dtype.kind in "iub" else None
    if cast is None or not (cast == value).all():
        raise BadValueError(
            f"the observation '{key}' has dtype {value.dtype}, the observation space promises "
            f"{dtype}, and the values cannot be converted without loss"
        )
    return cast


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
