import json

import pytest

from amago.dashboard.requests import Body, RequestError


def body(**entries):
    return Body(json.dumps(entries).encode())


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a": 1' + b"0" * 10_000 + b"}"]
)
def test_a_body_that_is_no_json_object_is_an_error(data):
    with pytest.raises(RequestError):
        Body(data)


def test_entries_are_checked_and_handed_out():
    entries = body(a="x", b=["p", "q", "p"], c=7, d=[3, 1], e=None)
    assert entries.text("a") == "x"
    assert entries.text("missing", "default") == "default"
    assert entries.texts("b") == ["p", "q"]
    assert entries.whole("c", 1, smallest=2, largest=5) == 5
    assert entries.whole("missing", 3, smallest=2, largest=5) == 3
    assert entries.span("d") == (1.0, 3.0)
    assert entries.span("e") == entries.span("missing") == (None, None)
    assert entries.choice("a", ["x", "y"], "y") == "x"


@pytest.mark.parametrize("value", [1, None, ["a"], {"a": 1}, True, "x" * 10_000])
def test_a_text_is_a_text_of_sensible_length(value):
    with pytest.raises(RequestError, match="'a'"):
        body(a=value).text("a")


@pytest.mark.parametrize("value", ["a", None, [1], [None], [["a"]], ["x"] * 10_000])
def test_a_list_of_texts_is_one(value):
    with pytest.raises(RequestError):
        body(a=value).texts("a")


@pytest.mark.parametrize("value", ["1", 1.5, True, [1]])
def test_a_whole_number_is_one(value):
    with pytest.raises(RequestError):
        body(a=value).whole("a", 1, 1, 9)


@pytest.mark.parametrize("value", [1, [1], [1, 2, 3], ["a", "b"], [None, 1], [True, 2], [1e999, 1]])
def test_a_span_is_two_numbers(value):
    with pytest.raises(RequestError):
        body(a=value).span("a")


@pytest.mark.parametrize("value", ["x", [1], [{}], [{"label": 1, "runs": []}], [{"label": "a"}]])
def test_groups_have_a_label_and_runs(value):
    with pytest.raises(RequestError):
        body(a=value).groups("a")
