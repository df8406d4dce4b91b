"""What batched tasks have in common, cases worked by hand, and how their tasks are distributed."""

import itertools

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.toy_text.frozen_lake import is_valid

from amago.core.errors import ConfigError
from amago.envs import AMAGOEnv
from amago.envs.builtin.batched_frozen_lake import BatchedMetaFrozenLake, can_be_crossed
from amago.envs.builtin.batched_key_door import BatchedRoomKeyDoor
from amago.envs.builtin.batched_tmaze import BatchedTMazeAltActive, BatchedTMazeAltPassive
from amago.envs.builtin.frozen_lake import MetaFrozenLake
from amago.envs.builtin.key_door import RoomKeyDoor
from amago.envs.builtin.tmaze import TMazeAltPassive
from amago.envs.exploration import EpsilonGreedy
from amago.envs.pool import make_pool

RIGHT, UP, LEFT, DOWN = range(4)
STAY, X_UP, X_DOWN, Y_UP, Y_DOWN = range(5)

KINDS = {
    "lakes": lambda n: BatchedMetaFrozenLake(n, 3, k_episodes=2),
    "hard lakes": lambda n: BatchedMetaFrozenLake(n, 3, 2, hard_mode=True, slip_chance=0.2),
    "rooms": lambda n: BatchedRoomKeyDoor(
        n, size=3, max_episode_steps=5, meta_rollout_horizon=13, randomize_actions=True
    ),
    "mazes": lambda n: BatchedTMazeAltActive(n, corridor_length=4, penalty=-0.25),
}


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


def actions_of(batch, seed, num_steps):
    num_actions = batch.single_action_space.n
    return np.random.default_rng(seed).integers(num_actions, size=(num_steps, batch.num_envs))


def trace(batch, actions):
    """Everything that the steps return, as bytes."""
    steps = [batch.step(a) for a in actions]
    return [
        [part.tobytes() for part in (*step[:4], *step[4].values())] + list(step[4])
        for step in steps
    ]


# ----------------------------------------------------------------------- what they have in common


def test_shapes_types_and_spaces_are_those_of_a_vector_environment(make):
    batch = make(6)
    obs, info = batch.reset(seed=0)
    assert batch.observation_space.contains(obs)
    assert info == {}
    for actions in actions_of(batch, 0, 60):
        obs, rewards, terminated, truncated, info = batch.step(actions)
        assert batch.observation_space.contains(obs)
        kinds = [(x.shape, x.dtype.name) for x in (rewards, terminated, truncated)]
        assert kinds == [((6,), "float64"), ((6,), "bool"), ((6,), "bool")]
        if "final_obs" in info:
            assert batch.observation_space.contains(info["final_obs"])
            np.testing.assert_array_equal(info["_final_obs"], terminated | truncated)


def test_a_seed_fixes_every_task_that_follows(make):
    used = make(4)
    used.reset(seed=3)
    trace(used, actions_of(used, 1, 30))
    traces = []
    for batch, seed in ((used, 7), (make(4), 7), (make(4), 8)):
        first, _ = batch.reset(seed=seed)
        traces.append([[first.tobytes()], *trace(batch, actions_of(batch, 2, 100))])
    assert traces[0] == traces[1] != traces[2]


def test_a_reset_without_a_seed_goes_on_drawing():
    rooms = BatchedRoomKeyDoor(50, size=9)
    first, _ = rooms.reset(seed=0)
    second, _ = rooms.reset()
    assert (first != second).any()


def test_it_goes_on_from_its_state_in_another_batch(make):
    batch, other = make(4), make(4)
    batch.reset(seed=0)
    trace(batch, actions_of(batch, 0, 37))
    state = batch.get_state()
    wanted = trace(batch, actions_of(batch, 1, 80))
    other.reset(seed=5)
    other.set_state(state)
    assert trace(other, actions_of(batch, 1, 80)) == wanted
    other.reset(seed=6)
    other.set_state(state)  # going on has not changed it
    assert trace(other, actions_of(batch, 1, 80)) == wanted


