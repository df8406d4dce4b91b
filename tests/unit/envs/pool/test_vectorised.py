import copy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from amago.core.errors import AmagoWarning, EnvError
from amago.core.rng import derive_seed
from amago.envs import AMAGOEnv
from amago.envs.exploration import EpsilonGreedy
from amago.envs.pool import Supervision, make_pool


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


def test_every_reset_of_the_pool_has_its_seed(pool, flock):
    pool.reset()
    pool.reset()
    assert flock.seeds == [derive_seed(0, "train", 0, "episode", episode) for episode in range(2)]
    assert pool.episodes() == [2]


def test_episodes_alone_are_enough_to_go_on_from_a_reset(pool, flock):
    pool.set_episodes([7])
    pool.reset()
    assert flock.seeds == [derive_seed(0, "train", 0, "episode", 7)]


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


# ------------------------------------------------------------------- faults, and going on


class Tide(gym.Env):
    """Two rows that end at random and are reset in the step after, by a generator of its own.

    Args:
        faults: `{number of the step: what to do}`, over all that were made with this dict.
    """

    metadata = {"autoreset_mode": "NextStep"}
    observation_space = Box(-9, 9, (1,), np.float32)
    action_space = Discrete(2)

    def __init__(self, faults):
        self.faults = faults
        self.count = 0

    def reset(self, seed=None, options=None):
        self.rng = np.random.default_rng(seed)
        self.ended = np.zeros(2, bool)
        self.level = np.zeros(2)
        return self._obs(), {}

    def step(self, action):
        self.count += 1
        self.level += action[:, 0] if np.ndim(action) == 2 else action
        self.level[self.ended] = 0
        reward = np.where(self.ended, 0.0, self.rng.normal(size=2))
        self.ended = ~self.ended & (self.rng.random(2) < 0.2)
        fault = self.faults.pop(self.count, None)
        obs = self._obs()
        if fault is not None:
            fault(obs, reward)
        return obs, reward, self.ended.copy(), np.zeros(2, bool), {}

    def _obs(self):
        return (self.rng.normal(size=(2, 1)).clip(-1, 1) + self.level[:, None] % 5).astype("f4")


class StatefulTide(Tide):
    def get_state(self):
        rng = self.rng.bit_generator.state
        return {"rng": rng, "ended": self.ended, "level": self.level, "count": self.count}

    def set_state(self, state):
        self.rng.bit_generator.state = state["rng"]
        self.ended, self.level, self.count = state["ended"], state["level"], state["count"]


def tides(kind=Tide, faults=None, exploration=EpsilonGreedy, **supervision):
    faults = {} if faults is None else faults
    return make_pool(
        [lambda: AMAGOEnv(kind(faults), "tide", batched_envs=2)],
        "already_vectorized",
        exploration,
        supervision=Supervision(**supervision),
        replayable=True,
    )


def run(pool, steps):
    return [copy.deepcopy(pool.step(np.zeros((2, 1), np.uint8))) for _ in range(steps)]


def facts(steps):
    return [
        (
            step.timestep.obs["observation"].tolist(),
            step.timestep.prev_action.tolist(),
            step.timestep.time_idx.tolist(),
            step.reward.tolist(),
            step.started.tolist(),
            step.stepped.tolist(),
            step.ended.tolist(),
        )
        for step in steps
    ]


@pytest.mark.parametrize("steps", range(12, 18))  # with and without rows that wait for a reset
def test_a_batch_that_offers_its_state_goes_on_exactly(steps):
    first = tides(StatefulTide)
    first.reset()
    run(first, steps)
    state = first.state_dict()
    second = tides(StatefulTide)
    step = second.load_state_dict(state)
    assert not (step.started | step.stepped | step.interrupted | step.ended).any()
    assert facts(run(second, 20)) == facts(run(first, 20))
    assert second.episodes() == first.episodes() == [1]


def test_a_batch_that_does_not_begins_anew():
    first = tides()
    first.reset()
    run(first, 5)
    second = tides()
    with pytest.warns(AmagoWarning, match="2 of 2 .* it does not offer its state"):
        step = second.load_state_dict(first.state_dict())
    assert step.interrupted.all()
    assert step.started.all()
    assert not step.stepped.any()
    assert second.episodes() == [2]
    assert second.call("global_step") == [5]


def test_a_batch_of_another_size_takes_the_exploration_only(flock):
    first = tides(StatefulTide)
    first.reset()
    run(first, 3)
    second = make_pool(
        [lambda: AMAGOEnv(flock, "flock", batched_envs=3)], "already_vectorized", EpsilonGreedy
    )
    with pytest.warns(AmagoWarning, match="another shape"):
        assert second.load_state_dict(first.state_dict()).interrupted.all()
    assert second.call("global_step") == [3]
    assert second.call("global_multiplier")[0].shape == (3,)


def test_rows_that_were_saved_one_by_one_begin_anew_as_a_batch():
    singles = make_pool([lambda: AMAGOEnv(gym.make("CartPole-v1"), "pole")], "sync")
    singles.reset()
    with pytest.warns(AmagoWarning, match="they were saved one by one"):
        assert tides().load_state_dict(singles.state_dict()).interrupted.all()


