import json
import math

import numpy as np
import pytest

from amago.dashboard.encoding import dumps, numbers


def test_what_is_not_finite_is_null():
    assert numbers(np.array([1.5, np.nan, np.inf, -np.inf])) == [1.5, None, None, None]
    answer = {"a": [math.nan, {"b": math.inf}], "c": np.float32(0.5), "d": np.array([1, np.nan])}
    assert json.loads(dumps(answer)) == {"a": [None, {"b": None}], "c": 0.5, "d": [1, None]}


def test_whole_numbers_have_no_decimal_point_and_lose_nothing():
    assert dumps(numbers(np.array([1.0, 2e9]))) == b"[1,2000000000]"
    assert numbers(np.array([1.0, 2.5])) == [1.0, 2.5]
    assert numbers(np.array([1e300])) == [1e300]
    assert numbers(np.array([])) == []


@pytest.mark.parametrize("text", ["\u2028", "\ud800", "\0", "</script>", '"\\'])
def test_any_text_survives(text):
    encoded = dumps({text: text})
    assert encoded.isascii()
    assert json.loads(encoded) == {text: text}
