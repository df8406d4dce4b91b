import numpy as np
import pytest

from amago.core.errors import AmagoWarning
from amago.tracking.base import FanOut, NullTracker


class Remembers(NullTracker):
    def __init__(self):
        self.rows = []

    def log(self, row):
        self.rows.append(row)


class Broken:
    def config(self, config):
        raise OSError("no")

    def log(self, row):
        raise ValueError("no row")

    def finish(self, status):
        raise RuntimeError("no end")


def test_a_tracker_that_raises_stops_neither_the_others_nor_the_run():
    said, good = [], Remembers()
    trackers = FanOut([Broken(), good], warn=said.append)
    trackers.config({})
    for step in range(3):
        trackers.log({"Epoch": step})
    trackers.finish("finished")
    assert [row["Epoch"] for row in good.rows] == [0, 1, 2]
    assert len(said) == 3  # one for each kind of call
    assert "Broken.log failed (ValueError: no row)" in said[1]


def test_every_tracker_gets_plain_numbers():
    tracker = Remembers()
    FanOut([tracker]).log({"a/x": np.float32(0.5), "a/y": np.array(2), "a/z": True})
    assert tracker.rows == [{"a/x": 0.5, "a/y": 2, "a/z": True}]
    assert [type(value) for value in tracker.rows[0].values()] == [float, int, bool]


@pytest.mark.parametrize("value", [np.zeros(3), [1.0], object()])
def test_what_is_not_a_scalar_is_left_out_with_a_warning_that_names_it(value):
    tracker = Remembers()
    with pytest.warns(AmagoWarning, match="metric 'a/x' was not recorded"):
        FanOut([tracker]).log({"a/x": value, "a/y": 1.0})
    assert tracker.rows == [{"a/y": 1.0}]
