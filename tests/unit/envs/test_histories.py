import numpy as np
import pytest

from amago.core.errors import AmagoWarning
from amago.envs.histories import ReturnHistory, SpecialMetricHistory


def test_returns_are_kept_by_environment_name():
    history = ReturnHistory("unused")
    history.add_score("a", 1.0)
    history.add_score("b", 2.0)
    history.add_score("a", 3.0)
    assert history.data == {"a": [1.0, 3.0], "b": [2.0]}


def test_metrics_lose_the_prefix_and_outer_white_space():
    history = SpecialMetricHistory("unused")
    history.add_score("a", "AMAGO_LOG_METRIC  Final  Ratio ", 0.5)
    history.add_score("a", "Success", 1)
    assert history.data == {"a": {"Final  Ratio": [0.5], "Success": [1]}}


class FakeTensor:
    """Stands in for a tensor that requires a gradient."""

    def detach(self):
        return self

    def cpu(self):
        return np.array([[1.0], [2.0]])


@pytest.mark.parametrize(
    "value, samples",
    [
        (3, [3]),
        (np.float32(0.5), [0.5]),
        (True, [True]),
        ([1, 2], [1, 2]),
        ((0.0, 1.0), [0.0, 1.0]),
        (np.array([[1.0, 2.0], [3.0, 4.0]]), [1.0, 2.0, 3.0, 4.0]),
        (np.array(7), [7]),
        (FakeTensor(), [1.0, 2.0]),
        ([], []),
    ],
)
def test_every_number_in_a_value_is_a_sample(value, samples):
    history = SpecialMetricHistory("unused")
    history.add_score("a", "m", value)
    assert history.data["a"]["m"] == samples


def test_the_callers_list_does_not_grow():
    history = SpecialMetricHistory("unused")
    mine = [1, 2]
    history.add_score("a", "m", mine)
    history.add_score("a", "m", 3)
    assert mine == [1, 2]
    assert history.data["a"]["m"] == [1, 2, 3]


@pytest.mark.parametrize("value", ["high", None, ["a"], {"x": 1}, [[1], [1, 2]]])
def test_what_is_no_number_is_ignored_with_a_warning(value):
    history = SpecialMetricHistory("unused")
    with pytest.warns(AmagoWarning, match="metric 'm' of environment 'a'.*ignored"):
        history.add_score("a", "m", value)
    assert history.data == {}
