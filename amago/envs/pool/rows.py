"""Environments of one process, each writing its timesteps into its row of the pool's arrays.

The same code runs in `SyncPool` and in every worker of `AsyncPool`, so both give the same numbers.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym

from amago.core.errors import AmagoError, EnvError
from amago.envs.amago_env import AMAGO_ENV_LOG_PREFIX
from amago.envs.checks import check_finite
from amago.envs.histories import metric_name
from amago.envs.pool.buffers import StepBuffers
from amago.envs.pool.members import Member
from amago.envs.resets import reset_with
from amago.hindsight import Timestep

Metrics = list[tuple[int, str, Any]]
Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class EnvRow:
    """One ordinary environment, at home in one row of the buffers.

    Attributes:
        name: of the episode that the last step belonged to.
    """

    def __init__(self, member: Member, row: int, buffers: StepBuffers) -> None:
        self.env = member.env
        self.row = row
        self.name = ""
        self._member = member
        self._amago_env = member.amago_env
        self._buffers = buffers
        self._action = buffers.actions[row]
        self._timestep = _RowWriter(buffers.timestep, row)
        self._final = _RowWriter(buffers.final, row)

    def reset(self) -> None:
        """Start an episode."""
        self._begin_episode()
        self.name = self._amago_env.env_name
        b, row = self._buffers, self.row
        b.reward[row] = 0.0
        b.terminated[row] = b.truncated[row] = b.stepped[row] = False

    def step(self, metrics: Metrics) -> None:
        """Take the row's action; when the episode ends, begin the next."""
        timestep, reward, terminated, truncated, info = self.env.step(self._action)
        if info:
            collect_metrics(metrics, self.row, info)
        self.name = self._amago_env.env_name  # read before a reset changes it
        b, row = self._buffers, self.row
        b.reward[row] = reward[0]
        b.terminated[row] = terminated[0]
        b.truncated[row] = truncated[0]
        b.stepped[row] = True
        if terminated[0] or truncated[0]:
            check_finite(timestep.obs, [self.name])
            self._final.write(timestep)
            self._begin_episode()
        else:
            self._timestep.write(timestep)
            b.started[row] = False

    def _begin_episode(self) -> None:
        timestep, _ = reset_with(self.env.reset, self._member.next_episode_seed())
        self._timestep.write(timestep)
        self._buffers.started[self.row] = True


class _RowWriter:
    """Copies the timestep of one environment into a row of batched ones."""

    def __init__(self, target: Timestep, row: int) -> None:
        rows = slice(row, row + 1)
        self._obs = [(key, values[rows]) for key, values in target.obs.items()]
        self._prev_action = target.prev_action[rows]
        self._target = target
        self._row = row

    def write(self, timestep: Timestep) -> None:
        for key, place in self._obs:
            place[:] = timestep.obs[key]
        self._prev_action[:] = timestep.prev_action
        target, row = self._target, self._row
        target.reward[row] = timestep.reward[0]
        target.time_idx[row] = timestep.time_idx[0]
        target.terminal[row] = timestep.terminal[0]


class EnvRows:
    """The environments of one process, at home in consecutive rows of the buffers.

    Attributes:
        names: of the episodes the last step belonged to, one for each row.
    """

    def __init__(self, members: Sequence[Member], first_row: int, buffers: StepBuffers) -> None:
        self._rows = [EnvRow(m, first_row + i, buffers) for i, m in enumerate(members)]
        own = slice(first_row, first_row + len(members))
        self._obs = {key: values[own] for key, values in buffers.timestep.obs.items()}
        self.names = [""] * len(members)

    def reset(self) -> Metrics:
        """Start an episode in every environment. Returns no metrics."""
        self._each(lambda row: row.reset(), "reset")
        self._finish()
        return []

    def step(self) -> Metrics:
        """Step every environment. Returns the metrics of their infos."""
        metrics: Metrics = []
        self._each(lambda row: row.step(metrics), "step")
        self._finish()
        return metrics

    def call(self, name: str, arguments: Sequence[Arguments]) -> list[Any]:
        """Call a method, or read an attribute, of every environment."""
        return [
            call_env(row.env, row.row, name, *args, **kwargs)
            for row, (args, kwargs) in zip(self._rows, arguments, strict=True)
        ]

    def close(self) -> None:
        """Close every environment, also when closing one fails."""
        with contextlib.ExitStack() as stack:
            for row in self._rows:
                stack.callback(row.env.close)

    def _finish(self) -> None:
        self.names = [row.name for row in self._rows]
        check_finite(self._obs, self.names)

    def _each(self, act: Callable[[EnvRow], None], method: str) -> None:
        for row in self._rows:
            try:
                act(row)
            except AmagoError:
                raise
            except Exception as error:
                raise env_error(error, row.env, method, row.row) from error


def env_error(error: Exception, env: gym.Env, method: str, row: int) -> EnvError:
    """What to raise when the user's code in an environment raised."""
    return EnvError(
        f"environment {row} ({env.unwrapped}) raised {type(error).__name__} in {method}: {error}"
    )


def collect_metrics(metrics: Metrics, row: int, info: dict[str, Any]) -> None:
    """Append `(row, name, value)` of every metric in an environment's info."""
    for key, value in info.items():
        if isinstance(key, str) and key.startswith(AMAGO_ENV_LOG_PREFIX):
            metrics.append((row, metric_name(key), value))


def call_env(env: gym.Env, row: int, name: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method, or read an attribute, of an environment or of a wrapper on the way to it.

    Raises:
        AttributeError: there is no such name.
        EnvError: the method raised.
    """
    found = env.get_wrapper_attr(name)
    if not callable(found):
        return found
    try:
        return found(*args, **kwargs)
    except AmagoError:
        raise
    except Exception as error:
        raise env_error(error, env, name, row) from error
