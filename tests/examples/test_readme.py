"""The code in the README runs as it is printed, with a budget of seconds."""

import ast
import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
SECONDS_LONG = {
    "epochs": 1,
    "parallel_actors": 2,
    "train_timesteps_per_epoch": 60,
    "train_batches_per_epoch": 2,
    "val_timesteps_per_epoch": 60,
    "batch_size": 2,
    "dloader_workers": 0,
    "verbose": False,
}


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def shortened(code: str) -> ast.Module:
    """The same program, with the budget of its `Experiment(...)` cut."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Experiment"):
            kept = [keyword for keyword in node.keywords if keyword.arg not in SECONDS_LONG]
            budget = [ast.keyword(name, ast.Constant(v)) for name, v in SECONDS_LONG.items()]
            node.keywords = kept + budget
    return ast.fix_missing_locations(tree)


def test_your_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment, training = blocks()
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(environment, "README.md", "exec"), names)
    exec(compile(shortened(training), "README.md", "exec"), names)
    assert (tmp_path / "runs" / "ten-buttons" / "config.json").exists()


def test_it_is_twelve_lines() -> None:
    training = blocks()[1]
    assert len([line for line in training.splitlines() if line.strip()]) <= 12
