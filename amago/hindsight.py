"""Experience before it becomes training data: timesteps, trajectories, and rewriting them.

Axes: `N` parallel environments, `L` stored timesteps, `T = L - 1` transitions, `A` action.
"""

import copy
import pickle
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from amago.core import npz
from amago.core.atomic import write_whole

OBS_KEY_PREFIX = "_OBS_KEY_"
"""Marks observation members of a stored trajectory, so that a key may be named `actions`."""


@dataclass
class Timestep:
    """One step of `N` environments, aligned with what the policy reads.

    Attributes:
        obs: current observation, `{key: [N, ...]}`.
        prev_action: `[N, A]`, the action that led here; zeros at the first timestep.
        reward: `[N]`, the reward that came with `obs`; zero at the first timestep.
        time_idx: `[N]` int64, steps since the episode began.
        terminal: `[N]` bool, the episode ended in a terminal state here (truncation is not one).
        batched_envs: `N`.

    Raises:
        ValueError: an array does not have that shape.
    """

    obs: dict[str, np.ndarray]
    prev_action: np.ndarray
    reward: np.ndarray
    time_idx: np.ndarray
    terminal: np.ndarray
    batched_envs: int

    def __post_init__(self) -> None:
        n = self.batched_envs
        for name, ndim in (("prev_action", 2), ("reward", 1), ("time_idx", 1), ("terminal", 1)):
            shape = getattr(self, name).shape
            if len(shape) != ndim or shape[0] != n:
                wanted = f"({n}, A)" if ndim == 2 else f"({n},)"
                raise ValueError(f"Timestep.{name} has shape {shape}, expected {wanted}")

    def as_input(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """What a policy reads: `obs`, `rl2s [N, 1 + A]` float32, `time_idxs [N, 1]`."""
        return self.obs, self.rl2, self.time_idx[:, np.newaxis]

    @property
    def rl2(self) -> np.ndarray:
        """`[N, 1 + A]` float32: previous reward, then previous action."""
        return np.concatenate(
            (self.reward[:, np.newaxis], self.prev_action), axis=1, dtype=np.float32
        )

    def create_reset_version(self, reset_idxs: np.ndarray) -> "Timestep":
        """A deep copy that begins an episode in the flagged environments.

        Args:
            reset_idxs: `[N]` bool. Previous action, reward, time and terminal become zero there.
        """
        reset = copy.deepcopy(self)
        for values in (reset.prev_action, reset.reward, reset.time_idx, reset.terminal):
            values[reset_idxs] = 0
        return reset


def split_batched_timestep(t: Timestep) -> list[Timestep]:
    """`N` timesteps of one environment each; their arrays are views of `t`'s."""
    return [
        Timestep(
            obs={key: value[i : i + 1] for key, value in t.obs.items()},
            prev_action=t.prev_action[i : i + 1],
            reward=t.reward[i : i + 1],
            time_idx=t.time_idx[i : i + 1],
            terminal=t.terminal[i : i + 1],
            batched_envs=1,
        )
        for i in range(t.batched_envs)
    ]


@dataclass
class FrozenTraj:
    """A finished trajectory of one environment, as it is stored and trained on.

    Attributes:
        obs: `{key: [L, ...]}`, in the observation's own dtype.
        rl2s: `[L, 1 + A]` float32, previous reward and action.
        time_idxs: `[L, 1]` int64.
        rews: `[T, 1]` float32.
        dones: `[T, 1]` bool, terminations only.
        actions: `[T, A]` float32, one-hot when discrete.
    """

    obs: dict[str, np.ndarray]
    rl2s: np.ndarray
    time_idxs: np.ndarray
    rews: np.ndarray
    dones: np.ndarray
    actions: np.ndarray

    def to_dict(self) -> dict[str, np.ndarray]:
        """Flat, as in a file: observation keys carry the prefix `_OBS_KEY_`."""
        flat = {f"{OBS_KEY_PREFIX}{key}": value for key, value in self.obs.items()}
        for name in ("rl2s", "time_idxs", "rews", "dones", "actions"):
            flat[name] = getattr(self, name)
        return flat

    @classmethod
    def from_dict(cls, d: dict[str, np.ndarray]) -> "FrozenTraj":
        """The inverse of `to_dict`."""
        prefix = len(OBS_KEY_PREFIX)
        obs = {key[prefix:]: value for key, value in d.items() if key.startswith(OBS_KEY_PREFIX)}
        rest = {key: value for key, value in d.items() if not key.startswith(OBS_KEY_PREFIX)}
        return cls(obs=obs, **rest)


class Trajectory:
    """A growing sequence of timesteps of one environment."""

    def __init__(self, timesteps: list[Timestep] | None = None) -> None:
        self.timesteps = [] if timesteps is None else timesteps

    def add_timestep(self, timestep: Timestep) -> None:
        """Append. The arrays are kept by reference."""
        self.timesteps.append(timestep)

    @property
    def total_return(self) -> np.ndarray:
        """`[1]`, the sum of the rewards of the transitions (zero while there is none)."""
        return sum((t.reward for t in self.timesteps[1:]), np.zeros(1, dtype=np.float32))

    def __getitem__(self, i: Any) -> Any:
        return self.timesteps[i]

    def __len__(self) -> int:
        """Stored timesteps, one more than transitions."""
        return len(self.timesteps)

    def as_input_sequence(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """What a policy reads: `obs {key: [L, ...]}`, `rl2s [L, 1 + A]`, `time_idxs [L, 1]`."""
        if not self.timesteps:
            raise ValueError("a trajectory without timesteps has nothing to freeze or to read")
        inputs = [t.as_input() for t in self.timesteps]
        obs = {key: np.concatenate([o[key] for o, _, _ in inputs]) for key in inputs[0][0]}
        rl2s = np.concatenate([rl2 for _, rl2, _ in inputs])
        time_idxs = np.concatenate([time for _, _, time in inputs])
        return obs, rl2s, time_idxs.astype(np.int64, copy=False)

    def freeze(self) -> FrozenTraj:
        """Training-ready arrays: rewards, dones and actions are those of timesteps `1..T`."""
        obs, rl2s, time_idxs = self.as_input_sequence()
        terminals = np.concatenate([t.terminal for t in self.timesteps[1:]] or [np.zeros(0)])
        return FrozenTraj(
            obs=obs,
            rl2s=rl2s,
            time_idxs=time_idxs,
            rews=rl2s[1:, :1].copy(),
            dones=terminals.astype(bool)[:, np.newaxis],
            actions=rl2s[1:, 1:].copy(),
        )

    def save_to_disk(self, path: str, save_as: str) -> None:
        """Write a file that appears whole or not at all; the extension is appended to `path`.

        Args:
            save_as: "npz", "npz-compressed" (both `.npz`) or "trajectory" (a pickle, `.traj`).

        Raises:
            ValueError: another format.
        """
        if save_as == "trajectory":
            write_whole(f"{path}.traj", [pickle.dumps(self, protocol=5)])
        elif save_as in ("npz", "npz-compressed"):
            compressed = save_as == "npz-compressed"
            npz.write_npz(f"{path}.npz", self.freeze().to_dict(), compressed=compressed)
        else:
            raise ValueError(
                f"cannot save a trajectory as '{save_as}'; "
                "choose 'npz', 'npz-compressed' or 'trajectory'"
            )


class Relabeler(ABC):
    """Rewrites a stored trajectory each time it is sampled, e.g. to change its goal."""

    def __call__(self, traj: Trajectory | FrozenTraj) -> FrozenTraj:
        """The relabelled trajectory, frozen."""
        relabeled = self.relabel(traj)
        return relabeled.freeze() if isinstance(relabeled, Trajectory) else relabeled

    @abstractmethod
    def relabel(self, traj: Trajectory | FrozenTraj) -> FrozenTraj:
        """The trajectory to train on. May edit in place, change the length, drop observations.

        Args:
            traj: as loaded: a `FrozenTraj` (`.npz`), or a `Trajectory` (`.traj`).
        """


class NoOpRelabeler(Relabeler):
    """Trains on trajectories as they were recorded."""

    def relabel(self, traj: Trajectory | FrozenTraj) -> FrozenTraj:
        """The same trajectory, frozen."""
        return traj.freeze() if isinstance(traj, Trajectory) else traj
