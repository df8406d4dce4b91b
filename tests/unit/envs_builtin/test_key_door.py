import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from amago.core.errors import ConfigError
from amago.envs.builtin.toy_gym import RoomKeyDoor

STAY, X_UP, X_DOWN, Y_UP, Y_DOWN = range(5)
FIXED = {"size": 4, "start_location": (0, 0), "key_location": (1, 0), "goal_location": (1, 1)}


def started(**kwargs):
    env = RoomKeyDoor(**(FIXED | kwargs))
    obs, _ = env.reset(seed=0)
    return env, obs


def test_key_then_door_then_a_reset_step_then_again():
    env, first = started(max_episode_steps=10)
    np.testing.assert_array_equal(first, np.zeros(4, np.float32))
    steps = [env.step(a) for a in (X_UP, Y_UP, X_UP, X_UP)]
    assert [s[1] for s in steps] == [1, 1, 0, 1]
    expected = [
        [0.25, 0, 1, 0.1],  # on the key
        [0.25, 0.25, 1, 0.2],  # at the door
        [0, 0, 0, 0],  # the reset step: its action was ignored
        [0.25, 0, 1, 0.1],  # the same key again
    ]
    np.testing.assert_allclose([s[0] for s in steps], np.float32(expected))


def test_the_door_pays_nothing_without_the_key():
    env, _ = started()
    assert [env.step(a)[1] for a in (Y_UP, X_UP)] == [0, 0]  # round the key, to the door


def test_the_key_pays_once_an_episode():
    env, _ = started()
    assert [env.step(a)[1] for a in (X_UP, X_DOWN, X_UP)] == [1, 0, 0]


def test_an_episode_ends_at_its_time_limit():
    env, _ = started(max_episode_steps=3)
    clocks = [env.step(STAY)[0][3] for _ in range(5)]
    np.testing.assert_allclose(clocks, np.float32([1 / 3, 2 / 3, 1, 0, 1 / 3]))


def test_the_rollout_is_truncated_at_its_horizon():
    env, _ = started(max_episode_steps=3, meta_rollout_horizon=6)
    ends = [env.step(STAY)[2:4] for _ in range(6)]
    assert ends == [(False, False)] * 5 + [(False, True)]


def test_moves_against_the_edge_stay():
    env, _ = started()
    np.testing.assert_array_equal(env.step(X_DOWN)[0][:2], [0, 0])
    np.testing.assert_array_equal(env.step(Y_DOWN)[0][:2], [0, 0])


def test_a_lit_room_shows_door_and_key():
    _, obs = started(dark=False)
    np.testing.assert_array_equal(obs, np.float32([0, 0, 0, 0, 0.25, 0.25, 0.25, 0]))


def test_key_and_door_in_one_cell_take_two_steps():
    env, _ = started(goal_location=(1, 0))
    assert [env.step(a)[1] for a in (X_UP, STAY)] == [1, 1]


def test_random_locations_cover_the_grid():
    env = RoomKeyDoor(size=3)
    env.reset(seed=0)
    starts, keys, goals = set(), set(), set()
    for _ in range(200):
        env.reset()
        starts.add(env.start)
        keys.add(env.key)
        goals.add(env.goal)
    assert len(starts) == len(keys) == len(goals) == 9


def test_shuffled_actions_are_a_permutation_that_changes_with_the_room():
    env = RoomKeyDoor(randomize_actions=True)
    env.reset(seed=0)
    orders = set()
    for _ in range(20):
        env.reset()
        assert sorted(env._moves) == [(-1, 0), (0, -1), (0, 0), (0, 1), (1, 0)]
        orders.add(tuple(env._moves))
    assert len(orders) > 10


def test_a_room_stays_the_same_within_a_rollout():
    env = RoomKeyDoor(size=5, max_episode_steps=4, randomize_actions=True)
    env.reset(seed=3)
    room = (env.start, env.key, env.goal, list(env._moves))
    for _ in range(50):
        env.step(STAY)
    assert room == (env.start, env.key, env.goal, list(env._moves))


def test_a_seed_fixes_the_room():
    def room(seed):
        env = RoomKeyDoor(randomize_actions=True)
        env.reset(seed=seed)
        return env.start, env.key, env.goal, tuple(env._moves)

    assert room(5) == room(5)
    assert room(5) != room(6)


@pytest.mark.parametrize("dark", [True, False])
def test_gymnasium_accepts_it(dark):
    check_env(RoomKeyDoor(dark=dark), skip_render_check=True)


@pytest.mark.parametrize("location", ["corner", (9, 0), (-1, 0), (1, 2, 3)])
def test_a_location_outside_of_the_grid_is_refused(location):
    with pytest.raises(ConfigError, match="key_location"):
        RoomKeyDoor(size=9, key_location=location)


def test_an_empty_horizon_is_refused():
    with pytest.raises(ConfigError, match="meta_rollout_horizon=0"):
        RoomKeyDoor(meta_rollout_horizon=0)
