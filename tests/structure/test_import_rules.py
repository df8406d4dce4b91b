"""The import rules hold, and each of them notices the import it is there to refuse."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = "from importlinter.cli import lint_imports_command as lint; lint()"

pytest.importorskip("importlinter", reason="a development tool; the torch-free half runs without")

VIOLATIONS = {
    "Imports point down": ("amago/core/names.py", "import amago.loading"),
    "siblings do not know": ("amago/training/learner.py", "import amago.tracking"),
    "without torch": ("amago/hindsight.py", "import torch"),
    "gin is spoken": ("amago/agent/agent.py", "import gin"),
    "W&B is spoken": ("amago/experiment/experiment.py", "import wandb"),
    "accelerate is spoken": ("amago/training/learner.py", "import accelerate"),
    "tensors only": ("amago/rl/returns.py", "import gymnasium"),
    "shelves": ("amago/loading/dataset.py", "import amago.utils"),
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the linter on the package that lies in `folder`."""
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-logo", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(
        ROOT / "amago", tmp_path / "amago", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_every_rule_is_kept() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_violation_is_noticed_by_its_rule(rule: str, copy: Path) -> None:
    file, line = VIOLATIONS[rule]
    with (copy / file).open("a") as source:
        source.write(f"\n{line}\n")
    broken = [text for text in lint(copy).stdout.splitlines() if " BROKEN" in text]
    assert any(rule in text for text in broken), broken
