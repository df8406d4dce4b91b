"""Names that a run may have: they are folders, and are shown in many places."""

import pytest

from amago.core.errors import ConfigError
from amago.experiment.checks import folder_name_problem


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("", "empty"),
        (".", "empty"),
        ("..", "empty"),
        ("a/b", "'/'"),
        ("../elsewhere", "'/'"),
        ("..\\elsewhere", "'/'"),
        ("two\nlines", "control characters"),
        ("\x1b[31mred", "control characters"),
        ("nul\0", "control characters"),
        ("half \ud800", "half a character"),
        ("x" * 300, "300 are too many"),
        ("é" * 101, "202 are too many"),
    ],
)
def test_a_name_that_can_be_no_folder_is_refused_with_the_reason(name, part):
    problem = folder_name_problem(name)
    assert problem is not None
    assert part in problem


@pytest.mark.parametrize(
    "name",
    ["CartPole 1", "<script>", "\"quoted\" 'twice'", "\u202egnp.exe", "實驗", "...", "x" * 200],
)
def test_a_name_that_is_merely_odd_is_welcome(name):
    assert folder_name_problem(name) is None


def test_an_experiment_with_such_a_name_does_not_start(make_tiny, tmp_path):
    experiment = make_tiny(run_name="..", root=tmp_path / "root")
    with pytest.raises(ConfigError, match=r"run_name is '\.\.'; it names a folder"):
        experiment.start()
    assert {path.relative_to(tmp_path).parts[:2] for path in tmp_path.rglob("*")} == {
        ("root",),
        ("root", "data"),  # the buffer's, made with the dataset
    }


def test_an_odd_name_is_one_folder_with_the_checkpoints_in_it(make_tiny, tmp_path):
    name = "<script>\"'\u202e" + "x" * 180
    experiment = make_tiny(run_name=name, epochs=1)
    experiment.start()
    experiment.learn()
    assert {path.name for path in tmp_path.iterdir()} == {name, "data"}
    again = make_tiny(run_name=name, epochs=1)
    again.start()
    assert again.resume()
