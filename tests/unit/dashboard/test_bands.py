import numpy as np
import pytest

from amago.dashboard.bands import (
    band_over_runs,
    bootstrap_interval,
    common_grid,
    interquartile_mean,
    onto_grid,
)


def curve(x, y):
    return np.array(x, dtype=float), np.array(y, dtype=float)


def test_mean_and_sample_deviation_of_two_runs_by_hand():
    line = band_over_runs([curve([0, 1], [1, 2]), curve([0, 1], [3, 6])])
    np.testing.assert_array_equal(line.x, [0, 1])
    np.testing.assert_array_equal(line.y, [2, 4])
    np.testing.assert_allclose(line.y - line.low, [np.sqrt(2), np.sqrt(8)])
    np.testing.assert_allclose(line.high - line.y, [np.sqrt(2), np.sqrt(8)])
    np.testing.assert_array_equal(line.counts, [2, 2])


def test_a_run_counts_between_its_own_first_and_last_x_only():
    line = band_over_runs([curve([0, 4], [0, 4]), curve([1, 2, 3], [10, 10, 10])], band="minmax")
    np.testing.assert_array_equal(line.x, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(line.counts, [1, 2, 2, 2, 1])
    np.testing.assert_array_equal(line.y, [0, 5.5, 6, 6.5, 4])
    np.testing.assert_array_equal(line.low, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(line.high, [0, 10, 10, 10, 4])


def test_runs_that_do_not_overlap_leave_out_the_grid_points_between_them():
    far = curve(np.linspace(100, 110, 30), np.ones(30))
    line = band_over_runs([curve(np.linspace(0, 10, 30), np.zeros(30)), far], points=12)
    assert line.counts.min() == 1
    assert not ((line.x > 10) & (line.x < 100)).any()


def test_a_grid_of_few_points_keeps_the_x_of_the_runs_and_a_long_one_is_even():
    np.testing.assert_array_equal(
        common_grid([np.array([0.0, 5]), np.array([0.0, 7])], 3), [0, 5, 7]
    )
    np.testing.assert_allclose(common_grid([np.arange(100.0)], 5), [0, 24.75, 49.5, 74.25, 99])


def test_of_several_values_at_one_x_the_last_counts():
    np.testing.assert_array_equal(
        onto_grid([curve([0, 1, 1, 2], [0, 5, 7, 9])], np.array([1.0])), [[7]]
    )


def test_points_that_are_not_finite_are_left_out():
    line = band_over_runs([curve([0, 1, 2, 3], [0, np.nan, 4, np.inf])])
    np.testing.assert_array_equal(line.x, [0, 2])
    np.testing.assert_array_equal(line.y, [0, 4])


@pytest.mark.parametrize("curves", [[], [curve([], [])], [curve([0], [np.nan])]])
@pytest.mark.parametrize("band", ["std", "minmax", "bootstrap"])
def test_nothing_to_show_is_an_empty_line(curves, band):
    line = band_over_runs(curves, band=band)
    assert [len(each) for each in (line.x, line.y, line.low, line.high, line.counts)] == [0] * 5


@pytest.mark.parametrize("band", ["std", "minmax", "bootstrap"])
@pytest.mark.parametrize("statistic", ["mean", "iqm"])
def test_the_band_of_a_single_run_has_no_width(band, statistic):
    line = band_over_runs([curve([0, 1], [3, 5])], band=band, statistic=statistic)
    np.testing.assert_array_equal(line.y, [3, 5])
    np.testing.assert_array_equal(line.low, line.y)
    np.testing.assert_array_equal(line.high, line.y)


@pytest.mark.parametrize(
    "values, expected",
    [
        ([7], 7),
        ([1, 5], 3),
        ([0, 6, 90], (0.25 * 0 + 1 * 6 + 0.25 * 90) / 1.5),
        ([100, 2, 3, -50], 2.5),
        ([5, 1, 2, 3, 1000], (0.75 * 2 + 3 + 0.75 * 5) / 2.5),
        ([8, 7, 6, 5, 4, 3, 2, 1], 4.5),
    ],
)
def test_interquartile_mean_by_hand(values, expected):
    assert interquartile_mean(np.array(values, float)[:, None]) == pytest.approx(expected)


def slow_iqm(values):
    """Each value four times: then a quarter is a whole number of them."""
    ordered = sorted(value for value in values for _ in range(4))
    middle = ordered[len(values) : 3 * len(values)]
    return sum(middle) / len(middle)


@pytest.mark.parametrize("num_runs", range(1, 12))
def test_interquartile_mean_agrees_with_plain_code(num_runs):
    values = np.random.default_rng(num_runs).normal(size=(num_runs, 6))
    expected = [slow_iqm(list(column)) for column in values.T]
    np.testing.assert_allclose(interquartile_mean(values), expected)


@pytest.mark.parametrize("statistic", ["mean", "iqm"])
def test_the_bootstrap_agrees_with_plain_code(statistic):
    values = np.random.default_rng(0).normal(size=(5, 3))
    values[1] = values[2]  # ties
    draws = np.random.default_rng(3).integers(5, size=(200, 5))
    centre = {"mean": lambda v: sum(v) / len(v), "iqm": slow_iqm}[statistic]
    samples = [[centre(list(values[draw, p])) for p in range(3)] for draw in draws]
    expected = np.percentile(samples, [2.5, 97.5], axis=0)
    low, high = bootstrap_interval(values, statistic, seed=3, resamples=200)
    np.testing.assert_allclose([low, high], expected)


def test_the_bootstrap_is_the_same_every_time_and_in_any_block_size(monkeypatch):
    curves = [curve(range(50), np.random.default_rng(i).normal(size=50)) for i in range(6)]
    whole = band_over_runs(curves, statistic="iqm", band="bootstrap")
    monkeypatch.setattr("amago.dashboard.bands._LARGEST_BLOCK", 20_000)
    parts = band_over_runs(curves, statistic="iqm", band="bootstrap")
    np.testing.assert_array_equal(whole.low, parts.low)
    np.testing.assert_array_equal(whole.high, parts.high)


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(40, 400))  # 400 experiments of 40 runs whose true mean is 0
    low, high = bootstrap_interval(values, "mean")
    assert 0.90 < ((low <= 0) & (high >= 0)).mean() < 0.98