def test_the_state_of_another_number_of_rows_is_refused(make):
    batch, other = make(4), make(3)
    batch.reset(seed=0)
    other.reset(seed=0)
    with pytest.raises(ValueError, match="shape"):
        other.set_state(batch.get_state())


def test_what_was_returned_does_not_change_later(make):
    batch = make(4)
    returned = [batch.reset(seed=0)[0]]
    copies = [returned[0].copy()]
    for actions in actions_of(batch, 0, 40):
        step = batch.step(actions)
        returned += [*step[:4], *step[4].values()]
        copies = [*copies, *(x.copy() for x in (*step[:4], *step[4].values()))]
    for one, other in zip(returned, copies, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_batch_needs_a_row():
    with pytest.raises(ConfigError, match="BatchedTMazeAltPassive: num_envs=0"):
        BatchedTMazeAltPassive(0)


def test_impossible_arguments_are_refused_as_by_the_single_environment():
    with pytest.raises(ConfigError, match="size >= 2"):
        BatchedMetaFrozenLake(3, size=1)
    with pytest.raises(ConfigError, match="key_location"):
        BatchedRoomKeyDoor(3, size=2, key_location=(2, 0))
    with pytest.raises(ConfigError, match="corridor_length=0"):
        BatchedTMazeAltPassive(3, corridor_length=0)
    with pytest.raises(TypeError, match="colour"):
        BatchedTMazeAltPassive(3, colour=1)


@pytest.mark.parametrize(
    "batch, single",
    [
        (BatchedMetaFrozenLake(2, 4, hard_mode=True), MetaFrozenLake(4, hard_mode=True)),
        (BatchedRoomKeyDoor(2, dark=False), RoomKeyDoor(dark=False)),
        (BatchedTMazeAltPassive(2, 7), TMazeAltPassive(7)),
    ],
)
def test_spaces_and_options_are_those_of_the_single_environment(batch, single):
    assert batch.single_observation_space == single.observation_space
    assert batch.single_action_space == single.action_space
    state = {"goal_y", "x", "y", "time_step"}
    options = {k: v for k, v in vars(single).items() if not k.startswith(("_", "action", "obs"))}
    assert len(options) >= 6
    for name in options.keys() - state:
        assert getattr(batch, name) == options[name], name


# ---------------------------------------------------------------------------- worked by hand


def test_one_lake_is_crossed_while_another_swallows_the_agent():
    batch = BatchedMetaFrozenLake(2, 3, k_episodes=2)
    batch.reset(seed=0)
    batch.layout[:] = batch.lake[:] = [[0, 1, 0, 0, 0, 0, 0, 0, 0]]  # (0, 1) is a hole
    moves = [(X_UP, Y_UP), (X_UP, STAY), (Y_UP, STAY), (Y_UP, Y_UP)]
    steps = [batch.step(np.array(pair)) for pair in moves]
    assert [s[1].tolist() for s in steps] == [[0, 0], [0, 0], [0, 0], [1, 0]]
    assert [s[2].tolist() for s in steps] == [[False, False]] * 3 + [[False, True]]
    info = steps[0][4]
    assert info["_AMAGO_LOG_METRIC Episode 0 Success"].tolist() == [False, True]
    assert info["AMAGO_LOG_METRIC Episode 0 Success"][1] == 0.0
    info = steps[3][4]
    assert info["_AMAGO_LOG_METRIC Episode 0 Success"].tolist() == [True, False]
    assert info["AMAGO_LOG_METRIC Episode 0 Success"][0] == 1.0
    assert info["_AMAGO_LOG_METRIC Episode 1 Success"].tolist() == [False, True]
    np.testing.assert_array_equal(steps[3][0], np.float32([[0, 0, 1, 0.5], [0, 0, 1, 0]]))
    np.testing.assert_array_equal(info["final_obs"][1], np.float32([0, 0, 1, 1]))


def test_a_room_is_kept_for_its_rollout_and_then_another_is_drawn():
    fixed = {"size": 4, "start_location": (0, 0), "key_location": (1, 0), "goal_location": (1, 1)}
    batch = BatchedRoomKeyDoor(1, max_episode_steps=10, meta_rollout_horizon=4, **fixed)
    batch.reset(seed=0)
    steps = [batch.step(np.array([a])) for a in (X_UP, Y_UP, X_UP, X_UP)]
    assert [s[1].item() for s in steps] == [1, 1, 0, 1]
    assert [s[3].item() for s in steps] == [False, False, False, True]
    np.testing.assert_allclose(steps[2][0][0], [0, 0, 0, 0])  # the reset step
    np.testing.assert_allclose(steps[3][4]["final_obs"][0], [0.25, 0, 1, 0.1])
    np.testing.assert_allclose(steps[3][0][0], [0, 0, 0, 0])


def test_mazes_end_together_and_begin_again():
    batch = BatchedTMazeAltPassive(2, corridor_length=2, penalty=-0.5)
    batch.reset(seed=0)
    batch.goal_y[:] = 1, -1
    steps = [batch.step(np.array([a, b])) for a, b in ((RIGHT, UP), (RIGHT, RIGHT), (UP, DOWN))]
    assert [s[1].tolist() for s in steps] == [[0, -0.5], [0, 0], [1, 0]]
    assert [s[2].all() for s in steps] == [False, False, True]
    info = steps[2][4]
    assert info["AMAGO_LOG_METRIC Success"].tolist() == [1.0, 0.0]
    np.testing.assert_array_equal(info["final_obs"], np.float32([[1, 1], [0, 0]]))
    np.testing.assert_array_equal(steps[2][0], np.stack((np.zeros(2), batch.goal_y), axis=1))
    assert batch.time_step.tolist() == [0, 0]


# ------------------------------------------------------------------------------- distributions


def chi_square(counts, chances):
    expected = np.asarray(chances) * np.sum(counts)
    return float(((counts - expected) ** 2 / expected).sum())


def test_a_lake_is_crossed_where_gymnasium_says_so():
    inner = list(itertools.product((False, True), repeat=7))
    holes = np.array([(False, *some, False) for some in inner]).reshape(-1, 3, 3)
    drawn = np.random.default_rng(0).random((300, 6, 6)) < 0.4
    drawn[:, 0, 0] = drawn[:, -1, -1] = False
    for lakes in (holes, drawn):
        size = lakes.shape[1]
        boards = [[["H" if hole else "F" for hole in line] for line in lake] for lake in lakes]
        for board in boards:
            board[-1][-1] = "G"
        expected = [is_valid(board, size) for board in boards]
        assert can_be_crossed(lakes).tolist() == expected
        assert 0 < sum(expected) < len(expected)


def test_lakes_are_as_likely_as_those_of_gymnasium():
    # Of 2 x 2 tiles two may be holes, each with chance 0.2, but not both.
    lakes = BatchedMetaFrozenLake(1, 2)
    lakes.reset(seed=0)
    drawn = lakes.generate_lakes(9600)[:, [0, 1], [1, 0]]
    counts = np.bincount(2 * drawn[:, 0] + drawn[:, 1], minlength=4)
    assert counts[3] == 0
    assert chi_square(counts[:3], np.array([0.64, 0.16, 0.16]) / 0.96) < 9.2  # 2 degrees, 1 %


def test_no_lake_is_given_to_two_rows():
    lakes = BatchedMetaFrozenLake(300, 8, k_episodes=1, max_episode_steps=1)
    lakes.reset(seed=0)
    seen = [lakes.layout.copy()]
    for _ in range(5):
        lakes.step(np.zeros(300, np.int64))
        seen.append(lakes.layout.copy())
    assert len(np.unique(np.concatenate(seen), axis=0)) == 6 * 300


def test_hard_lakes_have_their_chances():
    lakes = BatchedMetaFrozenLake(4000, 9, k_episodes=10**6, hard_mode=True)
    lakes.reset(seed=0)
    assert 0.47 < lakes.is_swapped.mean() < 0.53
    lakes.layout[:] = lakes.lake[:] = False
    lakes.x[:] = lakes.y[:] = 4
    obs = lakes.step(np.full(4000, X_UP))[0]
    assert 0.30 < lakes.lake.any(axis=1).mean() < 0.36
    off = np.round(obs[:, :2] * 9).astype(int) - np.stack((lakes.x, lakes.y), axis=1)
    is_off = off.any(axis=1)
    assert 0.23 < is_off.mean() < 0.27
    corners = np.bincount(off[is_off] @ [1, 2] + 3, minlength=7)[[0, 2, 4, 6]]
    assert chi_square(corners, [0.25] * 4) < 11.4  # 3 degrees, 1 %


def test_rooms_and_orders_of_actions_are_uniform():
    rooms = BatchedRoomKeyDoor(9000, size=3, randomize_actions=True)
    uneven = 0.0
    for seed in range(60):
        rooms.reset(seed=seed)
        for place in (rooms.start, rooms.key, rooms.goal):
            uneven += chi_square(np.bincount(place @ [3, 1], minlength=9), [1 / 9] * 9)
    assert uneven < 1565  # 1440 degrees, 1 %
    orders = np.bincount(np.unique(rooms.order, axis=0, return_inverse=True)[1].ravel())
    assert len(orders) == 120
    assert chi_square(orders, [1 / 120] * 120) < 157  # 119 degrees, 1 %


def test_both_sides_of_mazes_are_as_likely():
    mazes = BatchedTMazeAltPassive(10_000)
    mazes.reset(seed=0)
    assert abs(mazes.goal_y.mean()) < 0.026


# ------------------------------------------------------------------------------- in a pool


def pool_of(make, exploration=None):
    return make_pool(
        [lambda: AMAGOEnv(make(4), "tasks", batched_envs=4)],
        "already_vectorized",
        exploration,
        replayable=True,
    )


def test_a_pool_steps_it_and_hands_on_ends_and_metrics():
    pool = pool_of(KINDS["mazes"])
    pool.reset()
    steps = [pool.step(np.full((4, 1), RIGHT, np.uint8)) for _ in range(7)]
    assert [s.ended.all() for s in steps] == [False] * 6 + [True]
    last = steps[-1]
    assert last.started.all()
    assert last.timestep.time_idx.tolist() == [0] * 4
    assert last.final.time_idx.tolist() == [7] * 4
    assert last.final.terminal.all()
    assert sorted(last.metrics) == [(row, "Success", 0.0) for row in range(4)]
    np.testing.assert_array_equal(last.final.obs["observation"], np.float32([[1, 0]] * 4))
    np.testing.assert_array_equal(last.timestep.obs["observation"], np.zeros((4, 2)))


def test_a_pool_goes_on_from_its_state(make):
    def steps_of(pool, num_steps, seed):
        acts = np.random.default_rng(seed).integers(4, size=(num_steps, 4, 1)).astype(np.uint8)
        for action in acts:
            step = pool.step(action)
            rest = [step.timestep, step.final, step.reward, step.ended, step.started, step.metrics]
            yield repr(rest)

    pool, other = pool_of(make, EpsilonGreedy), pool_of(make, EpsilonGreedy)
    pool.reset()
    list(steps_of(pool, 33, seed=1))
    state = pool.state_dict()
    wanted = list(steps_of(pool, 50, seed=2))
    other.reset()
    other.load_state_dict(state)
    assert list(steps_of(other, 50, seed=2)) == wanted


def test_gymnasium_wraps_it():
    batch = gym.wrappers.vector.RecordEpisodeStatistics(BatchedTMazeAltPassive(3))
    batch.reset(seed=0)
    for _ in range(11):
        info = batch.step(np.zeros(3, np.int64))[4]
    assert info["episode"]["l"].tolist() == [11] * 3
