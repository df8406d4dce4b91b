"""Meta-World's meta-learning benchmarks: several attempts at one manipulation task.

    Metaworld("reach-v3", "train", k_episodes=3)        # ML1
    Metaworld("ml45", "train", k_episodes=3)            # another of 45 tasks at each reset
    pinned_tasks("ml45", "train", k_episodes=3)         # 45 environments, one for each task

Needs `pip install 'amago[metaworld]'`.
"""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from amago.core.errors import ConfigError
from amago.core.names import nearest
from amago.envs.amago_env import AMAGO_ENV_LOG_PREFIX, AMAGOEnv
from amago.envs.builtin.metaworld_tasks import Benchmark, as_benchmark

_LONGEST_ATTEMPT = 500
"""Steps after which Meta-World's simulators have to be reset."""
_OBSERVATION_SIZE = 39
_ACTION_SIZE = 4


class KEpisodeMetaworld(gym.Env):
    """`k_episodes` attempts at one task of a benchmark; another task at every reset.

    The task is drawn in two steps, each uniformly: its name, then one of the variants of that name.
    Which variant it is (where the goal is) can only be found out by trying. An attempt ends after
    `max_episode_length` steps and the next begins at once, from the same state: the observation
    after its last step is the first one of the next attempt. The rollout is `truncated` after the
    last attempt.

    Observation: Meta-World's 39 numbers, without the goal, and 1 on the first observation of an
    attempt, else 0. Actions: four numbers in [-1, 1], a move of the hand and of the gripper.
    Reward: the task's, 0 to 10 a step.

    Metrics, when the rollout ends: `Trial {i} Success`, 1 if attempt `i` (from 0) met the goal at
    any of its steps, else 0; `Total Successes`, their sum.

    A simulator takes 24 MB, so there is only the one of the running task. It offers no state that
    would be all of it; a resumed run brings it back by taking the actions again, which is exact.

    Args:
        benchmark: its name, see `Metaworld`; or a `Benchmark`; or an object of Meta-World, such as
            `metaworld.ML25(seed=0)`.
        split: "train" or "test".
        k_episodes: attempts at each task.
        max_episode_length: steps of an attempt.
        task: always this task of the benchmark, by name or by number.

    Raises:
        ConfigError: one of these is not possible.

    Attributes:
        reward_scales: factor on the rewards of a task, by name; 1 where there is none.
        task_name: of the running task; empty before the first reset unless there is only one.
        attempt: the running attempt, from 0.
    """

    reward_scales: ClassVar[dict[str, float]] = {}

    def __init__(
        self,
        benchmark: str | Benchmark | Any,
        split: str,
        k_episodes: int,
        max_episode_length: int = _LONGEST_ATTEMPT,
        *,
        task: str | int | None = None,
    ) -> None:
        if k_episodes < 1 or not 1 <= max_episode_length <= _LONGEST_ATTEMPT:
            raise ConfigError(
                f"Meta-World with k_episodes={k_episodes}, max_episode_length={max_episode_length} "
                f"needs at least one attempt, of 1 to {_LONGEST_ATTEMPT} steps."
            )
        self.benchmark = as_benchmark(benchmark)
        self.split = split
        self.k_episodes = k_episodes
        self.max_episode_length = max_episode_length
        self.names = _chosen(self.benchmark.names(split), task)
        size = (_OBSERVATION_SIZE + 1,)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, size, dtype=np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (_ACTION_SIZE,), dtype=np.float32)
        self.task_name = ""
        self._simulator: Any = None
        if len(self.names) == 1:
            self._prepare(self.names[0])

    def _prepare(self, name: str) -> None:
        """Make the simulator of a task take the place of another's."""
        if name == self.task_name:
            return
        self.close()
        self._simulator = self.benchmark.simulator(name)
        self._tasks = self.benchmark.tasks(name, self.split)
        self.task_name = name

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Another task, its first attempt. With a `seed`, the whole rollout is reproducible."""
        super().reset(seed=seed)
        self._prepare(self.names[int(self.np_random.integers(len(self.names)))])
        variant = int(self.np_random.integers(len(self._tasks)))
        self._simulator.set_task(self._tasks[variant])
        self.attempt = 0
        self._successes = [False] * self.k_episodes
        return self.soft_reset(), {}

    def soft_reset(self) -> np.ndarray:
        """Begin an attempt at the same task; returns its first observation."""
        obs, _ = self._simulator.reset()
        self._clock = 0
        return self.get_obs(obs, soft_reset=True)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One move. The info holds the metrics on the last step of the rollout."""
        obs, reward, terminated, truncated, info = self._simulator.step(action)
        self._clock += 1
        self._successes[self.attempt] |= bool(info["success"])
        reward = float(reward) * self.reward_scales.get(self.task_name, 1.0)
        if not (terminated or truncated or self._clock >= self.max_episode_length):
            return self.get_obs(obs, soft_reset=False), reward, False, False, {}
        if self.attempt + 1 < self.k_episodes:
            self.attempt += 1
            return self.soft_reset(), reward, False, False, {}
        return self.get_obs(obs, soft_reset=False), reward, False, True, self._metrics()

    def _metrics(self) -> dict[str, float]:
        trials = {f"Trial {i} Success": float(met) for i, met in enumerate(self._successes)}
        metrics = {**trials, "Total Successes": float(sum(self._successes))}
        return {f"{AMAGO_ENV_LOG_PREFIX} {name}": value for name, value in metrics.items()}

    def get_obs(self, og_obs: np.ndarray, soft_reset: bool) -> np.ndarray:
        """A simulator's observation and the flag, float32 [40]."""
        return np.append(og_obs, soft_reset).astype(np.float32)

    def close(self) -> None:
        """Give back the simulator's memory."""
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None
            self.task_name = ""


