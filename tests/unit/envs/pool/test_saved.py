"""Environments are brought back to where they were: by their state, by a replay, or not at all."""

import copy
import random
import sys

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.wrappers import TimeLimit

from amago.core.errors import AmagoWarning, EnvError
from amago.envs import AMAGOEnv
from amago.envs.exploration import BilevelEpsilonGreedy, EpsilonGreedy
from amago.envs.pool import replay
from amago.envs.pool.saved import storable

cloudpickle.register_pickle_by_value(sys.modules[__name__])
MODES = ["sync", "async"]


class Drift(gym.Env):
    """A random walk with its own generator; two actions push it apart."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Discrete(2)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.at = np.zeros(2)
        return self.at.astype(np.float32), {}

    def step(self, action):
        self.at += self.np_random.normal(size=2) + action
        return self.at.astype(np.float32), float(self.at[0]), False, False, {}


class Stateful(Drift):
    """Offers its state."""

    def get_state(self):
        return {"at": self.at, "random": self.np_random.bit_generator.state}

    def set_state(self, state):
        self.at = state["at"]
        self.np_random.bit_generator.state = state["random"]


class Unstorable(Stateful):
    def get_state(self):
        return {"generator": self.np_random}


class Raising(Stateful):
    def get_state(self):
        raise NotImplementedError("not on this simulator")


class Seedless(Drift):
    """Ignores its seed."""

    def reset(self, seed=None, options=None):
        return super().reset(seed=int.from_bytes(random.randbytes(4)))


class Late(Drift):
    """Another every time it is stepped, seeded or not, but not from the start."""

    def step(self, action):
        self.np_random.bit_generator.advance(random.getrandbits(20))
        return super().step(action)


class StatefulWrapper(AMAGOEnv):
    """Offers the state of all there is in it."""

    def get_state(self):
        return {"inner": self.unwrapped.get_state(), "elapsed": self.env.env._elapsed_steps}

    def set_state(self, state):
        self.unwrapped.set_state(state["inner"])
        self.env.env._elapsed_steps = state["elapsed"]


def named(make):
    return lambda: AMAGOEnv(make(), "drift")


def cartpole():
    return gym.make("CartPole-v1", max_episode_steps=9)


def run(pool, steps, seed=1):
    """Copies of the steps after so many random actions; a function of the seed."""
    rng = np.random.default_rng(seed)
    actions = rng.integers(0, 2, (steps, pool.num_envs, 1)).astype(np.uint8)
    return [copy.deepcopy(pool.step(action)) for action in actions]


def saved_after(pool, steps):
    pool.reset()
    run(pool, steps)
    return pool.state_dict()


def kinds(state):
    return [row["env"]["kind"] for row in state["rows"]]


def observations(steps):
    return [step.timestep.obs["observation"].tolist() for step in steps]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "factory, kind",
    [
        (named(Drift), "replay"),
        (named(cartpole), "replay"),
        (named(Stateful), "state"),
        (named(Unstorable), "replay"),
        (named(Raising), "replay"),
        (named(lambda: TimeLimit(Stateful(), 12)), "replay"),  # whose count would be lost
        (lambda: StatefulWrapper(TimeLimit(Stateful(), 12), "drift"), "state"),
    ],
    ids=["drift", "cartpole", "stateful", "unstorable", "raising", "limited", "wrapper"],
)
@pytest.mark.parametrize("exploration", [None, EpsilonGreedy])
def test_a_pool_goes_on_as_if_nothing_had_happened(open_pool, factory, kind, mode, exploration):
    def pool():
        return open_pool([factory] * 3, mode, exploration, replayable=True)

    first = pool()
    state = saved_after(first, 8)
    assert kinds(state) == [kind] * 3
    rest = run(first, 20, seed=2)
    second = pool()
    step = copy.deepcopy(second.load_state_dict(state))
    assert not step.started.any()
    assert not step.stepped.any()
    assert not step.interrupted.any()
    for row, saved in enumerate(state["rows"]):
        at = step.timestep
        assert (
            at.obs["observation"][row].tolist()
            == saved["timestep"]["obs"]["observation"][0].tolist()
        )
        assert at.time_idx[row] == saved["timestep"]["time_idx"][0]
    again = run(second, 20, seed=2)
    assert observations(again) == observations(rest)
    assert [s.reward.tolist() for s in again] == [s.reward.tolist() for s in rest]
    assert [s.truncated.tolist() for s in again] == [s.truncated.tolist() for s in rest]
    assert second.episodes() == first.episodes()


@pytest.mark.parametrize("mode", MODES)
def test_a_pool_can_be_saved_again_after_it_was_brought_back(open_pool, mode):
    def pool():
        return open_pool([named(Drift), named(Stateful)], mode, EpsilonGreedy, replayable=True)

    first = pool()
    state = saved_after(first, 5)
    middle = run(first, 5, seed=2)
    rest = run(first, 5, seed=3)
    second = pool()
    second.load_state_dict(state)
    assert observations(run(second, 5, seed=2)) == observations(middle)
    third = pool()
    third.load_state_dict(second.state_dict())
    assert observations(run(third, 5, seed=3)) == observations(rest)


@pytest.mark.parametrize("mode", MODES)
def test_what_ignores_its_seed_is_found_out_and_cut_off(open_pool, mode):
    factories = [named(Seedless), named(Drift), named(Late)]
    state = saved_after(open_pool(factories, mode, replayable=True), 8)
    pool = open_pool(factories, mode, replayable=True)
    with pytest.warns(AmagoWarning) as warned:
        step = pool.load_state_dict(state)
    assert len(warned) == 1
    message = str(warned[0].message)
    assert message.startswith("2 of 3 environments could not be brought back")
    assert "it did something else (does it ignore the seed of reset?) (environment 0, 2)" in message
    assert "not exactly the run that was saved" in message
    assert step.interrupted.tolist() == step.started.tolist() == [True, False, True]
    assert not step.stepped.any()
    assert step.timestep.time_idx.tolist() == [0, 8, 0]
    assert pool.episodes() == [2, 1, 2]
    assert pool.step(np.zeros((3, 1), np.uint8)).stepped.all()


@pytest.mark.parametrize("mode", MODES)
def test_a_pool_that_keeps_no_actions_cannot_bring_back_what_offers_no_state(open_pool, mode):
    factories = [named(Drift), named(Stateful)]
    state = saved_after(open_pool(factories, mode), 5)
    assert kinds(state) == ["none", "state"]
    pool = open_pool(factories, mode)
    with pytest.warns(AmagoWarning, match="1 of 2 .* it does not offer its state .get_state"):
        step = pool.load_state_dict(state)
    assert step.interrupted.tolist() == [True, False]


@pytest.mark.parametrize("mode", MODES)
def test_what_raises_while_it_is_brought_back_is_made_anew(open_pool, frail, mode):
    factories = [frail({1: (2, stumble)}), frail()]  # episode 1 is the replay of episode 0
    pool = open_pool(factories, mode, replayable=True)
    state = saved_after(pool, 3)
    pool.call("mark")
    with pytest.warns(AmagoWarning, match="it raised ZeroDivisionError: lost my way"):
        step = pool.load_state_dict(state)
    assert step.interrupted.tolist() == [True, False]
    assert pool.call("has_mark") == [False, True]


def stumble(env):
    raise ZeroDivisionError("lost my way")


@pytest.mark.parametrize("mode", MODES)
def test_of_another_number_of_rows_only_the_exploration_is_taken(open_pool, mode):
    state = saved_after(open_pool([named(Drift)] * 2, mode, EpsilonGreedy, replayable=True), 7)
    pool = open_pool([named(Drift)] * 3, mode, EpsilonGreedy, replayable=True)
    pool.reset()
    with pytest.warns(AmagoWarning, match="3 of 3 .* one of 2 environments, and now there are 3"):
        step = pool.load_state_dict(state)
    assert step.interrupted.all()
    assert step.env_names == ["drift"] * 3
    assert pool.call("global_step") == [7, 7, 7]
    assert pool.episodes() == [2, 2, 1]  # none of them twice


@pytest.mark.parametrize("mode", MODES)
def test_other_observations_than_the_saved_ones_are_not_brought_back(open_pool, mode):
    class Wide(Stateful):
        observation_space = Box(-np.inf, np.inf, (2,), np.float64)

    state = saved_after(open_pool([named(Stateful)], mode), 2)
    pool = open_pool([named(Wide)], mode)
    with pytest.warns(AmagoWarning, match="observations or actions have another shape or dtype"):
        assert pool.load_state_dict(state).interrupted.all()


@pytest.mark.parametrize("mode", MODES)
def test_the_exploration_of_another_kind_is_refused(open_pool, mode):
    class Constant(EpsilonGreedy):
        def load_state_dict(self, state):
            self.level = state["level"]

    state = saved_after(open_pool([named(Stateful)], mode, EpsilonGreedy), 2)
    with pytest.raises(EnvError, match=r"does not fit Constant \(KeyError: 'level'"):
        open_pool([named(Stateful)], mode, Constant).load_state_dict(state)


def test_global_generators_are_left_alone(open_pool):
    class Careless(Drift):
        """Draws from the generators of everyone."""

        def step(self, action):
            random.random()
            np.random.random()
            return super().step(action)

    state = saved_after(open_pool([named(Careless)], "sync", replayable=True), 5)
    python, numpy = random.getstate(), np.random.get_state()[1].tolist()
    open_pool([named(Careless)], "sync", replayable=True).load_state_dict(state)
    assert random.getstate() == python
    assert np.random.get_state()[1].tolist() == numpy


def test_very_long_episodes_are_not_replayed(open_pool, monkeypatch):
    monkeypatch.setattr(replay, "MAX_REPLAYED_STEPS", 64)
    pool = open_pool([named(Drift)], "sync", replayable=True)
    pool.reset()
    run(pool, 64)
    assert kinds(pool.state_dict()) == ["replay"]
    run(pool, 200)
    state = pool.state_dict()
    assert kinds(state) == ["none"]
    with pytest.warns(AmagoWarning, match="longer than 64 steps"):
        pool.load_state_dict(state)
    assert kinds(pool.state_dict()) == ["replay"]  # of the next episode


@pytest.mark.parametrize("mode", MODES)
def test_a_pool_that_has_not_begun_can_be_saved(open_pool, mode):
    state = open_pool([named(Drift)], mode, replayable=True).state_dict()
    with pytest.warns(AmagoWarning, match="its first episode had not begun"):
        step = open_pool([named(Drift)], mode, replayable=True).load_state_dict(state)
    assert step.started.all()


@pytest.mark.parametrize("mode", MODES)
def test_episodes_alone_are_enough_to_go_on_from_a_reset(open_pool, mode):
    def pool():
        return open_pool([named(cartpole)] * 2, mode)

    first = pool()
    saved_after(first, 30)
    episodes = first.episodes()
    assert min(episodes) > 2
    second = pool()
    second.set_episodes(episodes)
    assert observations([second.reset()]) == observations([first.reset()])
    assert observations(run(second, 30)) == observations(run(first, 30))


def test_a_pool_that_is_closed_cannot_be_saved_or_loaded(open_pool):
    for mode in MODES:
        pool = open_pool([named(Stateful)], mode)
        state = saved_after(pool, 1)
        pool.close()
        with pytest.raises(EnvError, match="closed"):
            pool.state_dict()
        with pytest.raises(EnvError, match="closed"):
            pool.load_state_dict(state)


def test_saved_values_are_copies():
    array = np.arange(6)[::-2]
    value = {"a": [1, (2.0, None, "x", b"y", True)], "b": array, 3: np.float32(1)}
    stored = storable(value)
    assert stored["a"] == value["a"]
    array[:] = 0
    assert stored["b"].tolist() == [5, 3, 1]
    assert stored["b"].flags.c_contiguous


@pytest.mark.parametrize("value", [{1}, object(), [np.array(["text"])], {"a": np.zeros(1, object)}])
def test_other_values_are_refused(value):
    with pytest.raises(TypeError):
        storable(value)


def test_a_replay_takes_the_actions_that_were_taken_and_adds_no_noise(open_pool):
    pool = open_pool([named(Drift)], "sync", EpsilonGreedy, replayable=True)
    state = saved_after(pool, 30)
    (row,) = state["rows"]
    assert len(row["env"]["actions"]) == 30
    assert row["env"]["actions"].dtype == np.uint8
    assert 0 < row["env"]["actions"].mean() < 1
    before = pool.call("state_dict")
    pool.load_state_dict(state)
    assert pool.call("state_dict")[0]["rng"] == before[0]["rng"]


def test_continuous_noise_is_replayed_too(open_pool):
    class Push(Drift):
        action_space = Box(-1, 1, (2,), np.float32)

        def step(self, action):
            return super().step(action)

    def noise(env):
        return BilevelEpsilonGreedy(env, rollout_horizon=10)

    def push(pool, steps):
        zeros = np.zeros((1, 2), np.float32)
        return [copy.deepcopy(pool.step(zeros)) for _ in range(steps)]

    first = open_pool([named(Push)], "sync", noise, replayable=True)
    first.reset()
    push(first, 6)
    state = first.state_dict()
    second = open_pool([named(Push)], "sync", noise, replayable=True)
    second.load_state_dict(state)
    assert observations(push(second, 6)) == observations(push(first, 6))
