import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from amago.core.errors import EnvError
from amago.envs import AMAGOEnv
from amago.envs.exploration import EpsilonGreedy
from amago.envs.pool import make_pool


class Flock(gym.Env):
    """Three rows that never end."""

    observation_space = Box(-1, 1, (1,), np.float32)
    action_space = Discrete(3)

    def __init__(self):
        self.seeds = []
        self.obs = np.zeros((3, 1), np.float32)
        self.num_closed = 0

    def reset(self, seed=None, options=None):
        self.seeds.append(seed)
        return self.obs, {}

    def step(self, action):
        self.action = action
        return self.obs, np.arange(3.0), np.zeros(3, bool), np.zeros(3, bool), {}

    def break_down(self):
        self.obs[1] = np.inf

    def close(self):
        self.num_closed += 1


@pytest.fixture
def flock():
    return Flock()


@pytest.fixture
def pool(flock):
    return make_pool([lambda: AMAGOEnv(flock, "flock", batched_envs=3)], "already_vectorized")


def test_rows_are_the_environments(pool):
    assert pool.num_envs == 3
    step = pool.reset()
    assert step.started.all()
    assert not step.stepped.any()
    step = pool.step(np.array([[0], [2], [1]], np.uint8))
    assert step.stepped.all()
    assert step.reward.tolist() == [0, 1, 2]
    assert step.timestep.prev_action.argmax(1).tolist() == [0, 2, 1]
    assert step.env_names == ["flock"] * 3


def test_a_batch_owns_its_streams_and_is_seeded_once(pool, flock):
    pool.reset()
    pool.reset()
    assert isinstance(flock.seeds[0], int)
    assert flock.seeds[1] is None


def test_noise_is_added_to_each_row(flock):
    pool = make_pool(
        [lambda: AMAGOEnv(flock, "flock", batched_envs=3)], "already_vectorized", EpsilonGreedy
    )
    pool.reset()
    taken = set()
    for _ in range(50):
        pool.step(np.zeros((3, 1), np.uint8))
        taken.add(tuple(flock.action.tolist()))
    assert len(taken) > 5


def test_a_row_that_is_not_finite_is_refused(pool):
    pool.reset()
    pool.call("break_down")
    with pytest.raises(EnvError, match=r"'flock'.*'observation' is not finite"):
        pool.step(np.zeros((3, 1), np.uint8))


def test_close_closes_the_environment_once(pool, flock):
    pool.close()
    pool.close()
    assert flock.num_closed == 1
