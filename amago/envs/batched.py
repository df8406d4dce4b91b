"""Environments that are already a batch, and how their rows begin a new episode.

gymnasium knows three ways (`metadata["autoreset_mode"]`). `NEXT_STEP`: the step *after* the end
ignores the row's action and returns the first observation. `SAME_STEP`: the step that ends the
episode already returns the first observation of the next, the last one is in
`info["final_obs"]`. `DISABLED`: somebody has to reset the row; `ResetFinishedRows` does it at once,
which makes it `SAME_STEP`. An environment that does not say is taken as `SAME_STEP`, the
convention before gymnasium 1.0.

Axis: `N` environments of the batch.
"""

from enum import StrEnum
from typing import Any, TypeGuard

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv


class Autoreset(StrEnum):
    """gymnasium's `AutoresetMode`, which version 1.0 does not have yet."""

    NEXT_STEP = "NextStep"
    SAME_STEP = "SameStep"
    DISABLED = "Disabled"


FINAL_OBS_KEYS = ("final_obs", "final_observation")


class VectorEnvAdapter(gym.Env):
    """A `gymnasium.vector.VectorEnv` as an environment with the spaces of one of its rows."""

    def __init__(self, vector_env: VectorEnv) -> None:
        self.vector_env = vector_env
        self.observation_space = vector_env.single_observation_space
        self.action_space = vector_env.single_action_space
        self.metadata = dict(vector_env.metadata)
        self.metadata.setdefault("autoreset_mode", _unstated_mode(vector_env))

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        """Reset the rows (all, or those of `options["reset_mask"]`)."""
        return self.vector_env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        """Step all rows."""
        return self.vector_env.step(action)

    def render(self) -> Any:
        """What the vector environment renders."""
        return self.vector_env.render()

    def close(self) -> None:
        """Close the vector environment."""
        self.vector_env.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "vector_env":
            raise AttributeError(name)
        return getattr(self.vector_env, name)


class ResetFinishedRows(gym.Wrapper):
    """Resets the rows whose episode ended, in the same step; needs autoreset mode `DISABLED`."""

    def step(self, action: Any) -> Any:
        """One step; finished rows return their next first observation, see `final_obs` in info."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        ended = np.logical_or(terminated, truncated)
        if ended.any():
            final_obs = np.full(len(ended), None, dtype=object)
            for row in np.flatnonzero(ended):
                final_obs[row] = _row(obs, row)
            info = {**info, "final_obs": final_obs, "_final_obs": ended}
            obs, _ = self.env.reset(options={"reset_mask": ended})
        return obs, reward, terminated, truncated, info


def autoreset_mode(env: gym.Env) -> Autoreset:
    """How the rows of a batched environment begin a new episode.

    Raises:
        ValueError: the environment states another mode.
    """
    stated = (env.metadata or {}).get("autoreset_mode") or Autoreset.SAME_STEP
    return Autoreset(getattr(stated, "value", stated))


def final_observations(
    obs: dict[str, np.ndarray], ended: np.ndarray, info: dict[str, Any]
) -> dict[str, np.ndarray]:
    """`{key: [N, ...]}`: the last observations of the rows that `ended`, for `SAME_STEP`.

    Taken from `info`. What the environment does not report there stays as it is in `obs`, which is
    the first observation of the row's next episode.
    """
    reported = next((info[key] for key in FINAL_OBS_KEYS if info.get(key) is not None), None)
    if reported is None:
        return obs
    final = {key: value.copy() for key, value in obs.items()}
    for key, values in final.items():
        whole = reported.get(key) if isinstance(reported, dict) else reported
        if _fits(whole, values):
            values[ended] = whole[ended]
            continue
        for row in np.flatnonzero(ended):
            value = _reported(reported, key, row)
            if value is not None:
                values[row] = value
    return final


def _fits(reported: Any, values: np.ndarray) -> TypeGuard[np.ndarray]:
    """Whether it is an array of observations; gymnasium's own are arrays of objects."""
    return (
        isinstance(reported, np.ndarray)
        and reported.dtype == values.dtype
        and reported.shape == values.shape
    )


def _reported(reported: Any, key: str, row: Any) -> Any:
    """One row's final value of `key`: from an array of (dict) observations, or a dict of arrays."""
    if isinstance(reported, dict):
        return reported[key][row] if key in reported else None
    value = reported[row]
    return value.get(key) if isinstance(value, dict) else value


def _row(obs: Any, row: Any) -> Any:
    if isinstance(obs, dict):
        return {key: np.copy(value[row]) for key, value in obs.items()}
    return np.copy(obs[row])


def _unstated_mode(vector_env: VectorEnv) -> Autoreset:
    # gymnasium 1.0 reset at the next step in all of its own, and did not say so.
    theirs = type(vector_env.unwrapped).__module__.startswith("gymnasium.")
    return Autoreset.NEXT_STEP if theirs else Autoreset.SAME_STEP
