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


class ReturnCheck:
    """Turns what one environment (or batch) returns into arrays, or explains what is wrong.

    Args:
        space: the observations it promises.
        batched: it returns a leading axis of `num_envs`; otherwise that axis is added.
    """

    def __init__(self, space: gym.spaces.Dict, num_envs: int, batched: bool) -> None:
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
            raise EnvError(
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
        return checked

    def reward(self, reward: Any) -> np.ndarray:
        """`[N]` float32, finite."""
        rewards = self._one_each("reward", reward, np.float32)
        finite = math.isfinite(rewards[0]) if len(rewards) == 1 else np.isfinite(rewards).all()
        if not finite:
            raise EnvError(f"the reward is not a finite number: {reward}")
        return rewards

    def flag(self, name: str, value: Any) -> np.ndarray:
        """`[N]` bool."""
        return self._one_each(name, value, np.bool_)

    def _one_each(self, name: str, value: Any, dtype: Any) -> np.ndarray:
        try:
            return np.array(value, dtype=dtype).reshape(self._num_envs)
        except (TypeError, ValueError):
            wanted = f"{self._num_envs} values" if self._batched else "one value"
            raise EnvError(f"{name} must be {wanted}, got {_brief(value)}") from None


def check_finite(obs: dict[str, np.ndarray], env_names: Sequence[str]) -> None:
    """Refuse NaN and infinity in observations `{key: [N, ...]}`.

    Raises:
        EnvError: naming the environment and the key.
    """
    for key, values in obs.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            row = next(i for i, value in enumerate(values) if not np.isfinite(value).all())
            raise EnvError(
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
    raise EnvError(f"{method} must return {wanted}, got {got}")


def _converted(key: str, value: np.ndarray, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    if value.shape == shape[:-1] and shape[-1] == 1:
        value = value[..., np.newaxis]  # a plain number, e.g. of a Discrete space
    if value.shape != shape:
        raise EnvError(
            f"the observation '{key}' has shape {value.shape[1:]}, the observation space "
            f"promises {shape[1:]}"
        )
    if np.can_cast(value.dtype, dtype, "same_kind"):
        return value.astype(dtype, copy=False)
    cast = value.astype(dtype) if value.dtype.kind in "iub" and dtype.kind in "iub" else None
    if cast is None or not (cast == value).all():
        raise EnvError(
            f"the observation '{key}' has dtype {value.dtype}, the observation space promises "
            f"{dtype}, and the values cannot be converted without loss"
        )
    return cast


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
