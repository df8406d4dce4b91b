"""Environments together with what is kept of them: trajectories for training, and statistics."""

from typing import Any

import gymnasium as gym
import numpy as np

from amago.envs.pool.base import EnvPool, PoolStep
from amago.hindsight import Timestep
from amago.rollout.episodes import EpisodeStatistics
from amago.rollout.recorder import Recorder


class RecordedEnvs:
    """A pool whose every step goes through a recorder and the statistics.

    This is `Experiment.train_envs` and `.val_envs`. It also answers `call_async` / `call_wait`, the
    way scripts written for AMAGO 3.x ask their vector environments for things.

    Args:
        explores: the environments are wrapped in an `ExplorationWrapper`.

    Attributes:
        timestep: what the policy sees next, batched over the environments.
    """

    timestep: Timestep

    def __init__(self, pool: EnvPool, recorder: Recorder, explores: bool = False) -> None:
        self.pool = pool
        self.recorder = recorder
        self.explores = explores
        self.statistics = EpisodeStatistics(pool.num_envs)
        self.single_action_space: gym.Space = pool.single_action_space
        self.single_observation_space = pool.single_observation_space
        self.rl2_space = gym.spaces.Dict(
            {"obs": pool.single_observation_space, "rl2": pool.rl2_space}
        )
        self._asked: list[Any] | None = None

    @property
    def num_envs(self) -> int:
        return self.pool.num_envs

    @property
    def description(self) -> str:
        return self.pool.description

    def reset(self) -> Timestep:
        """Begin a new episode everywhere; running ones are dropped."""
        self.statistics.restart()
        step = self.pool.reset()
        self.recorder.begin(step)
        self.timestep = step.timestep
        return self.timestep

    def step(self, actions: np.ndarray) -> PoolStep:
        """Step, record, count."""
        step = self.pool.step(actions)
        self.recorder.observe(step)
        self.statistics.observe(step)
        self.timestep = step.timestep
        return step

    def save_finished_trajs(self) -> int:
        """Write the finished trajectories to disk; returns how many."""
        return self.recorder.save_finished()

    def exploration_state(self) -> list[Any]:
        """Where each environment's exploration stands: its schedule and its generator."""
        return self.pool.call("state_dict") if self.explores else []

    def load_exploration_state(self, states: list[Any]) -> None:
        """Go on where `exploration_state` was taken, if the environments are as many."""
        if self.explores and len(states) == len(self.pool.call("state_dict")):
            self.pool.call_each("load_state_dict", [(state,) for state in states])

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
