"""Environments together with what is kept of them: trajectories for training, and statistics."""

from typing import Any

import gymnasium as gym
import numpy as np

from amago.envs.pool.base import EnvPool, PoolStep
from amago.hindsight import Timestep
from amago.rollout.episodes import EpisodeStatistics, Statistics
from amago.rollout.recorder import Recorder


class RecordedEnvs:
    """A pool whose every step goes through a recorder and the statistics.

    This is `Experiment.train_envs` and `.val_envs`. It also answers `call_async` / `call_wait`, the
    way scripts written for AMAGO 3.x ask their vector environments for things.
    """

    def __init__(self, pool: EnvPool, recorder: Recorder) -> None:
        self.pool = pool
        self.recorder = recorder
        self.statistics: Statistics = EpisodeStatistics(pool.num_envs)
        self.single_action_space: gym.Space = pool.single_action_space
        self.single_observation_space = pool.single_observation_space
        self.rl2_space = gym.spaces.Dict(
            {"obs": pool.single_observation_space, "rl2": pool.rl2_space}
        )
        self._timestep: Timestep | None = None
        self._asked: list[Any] | None = None

    @property
    def num_envs(self) -> int:
        return self.pool.num_envs

    @property
    def description(self) -> str:
        return self.pool.description

    @property
    def timestep(self) -> Timestep:
        """What the policy sees next, batched over the environments."""
        if self._timestep is None:
            raise RuntimeError("the environments have no timestep before their first reset()")
        return self._timestep

    def reset(self) -> Timestep:
        """Begin a new episode everywhere; running ones are dropped."""
        self.statistics.restart()
        step = self.pool.reset()
        self.statistics.observe(step)
        self.recorder.begin(step)
        self._timestep = step.timestep
        return self.timestep

    def step(self, actions: np.ndarray) -> PoolStep:
        """Step, count, record.

        Raises:
            OSError: `recorder.save_on_done`, and the disk refused. The step has been taken.
        """
        step = self.pool.step(actions)
        self._timestep = step.timestep
        self.statistics.observe(step)
        self.recorder.observe(step)
        return step

    def save_finished_trajs(self) -> int:
        """End a collection: write the finished trajectories to disk. Returns how many.

        Raises:
            OSError: the disk refused; what it did not take stays queued for the next call.
        """
        num_saved = self.recorder.save_finished()
        self.pool.remember_exploration()
        return num_saved

    @property
    def num_faults(self) -> int:
        """Faults of environments and their workers since the pool was made."""
        return self.pool.num_faults

    def episodes(self) -> list[int]:
        """How many episodes each environment has begun: the seeds of the next follow from it."""
        return self.pool.episodes()

    def set_episodes(self, episodes: list[int]) -> None:
        """Go on counting from `episodes`; running episodes are left alone."""
        self.pool.set_episodes(episodes)

    def state_dict(self) -> dict[str, Any]:
        """What going on exactly needs; frame counts are not in it. Nested plain values, arrays."""
        return {
            "pool": self.pool.state_dict(),
            "recorder": self.recorder.state_dict(),
            "statistics": self.statistics.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> np.ndarray:
        """Go on where `state` was taken, in place of `reset`.

        What was recorded of an episode that cannot go on is queued as a trajectory that was cut.

        Returns:
            `[N]` bool, the environments that began a new episode: the policy has to forget there.
            All of them if `state` is of another number of environments.
        """
        step = self.pool.load_state_dict(state["pool"])
        self._timestep = step.timestep
        self.statistics.load_state_dict(state["statistics"])
        self.statistics.observe(step)
        self.recorder.load_state_dict(state["recorder"])
        if self.recorder.has_begun:
            self.recorder.observe(step)
        else:
            self.recorder.begin(step)
        return step.interrupted.copy()

    def render(self) -> Any:
        return self.pool.render()

    def close(self) -> None:
        self.pool.close()

    # ------------------------------------------------------------- the protocol of AMAGO 3.x

    def call_async(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Ask every environment; `call_wait` has the answers."""
        answer = getattr(self, f"_answer_{name}", None)
        self._asked = answer() if answer is not None else self.pool.call(name, *args, **kwargs)

    def call_wait(self) -> list[Any]:
        """One answer for each environment."""
        if self._asked is None:
            raise RuntimeError("call_wait() without a call_async() before it")
        answers, self._asked = self._asked, None
        return answers

    def _answer_reset_stats(self) -> list[None]:
        self.statistics.clear()
        return [None] * self.num_envs

    def _answer_save_finished_trajs(self) -> list[None]:
        self.save_finished_trajs()
        return [None] * self.num_envs

    def _answer_current_timestep(self) -> list[Any]:
        obs, rl2s, time_idxs = self.timestep.as_input()
        return [
            ({k: v[i : i + 1] for k, v in obs.items()}, rl2s[i : i + 1], time_idxs[i : i + 1])
            for i in range(self.num_envs)
        ]

    def _answer_return_history(self) -> list[Any]:
        return self.statistics.returns

    def _answer_special_history(self) -> list[Any]:
        return self.statistics.specials

    def _answer_total_frames(self) -> list[int]:
        return self.statistics.frames

    def _answer_total_frames_by_env_name(self) -> list[Any]:
        return self.statistics.frames_by_env_name