class Metaworld(AMAGOEnv):
    """`KEpisodeMetaworld` on ML1, ML10 or ML45, named after the running task.

    Args:
        benchmark_name: "ml10", "ml45", or the name of a task for ML1. Or a benchmark itself, as
            `KEpisodeMetaworld` takes it.
        split: "train" or "test".
        k_episodes: attempts at each task.
        max_episode_length: steps of an attempt, 1 to 500.
        task: always this task of the benchmark, by name or by number (from 0).
        benchmark_seed: which fifty variants each task has.

    Raises:
        ConfigError: one of these is not possible.
        MissingExtraError: Meta-World is not installed.
    """

    def __init__(
        self,
        benchmark_name: str | Benchmark | Any,
        split: str,
        k_episodes: int,
        max_episode_length: int = _LONGEST_ATTEMPT,
        *,
        task: str | int | None = None,
        benchmark_seed: int = 0,
    ) -> None:
        benchmark = as_benchmark(benchmark_name, benchmark_seed)
        self._inner = KEpisodeMetaworld(benchmark, split, k_episodes, max_episode_length, task=task)
        super().__init__(self._inner, env_name=benchmark.name)

    @property
    def env_name(self) -> str:
        """The task's, or the benchmark's before there is one."""
        return self._inner.task_name or super().env_name


def pinned_tasks(
    benchmark_name: str | Benchmark | Any,
    split: str,
    k_episodes: int,
    max_episode_length: int = _LONGEST_ATTEMPT,
    *,
    actors: int | None = None,
    benchmark_seed: int = 0,
) -> list[Callable[[], Metaworld]]:
    """Functions that make an environment for each task of a benchmark, in its order.

    With environments that draw their task, an evaluation says nothing of the tasks that were not
    drawn. With these, as `make_val_env`, every evaluation of `k_episodes * max_episode_length`
    steps has a result for each task.

    Args:
        actors: how many functions; the tasks are repeated in turn. None: one for each task.
        benchmark_name, split, k_episodes, max_episode_length, benchmark_seed: see `Metaworld`.
    """
    benchmark = as_benchmark(benchmark_name, benchmark_seed)
    names = benchmark.names(split)
    # By name they are small to send to a worker, which reads the tasks for itself.
    sent = benchmark.name if isinstance(benchmark_name, str) else benchmark
    return [
        functools.partial(
            Metaworld,
            sent,
            split,
            k_episodes,
            max_episode_length,
            task=names[i % len(names)],
            benchmark_seed=benchmark_seed,
        )
        for i in range(len(names) if actors is None else actors)
    ]


def _chosen(names: list[str], task: str | int | None) -> list[str]:
    """The names of the tasks from which one is drawn."""
    if task is None:
        return names
    if isinstance(task, str):
        if task in names:
            return [task]
        raise ConfigError(f"the benchmark has no task '{task}'{nearest(task, names)}")
    if 0 <= task < len(names):
        return [names[task]]
    raise ConfigError(f"the benchmark has tasks 0 to {len(names) - 1}, not {task}")
