"""An environment that fails on order, and pools of it in this process and in workers."""

import os
import sys

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from amago.envs import AMAGOEnv
from amago.envs.pool import AsyncPool, Supervision, SyncPool
from amago.envs.pool.members import Recipe

# What this module defines travels to the workers by value: they cannot import it.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Frail(gym.Env):
    """Observes (seed of the episode modulo 1000, step); ends at `horizon`.

    Args:
        record: a file that counts the episodes, so that they are known after a restart.
        script: `{episode: (step, fault)}`: calls `fault(env)` then; step 0 is the reset. What it
            returns, if anything, is returned by `step`.
    """

    observation_space = Box(-5, 1000, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, record, script, horizon):
        self.record, self.script, self.horizon = record, script, horizon
        self.is_closed = False

    def reset(self, seed=None, options=None):
        with open(self.record, "a") as file:
            file.write(".")
        self.episode = os.path.getsize(self.record) - 1
        self.seed, self.t = seed, 0
        self._fault()
        return self._obs(), {}

    def step(self, action):
        self.t += 1
        done = self.t >= self.horizon
        return self._fault() or (self._obs(), 1.0, done, False, {})

    def _fault(self):
        step, fault = self.script.get(self.episode, (None, None))
        return fault(self) if step == self.t else None

    def _obs(self):
        return np.array([self.seed % 1000, self.t], np.float32)

    def pid(self):
        return os.getpid()

    def die(self):
        os._exit(3)

    def mark(self):
        """To be found again if the environment is still the same."""
        self.is_marked = True

    def has_mark(self):
        return hasattr(self, "is_marked")

    def close(self):
        self.is_closed = True


@pytest.fixture
def frail(tmp_path):
    """Makes factories of environments that fail on order."""
    made = []

    def factory(script=None, horizon=100):
        record = tmp_path / f"episodes-{len(made)}"
        made.append(record)

        def make():
            return AMAGOEnv(Frail(record, script or {}, horizon), "frail")

        return make

    return factory


@pytest.fixture
def open_pool():
    """Makes pools, "sync" or "async" (two workers), and closes them."""
    pools = []

    def make(factories, mode, exploration=None, replayable=False, seed=0, **supervision):
        recipe = Recipe(
            factories,
            exploration,
            seed,
            "test",
            supervision=Supervision(**supervision),
            replayable=replayable,
        )
        pools.append(SyncPool(recipe) if mode == "sync" else AsyncPool(recipe, num_workers=2))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def stand_still():
    """Steps a pool with action zero."""
    return lambda pool: pool.step(np.zeros((pool.num_envs, 1), np.uint8))
