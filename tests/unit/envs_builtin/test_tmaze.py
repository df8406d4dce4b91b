import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from amago.core.errors import ConfigError
from amago.envs.builtin.tmaze import TMazeAltActive, TMazeAltPassive, _TMazeBase

RIGHT, UP, LEFT, DOWN = range(4)


def with_goal(env, goal_y):
    """The environment after a reset that drew this goal side, and the first observation."""
    for seed in range(100):
        obs, _ = env.reset(seed=seed)
        if env.goal_y == goal_y:
            return obs
    raise AssertionError("no seed below 100 draws this side")


def play(env, actions):
    steps = [env.step(a) for a in actions]
    assert [s[2] for s in steps] == [False] * (len(steps) - 1) + [True]
    assert not any(s[3] for s in steps)
    return steps


@pytest.mark.parametrize(("goal_y", "turn"), [(1, UP), (-1, DOWN)])
def test_remembering_the_cue_earns_the_goal_reward(goal_y, turn):
    env = TMazeAltPassive(corridor_length=3, goal_reward=2.0, penalty=-1 / 3)
    first = with_goal(env, goal_y)
    steps = play(env, [RIGHT] * 3 + [turn])
    np.testing.assert_array_equal(first, [0, goal_y])
    np.testing.assert_array_equal([s[0] for s in steps], [[0, 0], [0, 0], [1, 0], [1, goal_y]])
    assert [s[1] for s in steps] == [0, 0, 0, 2]
    assert steps[-1][4] == {"AMAGO_LOG_METRIC Success": 1.0}


def test_the_wrong_side_earns_nothing():
    env = TMazeAltPassive(corridor_length=3)
    with_goal(env, 1)
    steps = play(env, [RIGHT] * 3 + [DOWN])
    assert [s[1] for s in steps] == [0, 0, 0, 0]
    assert steps[-1][4] == {"AMAGO_LOG_METRIC Success": 0.0}


def test_each_detour_costs_the_penalty_but_not_on_the_last_step():
    env = TMazeAltPassive(corridor_length=4, penalty=-0.25)
    with_goal(env, 1)
    steps = play(env, [UP, LEFT, RIGHT, DOWN, UP])
    assert [s[1] for s in steps] == [-0.25, -0.25, 0, -0.25, 0]


def test_an_agent_that_never_walks_gets_minus_one():
    env = TMazeAltPassive(corridor_length=50, penalty=-1 / 50)
    with_goal(env, 1)
    assert sum(s[1] for s in play(env, [UP] * 51)) == pytest.approx(-1.0)


def test_the_active_maze_shows_the_cue_behind_the_start_only():
    env = TMazeAltActive(corridor_length=2, penalty=-0.5)
    first = with_goal(env, -1)
    steps = play(env, [LEFT, RIGHT, RIGHT, RIGHT, DOWN])  # corridor + 3
    np.testing.assert_array_equal(first, [0, 0])
    seen = [[0, -1], [0, 0], [0, 0], [1, 0], [1, -1]]
    np.testing.assert_array_equal([s[0] for s in steps], seen)
    assert [s[1] for s in steps] == [0, 0, 0, 0, 1]


def test_in_the_active_maze_the_first_step_is_free():
    env = TMazeAltActive(corridor_length=2, penalty=-0.5)
    with_goal(env, 1)
    assert [s[1] for s in play(env, [LEFT, LEFT, UP, RIGHT, UP])] == [0, -0.5, -0.5, 0, 0]


def test_lingering_at_the_start_pays_the_distraction():
    env = TMazeAltPassive(corridor_length=3, penalty=-0.5, distract_reward=0.125)
    with_goal(env, 1)
    rewards = [s[1] for s in play(env, [UP, RIGHT, RIGHT, RIGHT])]
    assert rewards == [-0.5 + 0.125, 0, 0, 0]


def test_only_the_junction_leads_sideways_and_walls_stop():
    env = TMazeAltPassive(corridor_length=2)
    with_goal(env, 1)
    positions = []
    for action in (LEFT, UP, RIGHT):
        env.step(action)
        positions.append((env.x, env.y))
    assert positions == [(0, 0), (0, 0), (1, 0)]

    env = TMazeAltPassive(corridor_length=1)
    env.episode_length = 10
    env.reset(seed=0)
    positions = []
    for action in (RIGHT, RIGHT, UP, LEFT, UP, DOWN, DOWN, DOWN):
        env.step(action)
        positions.append((env.x, env.y))
    assert positions == [(1, 0), (1, 0), (1, 1), (1, 1), (1, 1), (1, 0), (1, -1), (1, -1)]


def test_both_sides_are_as_likely():
    env = TMazeAltPassive()
    env.reset(seed=0)
    sides = []
    for _ in range(1000):
        env.reset()
        sides.append(env.goal_y)
    assert abs(np.mean(sides)) < 0.1


def test_the_base_penalises_falling_behind_instead():
    env = _TMazeBase(
        corridor_length=3,
        oracle_length=0,
        goal_reward=1.0,
        penalty=-1.0,
        distract_reward=0.0,
        is_ambiguous=False,
        expose_time=True,
    )
    with_goal(env, 1)
    steps = play(env, [UP, RIGHT, RIGHT, UP])
    assert [s[1] for s in steps] == [-1, -1, -1, 0]  # one step late, for ever
    expected = [[0, 0, 1, 0.25], [1, 0, 0, 0.5], [2, 0, 0, 0.75], [2, 0, 0, 1]]
    np.testing.assert_array_equal([s[0] for s in steps], expected)
    assert all(env.observation_space.contains(s[0]) for s in steps)


def test_a_seed_fixes_the_side():
    env = TMazeAltPassive()
    sides = [(env.reset(seed=s)[0].tolist(), env.goal_y) for s in range(20)]
    assert sides == [(env.reset(seed=s)[0].tolist(), env.goal_y) for s in range(20)]


@pytest.mark.parametrize("maze", [TMazeAltPassive, TMazeAltActive])
def test_gymnasium_accepts_it(maze):
    check_env(maze(), skip_render_check=True)


def test_an_empty_corridor_is_refused():
    with pytest.raises(ConfigError, match="corridor_length=0"):
        TMazeAltPassive(corridor_length=0)
