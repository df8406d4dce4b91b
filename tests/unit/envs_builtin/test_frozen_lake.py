import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from amago.core.errors import ConfigError
from amago.envs.builtin.toy_gym import MetaFrozenLake

STAY, X_UP, X_DOWN, Y_UP, Y_DOWN = range(5)
AROUND = [X_UP, X_UP, Y_UP, Y_UP]  # crosses LAKE
LAKE = ["SHF", "FFF", "FFG"]  # the row is x: (0, 1) is the hole


class KnownLake(MetaFrozenLake):
    def generate_lake(self):
        return LAKE


def started(**kwargs):
    env = KnownLake(size=3, **kwargs)
    obs, _ = env.reset(seed=0)
    return env, obs


def play(env, actions):
    """The steps up to the end of the rollout."""
    steps = []
    for action in actions:
        steps.append(env.step(action))
        if steps[-1][2]:
            break
    return steps


def test_crossing_pays_one_at_the_goal_and_begins_the_next_attempt():
    env, first = started(k_episodes=2)
    np.testing.assert_array_equal(first, np.float32([0, 0, 1, 0]))
    steps = play(env, AROUND)
    third = np.float32(1 / 3)
    np.testing.assert_allclose(steps[0][0], [third, 0, 0, 0])
    np.testing.assert_allclose(steps[2][0], [2 * third, third, 0, 0])
    np.testing.assert_array_equal(steps[3][0], np.float32([0, 0, 1, 0.5]))
    assert [s[1] for s in steps] == [0, 0, 0, 1]
    assert steps[3][4] == {"AMAGO_LOG_METRIC Episode 0 Success": 1.0}


def test_rollout_is_terminated_after_the_last_attempt():
    env, _ = started(k_episodes=2)
    steps = play(env, AROUND * 3)
    assert len(steps) == 8
    assert [s[2] for s in steps] == [False] * 7 + [True]
    assert not any(s[3] for s in steps)
    np.testing.assert_array_equal(steps[-1][0], np.float32([0, 0, 1, 1]))


def test_a_hole_ends_the_attempt_without_reward():
    env, _ = started(k_episodes=2)
    obs, reward, terminated, truncated, info = env.step(Y_UP)
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info == {"AMAGO_LOG_METRIC Episode 0 Success": 0.0}
    np.testing.assert_array_equal(obs, np.float32([0, 0, 1, 0.5]))


def test_recover_mode_takes_the_step_into_a_hole_back():
    env, _ = started(recover_mode=True)
    obs, reward, _, _, info = env.step(Y_UP)
    assert reward == pytest.approx(-0.1)
    assert info == {}
    np.testing.assert_array_equal(obs, np.zeros(4, np.float32))


def test_an_attempt_ends_at_its_time_limit():
    env, _ = started(k_episodes=2)
    steps = play(env, [STAY] * 9)  # size ** 2
    assert [bool(s[4]) for s in steps] == [False] * 8 + [True]
    assert steps[-1][4] == {"AMAGO_LOG_METRIC Episode 0 Success": 0.0}


@pytest.mark.parametrize(
    ("kwargs", "limit"),
    [
        ({}, 9),
        ({"hard_mode": True}, 18),
        ({"slip_chance": 0.25}, 12),
        ({"hard_mode": True, "slip_chance": 0.5}, 36),
        ({"max_episode_steps": 7, "slip_chance": 0.5}, 7),
    ],
)
def test_time_limit_of_an_attempt(kwargs, limit):
    assert MetaFrozenLake(3, **kwargs).max_episode_steps == limit


def test_moves_against_the_edge_stay():
    env, first = started()
    for action in (X_DOWN, Y_DOWN, STAY):
        np.testing.assert_array_equal(env.step(action)[0][:2], first[:2])


def test_hidden_progress_is_zero():
    env, _ = started(k_episodes=2, show_k_progress=False)
    assert env.step(Y_UP)[0][3] == 0.0


def test_a_certain_looking_slip_keeps_the_agent_in_place():
    env, _ = started(slip_chance=0.999)
    assert all(env.step(X_UP)[0][0] == 0 for _ in range(20))


