import inspect
import textwrap

import numpy as np
import pytest

from amago.core.errors import AmagoWarning, ConfigError
from amago.tracking import base
from amago.tracking.base import FanOut, NullTracker, TrackerContext, make_trackers


class Remembers(NullTracker):
    def __init__(self):
        self.rows = []

    def config(self, config):
        self.settings = config

    def log(self, row):
        self.rows.append(row)


class Broken:
    def config(self, config):
        raise OSError("no")

    def log(self, row):
        raise ValueError("no row")

    def finish(self, status):
        raise RuntimeError("no end")


def test_a_tracker_that_raises_stops_neither_the_others_nor_the_run_and_is_named_once():
    said, good = [], Remembers()
    trackers = FanOut([Broken(), good], warn=said.append)
    trackers.config({})
    for step in range(3):
        trackers.log({"Epoch": step})
    trackers.finish("finished")
    assert [row["Epoch"] for row in good.rows] == [0, 1, 2]
    assert said == ["Broken.config failed (OSError: no). The run goes on; this is said once."]


def test_every_tracker_that_raises_is_named():
    said = []
    FanOut([Broken(), NullTracker(), Broken()], warn=said.append).log({"Epoch": 1})
    assert len(said) == 2
    assert all("Broken.log failed (ValueError: no row)" in line for line in said)


def test_every_tracker_gets_plain_numbers():
    tracker = Remembers()
    FanOut([tracker]).log({"a/x": np.float32(0.5), "a/y": np.array(2), "a/z": True})
    assert tracker.rows == [{"a/x": 0.5, "a/y": 2, "a/z": True}]
    assert [type(value) for value in tracker.rows[0].values()] == [float, int, bool]


def test_no_tracker_gets_a_secret():
    tracker = Remembers()
    FanOut([tracker]).config({"api_key": "HIDE-ME", "agent": {"gamma": 0.9}})
    assert tracker.settings == {"api_key": "[redacted]", "agent": {"gamma": 0.9}}


@pytest.mark.parametrize("value", [np.zeros(3), [1.0], object()])
def test_what_is_not_a_scalar_is_left_out_with_a_warning_that_names_it(value):
    tracker = Remembers()
    with pytest.warns(AmagoWarning, match="metric 'a/x' was not recorded"):
        FanOut([tracker]).log({"a/x": value, "a/y": 1.0})
    assert tracker.rows == [{"a/y": 1.0}]


# ------------------------------------------------------------------------- trackers of one's own


@pytest.fixture
def context(tmp_path):
    return TrackerContext("my run", tmp_path, default_axis="gradient_steps")


def test_a_tracker_is_given_as_a_class_a_function_or_an_object(context):
    class WithContext(NullTracker):
        def __init__(self, context):
            self.context = context

    made = Remembers()
    by_class, by_function, as_given = make_trackers(
        [WithContext, lambda context: WithContext(context), made], context
    )
    assert by_class.context is by_function.context is context
    assert as_given is made


def test_an_object_that_is_callable_and_a_tracker_is_not_called(context):
    class Callable(NullTracker):
        def __call__(self, context):
            raise AssertionError("called")

    tracker = Callable()
    assert make_trackers([tracker], context) == [tracker]


@pytest.mark.parametrize("wrong", ["wandb", 3, lambda context: None, dict])
def test_what_is_no_tracker_is_refused_with_what_one_is(context, wrong):
    with pytest.raises((ConfigError, TypeError), match=r"is no tracker|TrackerContext"):
        make_trackers([wrong], context)


def test_the_documented_example_works_as_it_stands(context):
    """The code block of the module's docstring, without the line that makes an experiment."""
    _, _, example = inspect.cleandoc(base.__doc__ or "").partition("    import csv")
    code, _, _ = f"    import csv{example}".partition("    experiment = ")
    names: dict = {}
    exec(textwrap.dedent(code), names)
    trackers = FanOut(make_trackers([names["CsvTracker"]], context), warn=pytest.fail)
    trackers.config({"experiment": {"seed": 3}})
    trackers.log({"gradient_steps": 5, "total_frames": 0, "train/Loss": 0.5, "train/Note": "x"})
    trackers.finish("finished")
    written = (context.run_dir / "numbers.csv").read_text().splitlines()
    assert written == [",seed,3", "5,train/Loss,0.5", ",status,finished"]
    trackers.trackers[0].file.close()
