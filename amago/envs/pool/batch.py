"""`PoolStep`s of one environment that begins its next episodes by itself.

Axis: `N` rows of the environment.
"""

from dataclasses import replace
from itertools import repeat
from typing import Any

import gymnasium as gym
import numpy as np

from amago.core.errors import AmagoError
from amago.envs.amago_env import AMAGO_ENV_LOG_PREFIX, AMAGOEnv
from amago.envs.batched import final_observations
from amago.envs.checks import check_finite
from amago.envs.histories import metric_name
from amago.envs.pool.base import PoolStep
from amago.envs.pool.row import Metrics, collect_metrics
from amago.envs.pool.rows import env_error
from amago.envs.resets import reset_with
from amago.hindsight import Timestep


class BatchSteps:
    """Drives an `AMAGOEnv`, or wrappers around one, all rows at once.

    Attributes:
        env: what is stepped.
        amago_env: the `AMAGOEnv` in it.
        info: of the last reset or step.
    """

    def __init__(self, env: gym.Env) -> None:
        self.env: Any = env
        self.amago_env = _amago_env_in(env)
        self.info: dict[str, Any] = {}

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> PoolStep:
        """Start an episode in every row."""
        try:
            timestep, self.info = reset_with(self.env.reset, seed, options)
        except AmagoError:
            raise
        except Exception as error:
            raise env_error(error, self.env, "reset", 0) from error
        everywhere = np.ones(self.amago_env.batched_envs, dtype=bool)
        names = self._names()
        check_finite(timestep.obs, names)
        return PoolStep(
            timestep=timestep,
            final=timestep,
            reward=timestep.reward,
            terminated=~everywhere,
            truncated=~everywhere,
            started=everywhere,
            stepped=~everywhere,
            env_names=names,
        )

    def step(self, actions: np.ndarray) -> PoolStep:
        """Step every row."""
        restarted = self.amago_env.restarting
        try:
            timestep, reward, terminated, truncated, self.info = self.env.step(actions)
        except AmagoError:
            raise
        except Exception as error:
            raise env_error(error, self.env, "step", 0) from error
        names = self._names()
        check_finite(timestep.obs, names)
        final, started, ended = timestep, restarted, terminated | truncated
        if ended.any() and not self.amago_env.resets_next_step:
            obs = final_observations(timestep.obs, ended, self.info)
            final = replace(timestep, obs=self.amago_env.finite(obs))
            check_finite(final.obs, names)
            timestep, started = _begun(timestep, ended), ended
        return PoolStep(
            timestep=timestep,
            final=final,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            started=started,
            stepped=~restarted,
            env_names=names,
            metrics=_metrics(self.info),
        )

    def _names(self) -> list[str]:
        return [self.amago_env.env_name] * self.amago_env.batched_envs


def _begun(timestep: Timestep, rows: np.ndarray) -> Timestep:
    """The timestep with an episode begun in `rows` (`[N]` bool). Observations are shared."""
    names = ("prev_action", "reward", "time_idx", "terminal")
    fields = {name: getattr(timestep, name).copy() for name in names}
    for values in fields.values():
        values[rows] = 0
    return replace(timestep, **fields)


def _metrics(info: dict[str, Any]) -> Metrics:
    """Metrics of an info, and of what a `SAME_STEP` environment keeps in `final_info`."""
    metrics: Metrics = []
    for source in (info, info.get("final_info")):
        if isinstance(source, dict):
            _collect_batched(metrics, source)
        elif source is not None:  # gymnasium 0.29: one dict, or None, for each row
            for row, row_info in enumerate(source):
                collect_metrics(metrics, row, row_info or {})
    return metrics


def _collect_batched(metrics: Metrics, info: dict[str, Any]) -> None:
    """gymnasium pairs `key` (`[N, ...]`) with `_key` (`[N]` bool); without, all is row 0's."""
    for key, value in info.items():
        if not (isinstance(key, str) and key.startswith(AMAGO_ENV_LOG_PREFIX)):
            continue
        present = info.get(f"_{key}")
        if present is None:
            metrics.append((0, metric_name(key), value))
        else:
            rows = np.flatnonzero(present)
            metrics.extend(zip(rows.tolist(), repeat(metric_name(key)), _of_rows(value, rows)))


def _of_rows(values: Any, rows: np.ndarray) -> list[Any]:
    if not isinstance(values, np.ndarray):
        return [values[row] for row in rows]
    # Other floats stay what they are: a mean of them is taken in their precision.
    is_exact = values.dtype.kind in "bi" or values.dtype == np.float64
    return values[rows].tolist() if is_exact else list(values[rows])


def _amago_env_in(env: Any) -> AMAGOEnv:
    while not isinstance(env, AMAGOEnv):
        env = env.env
    return env
