"""A checkpoint that was altered is refused by the name of its file, and never runs code."""

import io
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from amago.checkpoint.run_state import load_state, newest_valid, save_state, verify
from amago.checkpoint.weights import load_policy
from amago.core.errors import AmagoWarning, CheckpointError

PARTS = {
    "model": {"weight": torch.full((3,), 0.5), "counts": np.array([7.0])},
    "progress": {"epoch": 3, "files": ["a.npz"]},
}


def assert_loads(path: Path) -> None:
    assert repr(load_state(path)) == repr(PARTS)


FILES = ["MANIFEST.json", "model.json", "model.safetensors", "progress.json"]


def truncated(content: bytes) -> list[bytes]:
    return [content[:size] for size in [*range(0, len(content), 64), len(content) - 1]]


def longer(content: bytes) -> list[bytes]:
    return [content + b" ", content + b"\n", content + b"\0", content + content]


def flipped(content: bytes) -> list[bytes]:
    """One bit of every third byte, each of the eight in turn."""
    damaged = []
    for place in range(0, len(content), 3):
        changed = bytearray(content)
        changed[place] ^= 1 << (place // 3 % 8)
        damaged.append(bytes(changed))
    return damaged


def test_these_are_all_the_files_of_a_state(tmp_path: Path):
    save_state(tmp_path / "s", PARTS)
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == FILES


@pytest.mark.parametrize("damage", [truncated, longer, flipped])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_by_name(
    name: str, damage: Callable[[bytes], list[bytes]], tmp_path: Path
):
    save_state(tmp_path / "s", PARTS)
    path = tmp_path / "s" / name
    content = path.read_bytes()
    for damaged in damage(content):
        path.write_bytes(damaged)
        for read in (load_state, verify):
            with pytest.raises(CheckpointError, match=re.escape(name)):
                read(tmp_path / "s")
    path.write_bytes(content)
    assert_loads(tmp_path / "s")


@pytest.mark.parametrize("damage", [truncated, flipped])
@pytest.mark.parametrize("name", FILES)
def test_a_run_falls_back_to_the_state_before_a_damaged_one_and_says_so(
    name: str, damage: Callable[[bytes], list[bytes]], tmp_path: Path
):
    for epoch in (1, 2):
        save_state(tmp_path / f"run_epoch_{epoch}", PARTS)
    path = tmp_path / "run_epoch_2" / name
    path.write_bytes(damage(path.read_bytes())[-1])
    with pytest.warns(AmagoWarning, match=re.escape(f"run_epoch_2/{name}")):
        assert newest_valid(tmp_path) == tmp_path / "run_epoch_1"


# ----------------------------------------------------------------------------------- hostile files


class RunsCode:
    """Unpickled, it makes a folder."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


def test_weights_that_carry_code_are_refused_and_do_not_run_it(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.ones(1), "more": RunsCode()}, "archive.pt")
    Path("pickle.pt").write_bytes(pickle.dumps(RunsCode()))
    for name in ("archive.pt", "pickle.pt"):
        with pytest.raises(CheckpointError, match=name):
            load_policy(name)
    assert not Path("executed").exists()


def test_a_state_is_read_without_unpickling_anything(tmp_path: Path, monkeypatch):
    save_state(tmp_path / "s", PARTS, info={"step": 1})
    (tmp_path / "s" / "evil.pkl").write_bytes(pickle.dumps(RunsCode()))

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("something was unpickled")

    for module, name in [
        (pickle, "load"),
        (pickle, "loads"),
        (pickle, "Unpickler"),
        (pickle, "_Unpickler"),
        (torch, "load"),
        (np, "load"),
    ]:
        monkeypatch.setattr(module, name, refuse)
    assert_loads(tmp_path / "s")
    assert newest_valid(tmp_path) == tmp_path / "s"


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_pickle_in_place_of_a_file_of_a_state_is_refused(name: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_state(tmp_path / "s", PARTS)
    evil = io.BytesIO()
    torch.save(RunsCode(), evil)
    (tmp_path / "s" / name).write_bytes(evil.getvalue())
    with pytest.raises(CheckpointError, match=re.escape(name)):
        load_state(tmp_path / "s")
    assert not Path("executed").exists()
