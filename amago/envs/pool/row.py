"""One environment of a pool: stepping it, and bringing it back to where it was.

The same code runs in `SyncPool` and in every worker of `AsyncPool`, so both give the same numbers.
"""

from typing import Any

import numpy as np

from amago.core.errors import ConfigError
from amago.envs.amago_env import AMAGO_ENV_LOG_PREFIX
from amago.envs.checks import check_finite
from amago.envs.histories import metric_name
from amago.envs.pool.buffers import StepBuffers
from amago.envs.pool.direct import DirectEnv, can_be_direct
from amago.envs.pool.members import Member
from amago.envs.pool.replay import EpisodeLog
from amago.envs.pool.saved import (
    NotRestored,
    check_layout,
    check_same,
    own_state,
    packed,
    set_own_state,
    unpacked_timestep,
)
from amago.envs.pool.spaces import PoolSpaces
from amago.envs.resets import reset_with
from amago.hindsight import Timestep

Metrics = list[tuple[int, str, Any]]

_DIFFERS = (
    "with the same seed and the same actions it did something else (does it ignore the seed of "
    "reset?)"
)


class EnvRow:
    """One ordinary environment, at home in one row of the buffers.

    Attributes:
        env: what is stepped; another after `make_anew`.
        row: of the buffers.
        name: of the episode that the last step belonged to, or that was cut off.
    """

    def __init__(self, member: Member, row: int, buffers: StepBuffers, keeps_log: bool) -> None:
        self.row = row
        self.name = ""
        self.member = member
        self._buffers = buffers
        self._adopt()
        self._timestep = _RowWriter(buffers.timestep, row)
        self._final = _RowWriter(buffers.final, row)
        self._log = self._new_log() if keeps_log else None

    def _adopt(self) -> None:
        """The environment is the member's."""
        self.env: Any = self.member.env
        self._amago_env = self.member.amago_env
        self._action = self._buffers.actions[self.row]
        self._step = self.env.step
        if can_be_direct(self.env, self._amago_env):
            self._action = self._action[np.newaxis]
            self._step = DirectEnv(self.env, self._amago_env).step

    def _new_log(self) -> EpisodeLog:
        return EpisodeLog(self._timestep.places, self._buffers.actions[self.row])

    def step(self, metrics: Metrics) -> bool:
        """Take the row's action. Returns whether the episode ended; its end has been written.

        The flags of the row are all false before: `StepBuffers.take`.
        """
        timestep, reward, terminated, truncated, info = self._step(self._action)
        if info:
            collect_metrics(metrics, self.row, info)
        self.name = self._amago_env.env_name  # read before a reset changes it
        b, row = self._buffers, self.row
        b.reward[row] = reward[0]
        if terminated[0] or truncated[0]:
            check_finite(timestep.obs, [self.name])
            self._final.write(timestep)
            b.terminated[row] = terminated[0]
            b.truncated[row] = truncated[0]
            b.failures[row] = 0
            b.stepped[row] = True  # last: before this, the row has made no transition
            return True
        self._timestep.write(timestep)
        if self._log is not None:
            self._log.add(self._amago_env.last_action)
        b.stepped[row] = True
        return False

    def begin_episode(self) -> None:
        """Reset, with the seed of the row's next episode."""
        b, row = self._buffers, self.row
        episode = int(b.episodes[row])
        b.episodes[row] = episode + 1  # first: an episode that cannot begin is not tried again
        timestep, _ = reset_with(self.env.reset, self.member.episode_seed(episode))
        self._timestep.write(timestep)
        b.started[row] = True
        if self._log is not None:
            self._log.begin()

    def hold(self, interrupted: bool = False) -> None:
        """No transition is made."""
        b, row = self._buffers, self.row
        b.reward[row] = 0.0
        b.terminated[row] = b.truncated[row] = b.stepped[row] = b.started[row] = False
        b.interrupted[row] = interrupted

    def make_anew(self) -> None:
        """Put another environment in place of one that failed.

        Raises:
            ConfigError: it has other spaces than the one before.
        """
        self.member.make_anew()
        self._adopt()
        if not self._buffers.spaces.fits(PoolSpaces.of(self._amago_env)):
            raise ConfigError(
                f"the factory of environment {self.row} made one with other spaces than before: "
                f"{self._amago_env.observation_space}, {self._amago_env.action_space}"
            )

    def read_name(self) -> str:
        """From now on, `name` is that of the running episode."""
        self.name = self._amago_env.env_name
        return self.name

    @property
    def num_clamped(self) -> int:
        return self._amago_env.num_clamped

    # ------------------------------------------------------------------- saving, bringing back

    def environment(self) -> dict[str, Any]:
        """How to bring the environment back to where it is: the `env` of a saved row."""
        state = own_state(self._amago_env)
        if state["kind"] == "none" and self._log is not None:
            return self._log.state()
        return state

    def restore(self, saved: dict[str, Any]) -> None:
        """Bring the environment to where it was saved, with its timestep.

        Raises:
            NotRestored: that is not possible. Also whatever the environment raises.
        """
        env = saved["env"]
        if env["kind"] == "none":
            raise NotRestored(env["reason"])
        check_layout(saved["timestep"], self._packed())
        seed = self.member.episode_seed(saved["episode"] - 1)
        first, _ = reset_with(self._amago_env.reset, seed)
        if env["kind"] == "state":
            set_own_state(self._amago_env, env["value"])
            self._amago_env.step_count[:] = saved["timestep"]["time_idx"]
            self._timestep.write(unpacked_timestep(saved["timestep"]))
            if self._log is not None:
                self._log.lose("it was resumed from a state that it offered then, and not later")
        else:
            self._replay(first, saved)
        self.name = saved["name"]

    def _replay(self, first: Timestep, saved: dict[str, Any]) -> None:
        """Do again what was done. No noise is added: the actions are those that were taken."""
        env, log = saved["env"], self._new_log()
        self._timestep.write(first)
        log.begin()
        for action in env["actions"]:
            timestep, _, terminated, truncated, _ = self._amago_env.step(action[np.newaxis])
            if terminated[0] or truncated[0]:
                raise NotRestored(_DIFFERS)
            self._timestep.write(timestep)
            log.add(action)
        check_same(self._packed(), saved["timestep"], _DIFFERS)
        if log.state()["checksum"] != env["checksum"]:
            raise NotRestored(_DIFFERS)
        if self._log is not None:
            self._log = log

    def _packed(self) -> dict[str, Any]:
        return packed(self._buffers.timestep, slice(self.row, self.row + 1))


class _RowWriter:
    """Copies the timestep of one environment into a row of batched ones.

    Attributes:
        places: where an observation and a reward are written.
    """

    def __init__(self, target: Timestep, row: int) -> None:
        rows = slice(row, row + 1)
        self._obs = [(key, values[rows]) for key, values in target.obs.items()]
        self._prev_action = target.prev_action[rows]
        self._target = target
        self._row = row
        self.places = [*(place for _, place in self._obs), target.reward[rows]]

    def write(self, timestep: Timestep) -> None:
        for key, place in self._obs:
            place[...] = timestep.obs[key]  # not [:], which makes a view first
        self._prev_action[...] = timestep.prev_action
        target, row = self._target, self._row
        target.reward[row] = timestep.reward[0]
        target.time_idx[row] = timestep.time_idx[0]
        target.terminal[row] = timestep.terminal[0]


def collect_metrics(metrics: Metrics, row: int, info: dict[str, Any]) -> None:
    """Append `(row, name, value)` of every metric in an environment's info."""
    for key, value in info.items():
        if isinstance(key, str) and key.startswith(AMAGO_ENV_LOG_PREFIX):
            metrics.append((row, metric_name(key), value))
