import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amago.core.errors import ConfigError
from amago.loading.slicing import MODES, random_window, start_range, window_at


def windows(num_transitions, length, mode):
    low, high = start_range(num_transitions, length, mode)
    return [window_at(start, num_transitions, length, mode) for start in range(low, high + 1)]


@pytest.mark.parametrize(
    "mode, expected",
    [
        ("none", [(0, 3), (1, 4), (2, 5)]),
        ("left", [(0, 1), (0, 2), (0, 3), (1, 4), (2, 5)]),
        ("right", [(0, 3), (1, 4), (2, 5), (3, 5)]),
        ("both", [(0, 1), (0, 2), (0, 3), (1, 4), (2, 5), (3, 5)]),
        ("center", [(0, 3), (0, 3), (1, 4), (2, 5), (2, 5)]),
    ],
)
def test_windows_of_3_out_of_5_transitions(mode, expected):
    assert windows(5, 3, mode) == expected


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(MODES), st.integers(0, 99))
def test_a_window_lies_inside_and_is_neither_empty_nor_too_long(n, length, mode, seed):
    start, stop = random_window(n, length, mode, np.random.default_rng(seed))
    assert 0 <= start < stop <= n
    assert stop - start <= length
    if n <= length:
        assert (start, stop) == (0, n)
    elif mode in ("none", "center"):
        assert stop - start == length


@given(st.integers(2, 30), st.integers(1, 29), st.sampled_from(MODES))
def test_random_windows_are_those_of_the_range(n, length, mode):
    length = min(length, n - 1)
    rng = np.random.default_rng(0)
    drawn = {random_window(n, length, mode, rng) for _ in range(40 * n)}
    assert drawn == set(windows(n, length, mode))


def test_every_timestep_is_equally_likely_with_both():
    counts = np.zeros(20)
    for start, stop in windows(20, 6, "both"):
        counts[start:stop] += 1
    assert set(counts[:-1]) == {6}


def test_no_length_means_the_whole_trajectory():
    assert random_window(500, None, "both", np.random.default_rng(0)) == (0, 500)


def test_an_unknown_mode_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'center'"):
        start_range(5, 3, "centre")