def test_a_batch_becomes_single_environments_that_begin_anew():
    batch = tides(StatefulTide)
    batch.reset()
    singles = make_pool([lambda: AMAGOEnv(gym.make("CartPole-v1"), "pole")], "sync")
    with pytest.warns(AmagoWarning, match="they were saved as one batch"):
        assert singles.load_state_dict(batch.state_dict()).interrupted.all()


def stumble(obs, reward):
    raise ZeroDivisionError("lost my way")


def spoil_obs(obs, reward):
    obs[1] = np.nan


def spoil_reward(obs, reward):
    reward[0] = np.inf


def test_an_exception_of_a_batch_interrupts_all_of_its_rows():
    faults = {4: stumble}
    pool = tides(faults=faults)
    pool.reset()
    run(pool, 3)
    with pytest.warns(AmagoWarning, match="ZeroDivisionError(.|\n)*Traceback(.|\n)*in stumble"):
        (step,) = run(pool, 1)
    assert step.interrupted.all()
    assert step.started.all()
    assert not (step.stepped | step.ended).any()
    assert step.env_names == ["tide", "tide"]
    assert pool.num_faults == 1
    assert pool.call("count") == [0]  # made anew
    assert pool.call("global_step") == [4]
    assert run(pool, 1)[0].stepped.all()


def test_a_batch_that_fails_too_often_is_an_error():
    class Broken(Tide):
        def step(self, action):
            raise ZeroDivisionError("lost my way")

    pool = tides(Broken, max_failures=2)
    pool.reset()
    with pytest.warns(AmagoWarning):
        run(pool, 1)
    with pytest.raises(EnvError, match="lost my way\nThis was fault 2 in a row"):
        run(pool, 1)
    with pytest.raises(EnvError, match="closed"):
        run(pool, 1)


@pytest.mark.parametrize("spoil", [spoil_obs, spoil_reward])
def test_bad_values_of_a_batch_are_an_error_or_cost_the_episodes_or_are_replaced(spoil):
    pool = tides(faults={3: spoil})
    pool.reset()
    with pytest.raises(EnvError, match=r"'tide'.*finite"):
        run(pool, 3)
    pool = tides(faults={3: spoil}, bad_values="drop")
    pool.reset()
    with pytest.warns(AmagoWarning, match="'tide'.*finite"):
        steps = run(pool, 3)
    assert steps[2].interrupted.all()
    assert pool.call("count") == [3]  # the same environment
    pool = tides(faults={3: spoil, 4: spoil}, bad_values="clamp")
    pool.reset()
    with pytest.warns(AmagoWarning, match="replaced") as said:
        steps = run(pool, 4)
    assert len(said) == 1
    assert np.isfinite(steps[2].timestep.obs["observation"]).all()
    assert np.isfinite(steps[2].reward).all()
    assert not steps[2].interrupted.any()


class LastWords(Flock):
    """Ends every row at every step; the last observations are not finite."""

    def step(self, action):
        obs, reward, _, truncated, _ = super().step(action)
        info = {"final_obs": np.array([None, np.array([np.nan], "f4"), None], object)}
        return obs, reward, np.ones(3, bool), truncated, info


def test_a_last_observation_that_is_not_finite_is_noticed():
    def pool(**supervision):
        return make_pool(
            [lambda: AMAGOEnv(LastWords(), "words", batched_envs=3)],
            "already_vectorized",
            supervision=Supervision(**supervision),
        )

    strict = pool()
    strict.reset()
    with pytest.raises(EnvError, match=r"'words' .*not finite"):
        strict.step(np.zeros((3, 1), np.uint8))
    lenient = pool(bad_values="clamp")
    lenient.reset()
    with pytest.warns(AmagoWarning, match="replaced"):
        step = lenient.step(np.zeros((3, 1), np.uint8))
    assert step.final.obs["observation"].tolist() == [[0], [0], [0]]


def test_the_first_reset_of_a_batch_is_an_error_at_once():
    class Closed(Tide):
        def reset(self, seed=None, options=None):
            raise ZeroDivisionError("no water")

    with pytest.raises(EnvError, match="raised ZeroDivisionError in reset: no water"):
        tides(Closed).reset()


# ---------------------------------------------------------------------------------- metrics


@pytest.mark.parametrize(
    "values, kind",
    [
        (np.array([1.0, 2.0, 3.0]), float),
        (np.array([1.0, 2.0, 3.0], np.float32), np.float32),  # a mean keeps its precision
        (np.array([1, 2, 3]), int),
        ([1.0, 2.0, 3.0], float),
    ],
)
def test_each_row_that_has_a_metric_reports_its_own(pool, flock, monkeypatch, values, kind):
    info = {"AMAGO_LOG_METRIC Depth": values, "_AMAGO_LOG_METRIC Depth": [True, False, True]}
    plain = flock.step
    monkeypatch.setattr(flock, "step", lambda action: (*plain(action)[:4], info))
    pool.reset()
    metrics = pool.step(np.zeros((3, 1), np.uint8)).metrics
    assert metrics == [(0, "Depth", 1), (2, "Depth", 3)]
    assert {type(value) for _, _, value in metrics} == {kind}
