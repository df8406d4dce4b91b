"""What an evaluation reports does not depend on who ran which episode."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amago.envs.histories import ReturnHistory, SpecialMetricHistory
from amago.rollout.episodes import episode_metrics, evaluation_metrics, joined

NUMBERS = st.floats(-1e6, 1e6)
NAMES = st.text(min_size=1, max_size=8)
EPISODES = st.lists(st.tuples(NAMES, NUMBERS), max_size=40)
"""Environment name and return of each."""


def deal(episodes, places):
    """The histories of several processes; each episode goes to one of its `places`."""
    ranks = [([ReturnHistory("")], [SpecialMetricHistory("")]) for _ in range(3)]
    for (name, score), place in zip(episodes, places, strict=True):
        returns, specials = ranks[place]
        returns[0].add_score(name, score)
        specials[0].add_score(name, "Success", [score, -score, 1.0])
    return ranks


@given(st.data(), EPISODES)
def test_how_episodes_are_spread_over_processes_changes_nothing(data, episodes):
    length = len(episodes)
    places = data.draw(st.lists(st.integers(0, 2), min_size=length, max_size=length))
    one = joined(deal(episodes, [0] * length))
    many = joined(deal(episodes, places))
    assert evaluation_metrics(*many) == pytest.approx(evaluation_metrics(*one), abs=1e-6)
    assert episode_metrics(many[0]) == pytest.approx(episode_metrics(one[0]), abs=1e-6)


@given(EPISODES)
def test_every_metric_is_what_a_plain_computation_gives(episodes):
    returns, specials = joined(deal(episodes, [0] * len(episodes)))
    metrics = evaluation_metrics(returns, specials)
    names = dict.fromkeys(name for name, _ in episodes)
    expected, means = {}, []
    for name in names:
        scores = sorted(score for owner, score in episodes if owner == name)
        means.append(math.fsum(scores) / len(scores))
        expected[f"Average Total Return in {name}"] = means[-1]
        expected[f"Bottom Quintile Total Return in {name}"] = bottom_quintile(scores)
        expected[f"Average Success in {name}"] = 1 / 3
    if names:
        average = math.fsum(means) / len(means)
        expected["Average Total Return (Across All Env Names)"] = average
    assert metrics == pytest.approx(expected, abs=1e-6)
    assert np.isfinite(list(metrics.values())).all()
    assert episode_metrics(returns)["Episodes Finished"] == len(episodes)


def bottom_quintile(scores):
    """Of sorted numbers: a fifth of the way, on a straight line between neighbours."""
    place = 0.2 * (len(scores) - 1)
    low = math.floor(place)
    high = min(low + 1, len(scores) - 1)
    return scores[low] + (place - low) * (scores[high] - scores[low])
