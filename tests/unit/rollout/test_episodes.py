"""Returns, special metrics and frames of finished episodes."""

import numpy as np
import pytest

from amago.envs.histories import ReturnHistory, SpecialMetricHistory
from amago.envs.pool.base import PoolStep
from amago.hindsight import Timestep
from amago.rollout.episodes import (
    EpisodeStatistics,
    episode_metrics,
    evaluation_metrics,
    joined,
)


def step(reward, ended, names=("a", "b"), stepped=None, metrics=()):
    """A vector step of two environments; episodes end in a terminal state."""
    n = len(reward)
    timestep = Timestep(
        obs={"o": np.zeros((n, 1), np.float32)},
        prev_action=np.zeros((n, 1), np.float32),
        reward=np.array(reward, np.float32),
        time_idx=np.zeros(n, np.int64),
        terminal=np.array(ended, bool),
        batched_envs=n,
    )
    return PoolStep(
        timestep=timestep,
        final=timestep,
        reward=np.array(reward, np.float32),
        terminated=np.array(ended, bool),
        truncated=np.zeros(n, bool),
        started=np.array(ended, bool),
        stepped=np.ones(n, bool) if stepped is None else np.array(stepped, bool),
        env_names=list(names),
        metrics=list(metrics),
    )


def test_a_return_is_the_sum_of_rewards_of_one_episode():
    stats = EpisodeStatistics(2)
    for reward, ended in [([1, 0], [0, 0]), ([2, 5], [1, 0]), ([10, 5], [1, 1])]:
        stats.observe(step(reward, ended))
    assert stats.returns[0].data == {"a": [3.0, 10.0]}
    assert stats.returns[1].data == {"b": [10.0]}
    assert stats.episodes_finished == 3


def test_a_step_that_was_only_a_reset_counts_no_frame_and_no_reward():
    stats = EpisodeStatistics(2)
    stats.observe(step([1, 1], [0, 0]))
    stats.observe(step([7, 1], [0, 0], stepped=[False, True]))
    assert stats.frames == [1, 2]
    stats.observe(step([1, 1], [1, 1]))
    assert stats.returns[0].data == {"a": [2.0]}


def test_frames_belong_to_the_name_the_episode_had():
    stats = EpisodeStatistics(2)
    stats.observe(step([0, 0], [1, 0], names=("a", "b")))
    stats.observe(step([0, 0], [0, 0], names=("c", "b")))
    assert [dict(c) for c in stats.frames_by_env_name] == [{"a": 1, "c": 1}, {"b": 2}]


def test_a_name_is_known_with_no_frames_before_its_first_step():
    stats = EpisodeStatistics(2)
    stats.observe(step([0, 0], [0, 0], stepped=[False, False]))
    assert [list(c.items()) for c in stats.frames_by_env_name] == [[("a", 0)], [("b", 0)]]
    stats.observe(step([0, 0], [0, 0], names=("a", "c")))
    assert [dict(c) for c in stats.frames_by_env_name] == [{"a": 1}, {"b": 0, "c": 1}]
    assert stats.frames == [1, 1]


def test_clearing_keeps_frames_and_running_episodes():
    stats = EpisodeStatistics(2)
    stats.observe(step([1, 1], [0, 1]))
    stats.clear()
    stats.observe(step([1, 1], [1, 0]))
    assert stats.frames == [2, 2]
    assert stats.returns[0].data == {"a": [2.0]}
    assert stats.returns[1].data == {}


def test_a_restart_drops_running_returns_and_keeps_their_frames():
    stats = EpisodeStatistics(2)
    stats.observe(step([5, 5], [0, 0]))
    stats.restart()
    stats.observe(step([1, 1], [1, 1]))
    assert stats.returns[0].data == {"a": [1.0]}
    assert stats.frames == [2, 2]


def test_special_metrics_are_kept_by_name():
    stats = EpisodeStatistics(2)
    stats.observe(step([0, 0], [1, 1], metrics=[(1, "Success", [1.0, 0.0])]))
    assert stats.specials[1].data == {"b": {"Success": [1.0, 0.0]}}


def test_the_overall_average_weighs_names_not_episodes():
    returns = ReturnHistory("")
    for name, score in [("easy", 1.0), ("easy", 1.0), ("easy", 1.0), ("hard", 0.0)]:
        returns.add_score(name, score)
    metrics = evaluation_metrics([returns], [])
    assert metrics["Average Total Return in easy"] == 1.0
    assert metrics["Average Total Return (Across All Env Names)"] == 0.5


