"""`amago bench`: the suite's own command line, wherever the suite is."""

import subprocess
import sys
from pathlib import Path

import pytest

from amago.cli import bench
from amago.cli.main import main
from amago.core.errors import AmagoError

ROOT = Path(__file__).parents[3]


def test_it_lists_the_cases(capsys):
    assert main(["bench", "--list", "train/short"]) == 0
    assert capsys.readouterr().out.startswith("train/short ")


def test_a_checkout_is_enough(tmp_path):
    """The suite lies beside the package, and is on nobody's path."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from amago.cli.main import main; "
    code += "sys.exit(main(['bench', '--list', 'train/short']))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True
    )
    assert done.stdout.startswith("train/short "), done.stderr


def test_without_the_suite_it_is_said_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    monkeypatch.setattr(bench, "_BESIDE", tmp_path)
    with pytest.raises(AmagoError, match="Run this in a checkout, or reinstall amago"):
        bench._suite()
