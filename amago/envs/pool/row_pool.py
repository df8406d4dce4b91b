"""What pools of ordinary environments have in common, wherever the environments live."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from amago.envs.pool.base import EnvPool, PoolStep
from amago.envs.pool.buffers import StepBuffers
from amago.envs.pool.saved import packed, rows_for, unpacked_timestep, warn_of_loss
from amago.envs.pool.spaces import PoolSpaces
from amago.envs.pool.supervision import FaultLog
from amago.hindsight import Timestep


class RowPool(EnvPool):
    """A pool whose every environment is at home in one row of the buffers."""

    _buffers: StepBuffers

    def __init__(self) -> None:
        self._fault_log = FaultLog()

    def _adopt(self, num_envs: int, spaces: PoolSpaces) -> None:
        self.num_envs = num_envs
        self.single_observation_space = spaces.observation
        self.single_action_space = spaces.action
        self.rl2_space = spaces.rl2

    @property
    def num_faults(self) -> int:
        """Faults since the pool was made."""
        return self._fault_log.count

    def episodes(self) -> list[int]:
        """How many episodes each environment has begun."""
        return self._buffers.episodes.tolist()

    def set_episodes(self, episodes: list[int]) -> None:
        """Go on counting from `episodes`, one number for each environment.

        Numbers of more or fewer environments are those of the first ones.
        """
        shared = min(self.num_envs, len(episodes))
        self._buffers.episodes[:shared] = episodes[:shared]

    def state_dict(self) -> dict[str, Any]:
        """`{"rows": [...]}`, see `saved`."""
        self._check_open()
        environments, explorations = self._how_to_bring_back()
        return {
            "rows": [
                {
                    "episode": int(self._buffers.episodes[row]),
                    "name": self._names[row],
                    "timestep": packed(self._buffers.timestep, slice(row, row + 1)),
                    "env": environments[row],
                    "exploration": explorations[row],
                }
                for row in range(self.num_envs)
            ]
        }

    def load_state_dict(self, state: dict[str, Any]) -> PoolStep:
        """Go on where `state_dict` was taken, by this kind of pool or another."""
        self._check_open()
        rows = rows_for(state, self.num_envs)
        self.set_episodes([row["episode"] for row in rows])
        reasons = self._bring_back(rows)
        for row, saved in enumerate(rows):
            if not reasons[row]:  # the very bits, however it was brought back
                _write(self._buffers.timestep, row, unpacked_timestep(saved["timestep"]))
        warn_of_loss(reasons)
        return self._buffers.step(self._names, [])

    def render(self) -> list[Any]:
        """What each environment renders."""
        return self.call("render")

    @property
    @abstractmethod
    def _names(self) -> list[str]:
        """Of the episodes the last step belonged to."""

    @abstractmethod
    def _how_to_bring_back(self) -> tuple[list[dict[str, Any]], list[dict[str, Any] | None]]:
        """The `env` and the `exploration` of every row, see `saved`."""

    @abstractmethod
    def _bring_back(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        """Bring every row back, or begin its next episode.

        Returns:
            Why a row could not be brought back; empty where it could.
        """

    @abstractmethod
    def _check_open(self) -> None:
        """Raise `EnvError` if the pool has been closed."""


def _write(target: Timestep, row: int, timestep: Timestep) -> None:
    for key, values in timestep.obs.items():
        target.obs[key][row] = values[0]
    for name in ("prev_action", "reward", "time_idx", "terminal"):
        values: np.ndarray = getattr(timestep, name)
        getattr(target, name)[row] = values[0]
