"""The suite's own environments keep gymnasium's rules."""

import time

import numpy as np
import pytest
from amago_bench.worlds import BatchedWorld, World


@pytest.mark.parametrize("obs", [8, (16, 16, 3)])
def test_a_world_gives_what_its_spaces_say_and_ends_on_time(obs):
    world = World(obs, actions=3, episode=5)
    first, _ = world.reset(seed=0)
    assert world.observation_space.contains(first)
    for step in range(1, 6):
        seen, reward, ended, cut, _ = world.step(world.action_space.sample())
        assert world.observation_space.contains(seen)
        assert (reward, ended, cut) == (1.0, step == 5, False)


def test_a_busy_world_takes_the_time_it_says():
    world = World(busy_s=0.01)
    world.reset()
    began = time.thread_time()
    for _ in range(5):
        world.step(0)
    assert time.thread_time() - began >= 0.05


def test_rows_of_a_batch_end_one_after_the_other():
    world = BatchedWorld(rows=6, episode=3)
    world.reset(seed=0)
    ends = []
    for _ in range(3):
        seen, reward, ended, cut, _ = world.step(np.zeros(6, int))
        assert seen.shape == (6, 8)
        assert reward.shape == cut.shape == (6,)
        ends.append(ended.copy())
    assert np.array_equal(np.sum(ends, axis=0), np.ones(6))
