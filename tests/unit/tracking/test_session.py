import subprocess
import sys

import numpy as np

from amago.tracking.session import describe_session, git_state, package_versions

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@b.c")


def test_git_state_knows_commit_and_changes(tmp_path):
    assert git_state(tmp_path) is None
    (tmp_path / "file").write_text("one")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*GIT, *arguments], cwd=tmp_path, check=True)
    clean = git_state(tmp_path)
    assert clean is not None
    assert len(clean["commit"]) == 40
    assert not clean["is_dirty"]
    (tmp_path / "untracked").write_text("")
    assert git_state(tmp_path) == clean
    (tmp_path / "file").write_text("two")
    assert git_state(tmp_path) == clean | {"is_dirty": True}


def test_a_missing_git_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None


def test_versions_are_found_without_importing():
    assert package_versions()["numpy"] == np.__version__


def test_command_and_environment_are_redacted(monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["/usr/bin/python3", "train.py", "--api-key=x"])
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("AMAGO_WANDB_PROJECT", "mine")
    monkeypatch.setenv("UNRELATED", "not recorded")
    facts = describe_session()
    assert facts["command"][1:] == ["train.py", "--api-key=[redacted]"]
    assert facts["environment"]["WANDB_API_KEY"] == "[redacted]"
    assert facts["environment"]["AMAGO_WANDB_PROJECT"] == "mine"
    assert "UNRELATED" not in facts["environment"]