def test_the_bottom_quintile_is_the_20th_percentile():
    returns = ReturnHistory("")
    for score in [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]:
        returns.add_score("x", score)
    metrics = evaluation_metrics([returns], [])
    assert metrics["Bottom Quintile Total Return in x"] == pytest.approx(1.0)


def test_no_finished_episode_gives_no_value_rather_than_nan():
    assert evaluation_metrics([ReturnHistory("")], [SpecialMetricHistory("")]) == {}
    assert episode_metrics([ReturnHistory("")]) == {"Episodes Finished": 0}


def test_a_name_without_an_episode_or_a_sample_has_no_metric():
    returns, specials = history(a=[1.0], b=[]), SpecialMetricHistory("")
    specials.add_score("a", "Success", [])
    assert set(evaluation_metrics([returns], [specials])) == {
        "Average Total Return in a",
        "Bottom Quintile Total Return in a",
        "Average Total Return (Across All Env Names)",
    }


def history(**scores):
    made = ReturnHistory("")
    made.data = scores
    return made


def test_beside_the_mean_of_names_stands_the_mean_of_episodes():
    returns = [history(easy=[1.0, 1.0], hard=[0.0]), history(easy=[1.0])]
    assert episode_metrics(returns) == {
        "Episodes Finished": 4,
        "Average Total Return (Across All Episodes)": 0.75,
    }


def test_what_an_environment_calls_its_total_return_does_not_replace_the_return():
    specials = SpecialMetricHistory("")
    specials.add_score("a", "Total Return", [100.0])
    metrics = evaluation_metrics([history(a=[3.0])], [specials])
    assert metrics["Average Total Return in a"] == 3.0


def test_an_episode_counts_once_whichever_process_it_was_in():
    specials = SpecialMetricHistory("")
    specials.add_score("a", "Success", [1.0, 0.0])
    many = ([history(a=[0.0, 0.0, 0.0]), history(b=[7.0])], [specials])
    few = ([history(a=[4.0])], [])
    nobody = ([history()], [SpecialMetricHistory("")])
    assert evaluation_metrics(*joined([many, few, nobody])) == {
        "Average Total Return in a": 1.0,  # the mean of the processes' means would be 2
        "Bottom Quintile Total Return in a": 0.0,
        "Average Total Return in b": 7.0,
        "Bottom Quintile Total Return in b": 7.0,
        "Average Success in a": 0.5,
        "Average Total Return (Across All Env Names)": 4.0,
    }


def test_of_an_episode_that_a_fault_cut_off_only_the_frames_count():
    stats = EpisodeStatistics(2)
    stats.observe(step([5, 1], [0, 0], names=("old", "b")))
    cut = step([0, 1], [0, 0], names=("new", "b"), stepped=[False, True])
    cut.interrupted[0] = cut.started[0] = True
    stats.observe(cut)
    stats.observe(step([2, 1], [1, 1], names=("new", "b")))
    assert [history.data for history in stats.returns] == [{"new": [2.0]}, {"b": [3.0]}]
    assert [dict(c) for c in stats.frames_by_env_name] == [{"old": 1, "new": 1}, {"b": 3}]
    assert stats.episodes_finished == 2


def test_statistics_go_on_where_they_were_saved(through_checkpoint):
    first, second = EpisodeStatistics(2), EpisodeStatistics(2)
    first.observe(step([1, 7], [0, 1], metrics=[(1, "Success", [1, 0.5])]))
    state = first.state_dict()
    saved = through_checkpoint(state)
    first.observe(step([1, 1], [1, 1], metrics=[(1, "Success", 1)]))
    assert state["returns"] == [{}, {"b": [7.0]}]
    second.load_state_dict(saved)
    second.observe(step([1, 1], [1, 1], metrics=[(1, "Success", 1)]))
    for ours, theirs in ((second.returns, first.returns), (second.specials, first.specials)):
        assert [history.data for history in ours] == [history.data for history in theirs]
    assert second.episodes_finished == first.episodes_finished == 3
    assert (second.frames, first.frames) == ([1, 1], [2, 2])


def test_statistics_of_other_environments_are_left_aside():
    first, second = EpisodeStatistics(2), EpisodeStatistics(3)
    first.observe(step([1, 7], [0, 1]))
    second.load_state_dict(first.state_dict())
    assert [history.data for history in second.returns] == [{}] * 3
