import json
from pathlib import Path

import numpy as np
import pytest

from amago.tracking.config_files import changes, jsonable, write_config, write_text


class Thing:
    def method(self):
        pass


def test_config_json_holds_every_value_and_no_secret(tmp_path):
    config = {"gamma": 0.99, "agent": Thing, "env": {"api_key": "x", "key_location": (0, 1)}}
    write_config(tmp_path / "run", config, "Agent.gamma = 0.99\nA.token = 'x'\n")
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert written == {
        "gamma": 0.99,
        "agent": f"{__name__}.Thing",
        "env": {"api_key": "[redacted]", "key_location": [0, 1]},
    }
    gin_text = (tmp_path / "run" / "config.gin").read_text()
    assert gin_text == "Agent.gamma = 0.99\nA.token = [redacted]\n"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        *("config.gin", "config.json")
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("inf"), "inf"),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (Path("/a/b"), "/a/b"),
        ({"b", "a"}, ["a", "b"]),
        (np.array([1, 2]), [1, 2]),
        (np.zeros((100, 2)), "array of float64, shape (100, 2)"),
        ({1: None}, {"1": None}),
        (1 + 2j, "(1+2j)"),
        (len, "builtins.len"),
    ],
)
def test_any_value_has_a_json_form(value, expected):
    assert jsonable(value) == expected
    json.dumps(jsonable(value), allow_nan=False)


def test_two_objects_of_a_kind_look_the_same():
    assert jsonable(Thing()) == jsonable(Thing())
    assert "Thing" in jsonable(Thing())


def test_changes_name_what_differs():
    old = {"a": {"b": 1, "c": 2}, "d": [1], "e": {}}
    new = {"a": {"b": 1, "c": 3}, "d": [1], "f": None}
    assert changes(old, new) == {"a.c": [2, 3], "e": [{}, None]}


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "config.json"
    write_text(file, "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.rename", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
