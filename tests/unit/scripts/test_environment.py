import shutil

import pytest


def test_a_missing_compiler_is_recognised_in_the_log(monkeypatch):
    from environment import _hint

    monkeypatch.setattr(shutil, "which", lambda name: None)
    log = "error: command 'gcc' failed: No such file or directory"
    assert "apt install build-essential" in _hint(log)


def test_an_ordinary_failure_gets_no_hint():
    from environment import _hint

    assert _hint("ERROR: ResolutionImpossible") == ""


@pytest.mark.parametrize(
    ("line", "name"),
    [("torch>=2.6", "torch"), ("pyright[nodejs]>=1", "pyright"), ("gin-config==0.5", "gin-config")],
)
def test_the_name_of_a_requirement(line, name):
    from environment import _name

    assert _name(line) == name


def test_the_torch_free_environment_has_the_test_tools_and_nothing_that_pulls_torch():
    from environment import NEEDS_TORCH, TEST_TOOLS, _name, _torch_free_requirements

    names = {_name(requirement) for requirement in _torch_free_requirements()}
    assert names >= TEST_TOOLS | {"numpy", "gymnasium", "gin-config"}
    assert not names & NEEDS_TORCH


def test_an_installed_torch_is_used_without_being_pinned(tmp_path):
    from environment import _Maker
    from interpreters import Interpreter, Torch

    site = tmp_path / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    torch = Torch("2.9.1", "/elsewhere")
    python = Interpreter("python", "python", (3, 11, 2), can_venv=True, torch=torch)
    pins = _Maker(tmp_path).borrow_torch(python)
    assert pins is not None
    text = (tmp_path / "constraints.txt").read_text()
    assert "torch==" not in text
    assert "numpy==" in text
    assert (site / "borrowed_torch.pth").read_text() == "/elsewhere\n"


def test_a_torch_that_is_too_old_is_not_used(tmp_path):
    from environment import _Maker
    from interpreters import Interpreter, Torch

    old = Interpreter("python", "python", (3, 11, 2), can_venv=True, torch=Torch("2.5.1", "/x"))
    assert _Maker(tmp_path).borrow_torch(old) is None
