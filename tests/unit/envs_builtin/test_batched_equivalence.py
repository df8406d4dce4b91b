"""Each row of a batch does what the single environment does, given the same task and chances."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from amago.envs.amago_env import AMAGO_ENV_LOG_PREFIX
from amago.envs.builtin.batched_frozen_lake import BatchedMetaFrozenLake
from amago.envs.builtin.batched_key_door import _DX, _DY, BatchedRoomKeyDoor
from amago.envs.builtin.batched_tmaze import (
    BatchedTMazeAlt,
    BatchedTMazeAltActive,
    BatchedTMazeAltPassive,
    _BatchedTMazeBase,
)
from amago.envs.builtin.frozen_lake import _MOVES, _SWAPPED_MOVES, MetaFrozenLake
from amago.envs.builtin.key_door import RoomKeyDoor
from amago.envs.builtin.tmaze import TMazeAlt, TMazeAltActive, TMazeAltPassive, _TMazeBase

ROWS = 5
STEPS = 70


class Recorded(np.random.Generator):
    """A generator that remembers what it gave in this step."""

    def __init__(self, seed):
        super().__init__(np.random.PCG64(seed))
        self.uniform, self.integer = [], []

    def random(self, size=None):
        drawn = super().random(size)
        if drawn.ndim == 1:  # not those that lakes are made of
            self.uniform.append(drawn)
        return drawn

    def integers(self, *args, **kwargs):
        drawn = super().integers(*args, **kwargs)
        self.integer.append(drawn)
        return drawn


class Given:
    """A generator that gives what it is told to."""

    def __init__(self, uniform, integers=None):
        self.uniform, self.given = list(uniform), integers

    def random(self):
        return self.uniform.pop(0)

    def integers(self, high, size):
        assert (high, size) == (2, 2)
        return self.given


class FollowingLake(MetaFrozenLake):
    """A lake with the layout and the chances of a row of a batch."""

    def begin(self, batch, row, chances):
        holes = batch.layout[row].reshape(self.size, self.size)
        self._layout = [["H" if hole else "F" for hole in line] for line in holes]
        self._layout[0][0], self._layout[-1][-1] = "S", "G"
        self._moves = _SWAPPED_MOVES if batch.is_swapped[row] else _MOVES
        self.attempt = 0
        self.seeing = chances
        return self.soft_reset()

    def take(self, action, moving, seeing):
        self.moving, self.seeing = moving, seeing
        return self.step(action)

    def _move(self, action):
        self.np_random = Given(self.moving)
        return super()._move(action)

    def make_obs(self, reset_signal):
        self.np_random = Given(*self.seeing)
        return super().make_obs(reset_signal)


def play_lakes(batch, make_single, seed):
    """Steps of the batch, each with what the single lakes did: see `compare`."""
    batch.np_random = rng = Recorded(seed)
    singles = [make_single() for _ in range(ROWS)]

    def seeing(index, of_rows):
        if not batch.hard_mode:
            return [()] * of_rows
        return [((rng.uniform[-1][i],), rng.integer[index][i]) for i in range(of_rows)]

    obs, _ = batch.reset()
    for row, chances in enumerate(seeing(0, ROWS)):
        yield obs[row], singles[row].begin(batch, row, chances or ((),))
    for actions in np.random.default_rng(seed).integers(5, size=(STEPS, ROWS)):
        rng.uniform, rng.integer = [], []
        result = batch.step(actions)
        moving = np.array(rng.uniform[: bool(batch.slip_chance) + batch.hard_mode]).T
        moving = moving if moving.size else [()] * ROWS
        at = bool(batch.slip_chance) + 1
        noise = rng.uniform[at] if batch.hard_mode else None
        first = iter(seeing(1, int((result[2] | result[3]).sum())) if batch.hard_mode else ())
        for row, single in enumerate(singles):
            sees = ((noise[row],), rng.integer[0][row]) if batch.hard_mode else ((),)
            done = single.take(int(actions[row]), moving[row], sees)
            begun = None
            if result[2][row]:
                begun = single.begin(batch, row, next(first, ((),)))
            yield from compare(result, row, done, begun)


def play(batch, singles, begin, seed):
    """The same for environments without chances after their task has been drawn."""
    obs, _ = batch.reset(seed=seed)
    for row, single in enumerate(singles):
        yield obs[row], begin(single, row)
    num_actions = batch.single_action_space.n
    for actions in np.random.default_rng(seed).integers(num_actions, size=(STEPS, ROWS)):
        result = batch.step(actions)
        for row, single in enumerate(singles):
            done = single.step(int(actions[row]))
            begun = begin(single, row) if done[2] or done[3] else None
            yield from compare(result, row, done, begun)


def compare(result, row, done, begun):
    """Pairs that must be equal: what the batch says of a row, and what the environment said."""
    obs, rewards, terminated, truncated, info = result
    last = obs[row] if begun is None else info["final_obs"][row]
    yield last, done[0]
    yield rewards[row], np.float64(done[1])
    yield (bool(terminated[row]), bool(truncated[row])), done[2:4]
    metrics = {k: v[row] for k, v in info.items() if k.startswith(AMAGO_ENV_LOG_PREFIX)}
    yield {k: v for k, v in metrics.items() if info[f"_{k}"][row]}, done[4]
    if begun is not None:
        assert info["_final_obs"][row]
        yield obs[row], begun


def assert_equal(pairs):
    count = 0
    for found, expected in pairs:
        if isinstance(expected, np.ndarray | np.generic):
            assert (found.dtype, found.tobytes()) == (expected.dtype, expected.tobytes())
        else:
            assert found == expected
        count += 1
    assert count >= ROWS * STEPS * 4


@settings(max_examples=40)
@given(
    size=st.integers(2, 5),
    k_episodes=st.integers(1, 4),
    hard_mode=st.booleans(),
    recover_mode=st.booleans(),
    max_episode_steps=st.sampled_from([None, 1, 4]),
    show_k_progress=st.booleans(),
    slip_chance=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 1000),
)
def test_lakes(seed, **options):
    batch = BatchedMetaFrozenLake(ROWS, **options)
    assert_equal(play_lakes(batch, lambda: FollowingLake(**options), seed))


@settings(max_examples=30)
@given(
    dark=st.booleans(),
    size=st.integers(1, 4),
    max_episode_steps=st.integers(1, 12),
    meta_rollout_horizon=st.integers(1, 40),
    start_location=st.sampled_from(["random", (0, 0)]),
    goal_location=st.sampled_from(["random", (0, 0)]),
    randomize_actions=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_rooms(seed, **options):
    batch = BatchedRoomKeyDoor(ROWS, **options)

    def begin(room, row):
        room.start, room.key, room.goal = (
            tuple(place[row].tolist()) for place in (batch.start, batch.key, batch.goal)
        )
        moves = batch.order[row]
        room._moves = list(zip(_DX[moves].tolist(), _DY[moves].tolist(), strict=True))
        room._rollout_clock = 0
        room.reset_same_task()
        return room.obs()

    rooms = [RoomKeyDoor(**options) for _ in range(ROWS)]
    assert_equal(play(batch, rooms, begin, seed))


def check_mazes(batch, mazes, seed):
    def begin(maze, row):
        maze.goal_y = int(batch.goal_y[row])
        maze.x = maze.y = maze.time_step = 0
        return maze.get_obs()

    assert_equal(play(batch, mazes, begin, seed))


REWARDS = {
    "corridor_length": st.integers(1, 6),
    "goal_reward": st.sampled_from([1.0, 2.5]),
    "penalty": st.sampled_from([0.0, -1 / 3]),
    "distract_reward": st.sampled_from([0.0, 0.1]),
}


@settings(max_examples=20)
@given(is_active=st.booleans(), seed=st.integers(0, 1000), **REWARDS)
def test_mazes(is_active, seed, **options):
    kinds = (TMazeAltActive, BatchedTMazeAltActive)
    single, batched = kinds if is_active else (TMazeAltPassive, BatchedTMazeAltPassive)
    check_mazes(batched(ROWS, **options), [single(**options) for _ in range(ROWS)], seed)


@settings(max_examples=20)
@given(
    oracle_length=st.integers(0, 3),
    is_ambiguous=st.booleans(),
    expose_time=st.booleans(),
    seed=st.integers(0, 1000),
    **REWARDS,
)
def test_mazes_of_every_kind(is_ambiguous, expose_time, seed, **options):
    alt = [TMazeAlt(**options) for _ in range(ROWS)]
    check_mazes(BatchedTMazeAlt(ROWS, **options), alt, seed)
    options |= {"is_ambiguous": is_ambiguous, "expose_time": expose_time}
    mazes = [_TMazeBase(**options) for _ in range(ROWS)]
    check_mazes(_BatchedTMazeBase(ROWS, **options), mazes, seed)
