"""A benchmark with the shape of ML45 and no physics, for `Metaworld` and `pinned_tasks`.

    make_train_env = pinned_tasks(FakeBenchmark(), "train", k_episodes=3, max_episode_length=4)

Everything above the simulator is the code that runs Meta-World. Task `i` pays `i` at each step.
Its goal is met at the first step of an attempt, but not before a certain attempt: that is what a
variant says.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

NUM_TRAIN, NUM_TEST = 45, 5


@dataclass(frozen=True)
class FakeTask:
    """A variant of a task.

    Attributes:
        first_success: the attempt from which on the goal is met.
    """

    env_name: str
    first_success: int


class FakeSimulator:
    """What `KEpisodeMetaworld` needs of one of Meta-World's simulators."""

    def __init__(self, name: str) -> None:
        self.pays = float(name.split("-")[1])
        self.is_closed = False

    def set_task(self, task: FakeTask) -> None:
        self._task = task
        self._attempt = -1

    def reset(self) -> tuple[np.ndarray, dict[str, Any]]:
        self._attempt += 1
        self._step = 0
        return self._obs(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._step += 1
        met = self._step == 1 and self._attempt >= self._task.first_success
        return self._obs(), self.pays, False, False, {"success": float(met)}

    def close(self) -> None:
        self.is_closed = True

    def _obs(self) -> np.ndarray:
        obs = np.zeros(39)
        obs[:3] = self.pays, self._attempt, self._step
        return obs


class FakeBenchmark:
    """45 tasks to train on, "task-0-v3" to "task-44-v3", and five others to test on."""

    name = "fake45"

    def names(self, split: str) -> list[str]:
        which = {"train": range(NUM_TRAIN), "test": range(NUM_TRAIN, NUM_TRAIN + NUM_TEST)}
        return [f"task-{i}-v3" for i in which[split]]

    def tasks(self, name: str, split: str) -> list[FakeTask]:
        return [FakeTask(name, first_success) for first_success in range(4)]

    def simulator(self, name: str) -> FakeSimulator:
        return FakeSimulator(name)