def test_hard_mode_exchanges_axes_in_about_half_of_the_lakes():
    env = MetaFrozenLake(4, hard_mode=True)
    env.reset(seed=0)
    swapped = []
    for _ in range(400):
        env.reset()
        env.step(X_UP)
        swapped.append(env._moves[X_UP] == (0, 1))
    assert 0.4 < np.mean(swapped) < 0.6


def test_hard_mode_noise_and_cracks_have_their_frequencies():
    class Meadow(MetaFrozenLake):
        def generate_lake(self):
            return ["S" + "F" * 8, *["F" * 9] * 7, "F" * 8 + "G"]

    env = Meadow(9, hard_mode=True, k_episodes=10**6)
    env.reset(seed=1)
    env._x = env._y = 4  # away from the edges, where noise would be clipped
    seen = np.array([env.make_obs(False)[:2] * 9 - 4 for _ in range(4000)])
    off = np.abs(seen).max(axis=1) > 0.5
    assert 0.22 < off.mean() < 0.28
    np.testing.assert_allclose(np.abs(seen[off]), 1.0, atol=1e-5)  # both coordinates, by one

    cracks = []
    for _ in range(2000):
        env.soft_reset()
        env.step(X_UP)
        cracks.append("H" in "".join("".join(row) for row in env._lake))
    assert 0.29 < np.mean(cracks) < 0.37


def test_cracks_are_repaired_between_attempts():
    env = KnownLake(size=3, hard_mode=True)
    env.reset(seed=0)
    play(env, [X_UP, X_DOWN] * 50)
    env.soft_reset()
    assert ["".join(row) for row in env._lake] == LAKE


def rollout(env, seed, actions):
    trace = [env.reset(seed=seed)[0]]
    trace += [np.append(step[0], step[1]) for step in play(env, actions)]
    return np.concatenate(trace)


@pytest.mark.parametrize("hard_mode", [False, True])
def test_a_seed_fixes_the_whole_rollout(hard_mode):
    actions = np.random.default_rng(0).integers(5, size=500)

    def lake():
        return MetaFrozenLake(5, k_episodes=4, hard_mode=hard_mode, slip_chance=0.3)

    used = lake()
    rollout(used, 3, actions)
    np.testing.assert_array_equal(rollout(used, 7, actions), rollout(lake(), 7, actions))
    assert not np.array_equal(rollout(lake(), 7, actions), rollout(lake(), 8, actions))


def test_unseeded_resets_give_other_lakes():
    env = MetaFrozenLake(6)
    env.reset(seed=0)
    lakes = {"".join(env.generate_lake()) for _ in range(20)}
    assert len(lakes) == 20


def test_observations_do_not_alias():
    env, first = started()
    env.step(X_UP)
    np.testing.assert_array_equal(first, np.float32([0, 0, 1, 0]))


@pytest.mark.parametrize("kwargs", [{}, {"hard_mode": True}, {"recover_mode": True}])
def test_gymnasium_accepts_it(kwargs):
    check_env(MetaFrozenLake(4, **kwargs), skip_render_check=True)


def test_every_observation_is_in_the_space():
    env = MetaFrozenLake(3, k_episodes=3, hard_mode=True)
    rng = np.random.default_rng(0)
    for seed in range(20):
        obs, _ = env.reset(seed=seed)
        terminated = False
        while not terminated:
            assert env.observation_space.contains(obs)
            obs, _, terminated, _, _ = env.step(int(rng.integers(5)))
        assert env.observation_space.contains(obs)


def test_render_prints_the_lake(capsys):
    env, _ = started()
    env.step(X_UP)
    env.render()
    assert capsys.readouterr().out == "SHF\n*FF\nFFG\n\n"


@pytest.mark.parametrize("kwargs", [{"size": 1}, {"size": 3, "k_episodes": 0}])
def test_impossible_sizes_are_refused(kwargs):
    with pytest.raises(ConfigError, match="needs size >= 2"):
        MetaFrozenLake(**kwargs)


def test_a_certain_slip_is_refused():
    with pytest.raises(ConfigError, match=r"slip_chance in \[0, 1\)"):
        MetaFrozenLake(3, slip_chance=1.0)
