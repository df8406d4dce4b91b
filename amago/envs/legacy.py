"""`SequenceWrapper` and `EnvCreator` of AMAGO 3.x, for scripts that make their own vector envs.

The framework itself uses a pool (`amago.envs.pool`) and one recorder for all of it. This is the one
module of `amago.envs` that knows `amago.rollout`, and only when a wrapper is made.

Axes: `N` environments of the batch (1 for an ordinary environment), `A` numbers in an action.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from amago.core.rng import generator
from amago.envs.amago_env import AMAGOEnv
from amago.envs.exploration import ExplorationWrapper
from amago.envs.histories import ReturnHistory, SpecialMetricHistory
from amago.envs.pool.base import PoolStep
from amago.envs.pool.batch import BatchSteps
from amago.envs.pool.spaces import PoolSpaces
from amago.hindsight import Timestep


class SequenceWrapper(gym.Wrapper):
    """Records the trajectories of one `AMAGOEnv` (or exploration wrapper) and how they went.

    Whoever steps an ordinary environment resets it when its episode ends; a batch resets itself.

    Args:
        save_trajs_to: directory for trajectory files; None writes none.
        save_every: (low, high), the range of a file's length; None ends files with episodes only.
        save_trajs_as: "npz", "npz-compressed" or "trajectory".

    Attributes:
        rl2_space: Dict of `obs`, the observation space, and `rl2`, a Box of `1 + A` numbers.
        return_history: returns of finished episodes since `reset_stats`.
        special_history: metrics of the infos since `reset_stats`.
        total_frames_by_env_name: frames since the wrapper was made.
    """

    def __init__(
        self,
        env: AMAGOEnv,
        save_trajs_to: str | None,
        save_every: tuple[int, int] | None = None,
        save_trajs_as: str = "npz",
    ) -> None:
        from amago.rollout.recorder import Recorder

        super().__init__(env)
        self._steps = BatchSteps(env)
        self.batched_envs = self._steps.amago_env.batched_envs
        self.save_every = save_every
        # Drawn: it goes into file names, which must differ between processes.
        seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._length_draws = generator(seed, "random_traj_length")
        self._recorder = Recorder(
            self.batched_envs, save_trajs_to, save_every, save_as=save_trajs_as, seed=seed
        )
        spaces = PoolSpaces.of(self._steps.amago_env)
        self.rl2_space = gym.spaces.Dict({"obs": spaces.observation, "rl2": spaces.rl2})
        self.total_frames_by_env_name: Counter[str] = Counter()
        self._running_return = np.zeros(self.batched_envs)
        self._latest: PoolStep | None = None
        self._has_batch_axis = True
        self.reset_stats()

    @property
    def env_name(self) -> str:
        """Of the wrapped environment."""
        return self._steps.amago_env.env_name

    @property
    def step_count(self) -> np.ndarray:
        """`[N]`, steps since the episode began."""
        return self._steps.amago_env.step_count

    @property
    def total_frames(self) -> int:
        """Frames since the wrapper was made."""
        return sum(self.total_frames_by_env_name.values())

    @property
    def current_timestep(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """What the policy reads next: `obs`, `rl2s [N, 1 + A]`, `time_idxs [N, 1]`."""
        if self._latest is None:
            raise RuntimeError("reset() the environment before asking for its timestep")
        return self._latest.timestep.as_input()

    @property
    def active_trajs(self) -> list[Any]:
        """Copies of the unfinished trajectories, one for each row (None: nothing recorded)."""
        return [self._recorder.active(row) for row in range(self.batched_envs)]

    @property
    def finished_trajs(self) -> Any:
        """The trajectories that wait for `save_finished_trajs`."""
        return self._recorder.finished

    def reset_stats(self) -> None:
        """Forget the results of finished episodes. Frame counts stay."""
        self.return_history = ReturnHistory("")
        self.special_history = SpecialMetricHistory("")

    def random_traj_length(self) -> float:
        """A file length from `save_every`; infinity without one."""
        if self.save_every is None:
            return float("inf")
        low, high = self.save_every
        return int(self._length_draws.integers(low, high + 1))

    def save_finished_trajs(self) -> int:
        """Write the finished trajectories. Returns how many."""
        return self._recorder.save_finished()

    def finish_active_traj(self, idx: int, new_init_timestep: Timestep) -> None:
        """End the unfinished trajectory of row `idx` as it is, and begin the next.

        Args:
            new_init_timestep: the first timestep of the next trajectory, of one environment
                (`split_batched_timestep` makes such); takes the place of the present one.
        """
        if new_init_timestep.batched_envs != 1:
            raise ValueError(
                f"new_init_timestep is of {new_init_timestep.batched_envs} environments, and a row "
                f"is one: pass split_batched_timestep(timestep)[idx]"
            )
        self._recorder.split_row(idx, new_init_timestep)

    def drop_batch_axis(self) -> None:
        """From now on, let `reset` and `step` of an ordinary environment return its values without
        the batch axis, as the vector environments of gymnasium expect them.
        """
        self._has_batch_axis = self._steps.amago_env.batched

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode (in every row). Unfinished trajectories are dropped."""
        self._latest = self._steps.reset(seed, options)
        self._recorder.begin(self._latest)
        self._running_return[:] = 0.0
        return self._shaped(self._latest.timestep.obs), self._steps.info

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take an action, record what happened. Values have a batch axis `N`, even if it is 1
        (but see `drop_batch_axis`).
        """
        step = self._latest = self._steps.step(action)
        self._recorder.observe(step)
        self._running_return += np.where(step.stepped, step.reward, 0.0)
        self.total_frames_by_env_name.update(
            name for name, stepped in zip(step.env_names, step.stepped, strict=True) if stepped
        )
        for row, metric, value in step.metrics:
            self.special_history.add_score(step.env_names[row], metric, value)
        for row in np.flatnonzero(step.ended & step.stepped):
            self.return_history.add_score(step.env_names[row], float(self._running_return[row]))
            self._running_return[row] = 0.0
        obs, flags = self._shaped(step.timestep.obs), (step.terminated, step.truncated)
        return obs, self._shaped(step.reward), *map(self._shaped, flags), self._steps.info

    def _shaped(self, value: Any) -> Any:
        if self._has_batch_axis:
            return value
        return {key: v[0] for key, v in value.items()} if isinstance(value, dict) else value[0]


@dataclass
class EnvCreator:
    """Makes a `SequenceWrapper` when called, e.g. in a worker of a vector environment.

    Attributes:
        rl2_space, already_vectorized: known after the call.
    """

    make_env: Callable[[], AMAGOEnv]
    exploration_wrapper_type: type[ExplorationWrapper] | None
    save_trajs_to: str | None
    save_every_low: int
    save_every_high: int
    save_trajs_as: str
    rl2_space: gym.spaces.Dict | None = field(default=None, init=False)
    already_vectorized: bool | None = field(default=None, init=False)

    def __call__(self) -> SequenceWrapper:
        """Make the environment, with noise if asked for, and what records it."""
        env: Any = self.make_env()
        if self.exploration_wrapper_type is not None:
            env = self.exploration_wrapper_type(env)
        wrapper = SequenceWrapper(
            env,
            save_trajs_to=self.save_trajs_to,
            save_every=(self.save_every_low, self.save_every_high),
            save_trajs_as=self.save_trajs_as,
        )
        self.rl2_space = wrapper.rl2_space
        self.already_vectorized = env.batched_envs > 1
        return wrapper
