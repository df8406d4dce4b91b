"""A training state is whole and verified, or it is not there."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from amago.checkpoint import run_state
from amago.checkpoint.run_state import (
    best,
    load_state,
    newest_valid,
    prune,
    read_info,
    remove,
    save_state,
    verify,
)
from amago.core.errors import AmagoWarning, CheckpointError


def parts(value: float) -> dict[str, Any]:
    """A small state in which everything says `value`."""
    return {
        "model": {"weight": torch.full((3,), value), "steps": torch.tensor(int(value))},
        "dataset": {"files": [f"{value}.npz"], "weights": np.array([value])},
        "progress": {"epoch": value, "best": math.inf},
    }


def value_in(path: Path) -> float:
    """Which state it is, after checking that all of its parts agree."""
    state = load_state(path)
    value = state["progress"]["epoch"]
    assert state["model"]["weight"].tolist() == [value] * 3
    assert state["dataset"]["files"] == [f"{value}.npz"]
    assert state["dataset"]["weights"].tolist() == [value]
    return value


def visible(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def hidden(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


def test_a_state_comes_back(tmp_path: Path):
    save_state(tmp_path / "run_epoch_3", parts(2.0), info={"step": 7})
    assert value_in(tmp_path / "run_epoch_3") == 2.0
    assert load_state(tmp_path / "run_epoch_3")["progress"]["best"] == math.inf
    assert read_info(tmp_path / "run_epoch_3") == {"step": 7}
    assert hidden(tmp_path) == []


def test_info_is_plain_values(tmp_path: Path):
    info = {"score": math.inf, "step": 3, "names": ["a"], "place": None}
    save_state(tmp_path / "s", parts(1.0), info=info)
    assert read_info(tmp_path / "s") == info
    save_state(tmp_path / "s", parts(1.0), info={"score": np.float32(0.5)})
    assert read_info(tmp_path / "s") == {"score": 0.5}
    with pytest.raises(CheckpointError, match="info holds tensors or arrays"):
        save_state(tmp_path / "s", parts(2.0), info={"scores": np.ones(2)})
    assert value_in(tmp_path / "s") == 1.0


def test_the_folder_holds_json_safetensors_and_a_manifest_only(tmp_path: Path):
    save_state(tmp_path / "s", parts(1.0))
    assert visible(tmp_path / "s") == [
        "MANIFEST.json",
        "dataset.json",
        "dataset.safetensors",
        "model.json",
        "model.safetensors",
        "progress.json",
    ]


def test_saving_again_replaces_the_state(tmp_path: Path):
    for value in (1.0, 2.0):
        save_state(tmp_path / "s", parts(value))
    assert value_in(tmp_path / "s") == 2.0
    assert visible(tmp_path) == ["s"]
    assert hidden(tmp_path) == []


class Training:
    """A tiny network trained with AdamW and a schedule on a stream of batches."""

    def __init__(self) -> None:
        torch.manual_seed(3)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda i: 1 / (i + 1))

    def train(self, updates: range) -> None:
        for update in updates:
            generator = torch.Generator().manual_seed(update)
            loss = self.model(torch.randn(5, 3, generator=generator)).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }


def test_training_continued_after_a_reload_equals_training_never_stopped(tmp_path: Path):
    whole, first, second = Training(), Training(), Training()
    whole.train(range(20))
    first.train(range(8))
    save_state(tmp_path / "s", first.state())
    second.train(range(3))  # something else before it resumes
    state = load_state(tmp_path / "s")
    second.model.load_state_dict(state["model"])
    second.optimizer.load_state_dict(state["optimizer"])
    second.schedule.load_state_dict(state["schedule"])
    second.train(range(8, 20))
    for one, other in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)


# ------------------------------------------------ not what was saved (damage: tests/faults)


@pytest.mark.parametrize("name", ["MANIFEST.json", "model.json", "model.safetensors"])
def test_a_missing_file_is_refused_by_name(tmp_path: Path, name: str):
    save_state(tmp_path / "s", parts(1.0))
    (tmp_path / "s" / name).unlink()
    for read in (load_state, verify):
        with pytest.raises(CheckpointError, match=name):
            read(tmp_path / "s")


def test_a_missing_folder_is_said(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_state(tmp_path / "nothing")


def test_files_of_two_checkpoints_are_never_mixed(tmp_path: Path):
    save_state(tmp_path / "a", parts(1.0))
    save_state(tmp_path / "b", parts(2.0))
    shutil.copy(tmp_path / "b" / "model.safetensors", tmp_path / "a" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_state(tmp_path / "a")


def test_a_manifest_cannot_reach_outside_its_folder(tmp_path: Path):
    save_state(tmp_path / "s", {"inside": 1})
    manifest = tmp_path / "s" / "MANIFEST.json"
    for hostile in ("../inside", "/etc/passwd", ""):
        content = json.loads(manifest.read_text())
        content["parts"] = {hostile: {}}
        content.pop("digest")
        content["digest"] = run_state._digest(run_state._json(content))
        manifest.write_bytes(run_state._json(content))
        with pytest.raises(CheckpointError, match="a name that no save would give"):
            load_state(tmp_path / "s")


def test_a_newer_format_is_refused_with_its_version(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("amago.checkpoint.run_state._VERSION", 2)
    save_state(tmp_path / "s", parts(1.0))
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="version 2"):
        load_state(tmp_path / "s")


def test_a_part_that_cannot_be_stored_leaves_the_old_state(tmp_path: Path):
    save_state(tmp_path / "s", parts(1.0))
    for wrong in ({"model": object()}, {"../model": 1}):
        with pytest.raises(CheckpointError):
            save_state(tmp_path / "s", {**parts(2.0), **wrong})
    assert value_in(tmp_path / "s") == 1.0
    assert hidden(tmp_path) == []


# --------------------------------------------------------------------- the newest; retention


def test_the_newest_is_what_was_saved_last_not_the_highest_epoch(tmp_path: Path):
    for epoch in (10, 100, 9):  # resumed from an earlier epoch
        save_state(tmp_path / f"run_epoch_{epoch}", parts(1.0))
    assert newest_valid(tmp_path) == tmp_path / "run_epoch_9"


def test_a_damaged_newest_is_skipped_with_a_warning(tmp_path: Path):
    for epoch in (1, 2, 3):
        save_state(tmp_path / f"run_epoch_{epoch}", parts(float(epoch)))
    (tmp_path / "run_epoch_2" / "MANIFEST.json").unlink()
    weights = tmp_path / "run_epoch_3" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    with pytest.warns(AmagoWarning) as warned:
        assert newest_valid(tmp_path) == tmp_path / "run_epoch_1"
    assert "run_epoch_2/MANIFEST.json" in str(warned[0].message)
    assert "run_epoch_3/model.safetensors" in str(warned[1].message)


def test_without_a_state_there_is_no_newest(tmp_path: Path):
    assert newest_valid(tmp_path) is None
    assert newest_valid(tmp_path / "missing") is None


def saved(folder: Path, *epochs: int) -> None:
    for epoch in epochs:
        save_state(folder / f"run_epoch_{epoch}", parts(float(epoch)))


def test_retention_keeps_the_last_the_regular_and_the_named(tmp_path: Path):
    saved(tmp_path, 0, 1, 2, 3, 4, 5, 6)
    deleted = prune(tmp_path, keep_last=2, keep_every=4, keep=["run_epoch_1"])
    assert [path.name for path in deleted] == ["run_epoch_2", "run_epoch_3"]
    assert visible(tmp_path) == [f"run_epoch_{epoch}" for epoch in (0, 1, 4, 5, 6)]
    assert hidden(tmp_path) == []


def test_retention_counts_whole_checkpoints_only_and_leaves_what_it_does_not_know(tmp_path: Path):
    saved(tmp_path, 1, 2)
    (tmp_path / "run_epoch_2" / "model.safetensors").unlink()
    (tmp_path / "someone's notes").mkdir()
    assert prune(tmp_path, keep_last=1) == []
    assert value_in(tmp_path / "run_epoch_1") == 1.0
    assert visible(tmp_path) == ["run_epoch_1", "run_epoch_2", "someone's notes"]


def test_retention_never_deletes_everything(tmp_path: Path):
    with pytest.raises(CheckpointError, match="only checkpoint"):
        prune(tmp_path, keep_last=0)


def test_the_best_state_has_the_highest_number_and_is_whole(tmp_path: Path):
    assert best(tmp_path / "missing", "score") is None
    scores = {1: 0.5, 2: 2.0, 3: math.nan, 4: None, 5: 2.0, 6: 1.0, 7: 9.0}
    for epoch, score in scores.items():
        save_state(tmp_path / f"run_epoch_{epoch}", parts(1.0), info={"score": score})
    save_state(tmp_path / "run_epoch_8", parts(1.0))
    (tmp_path / "run_epoch_7" / "model.safetensors").unlink()
    assert best(tmp_path, "score") == tmp_path / "run_epoch_5"  # the later of two equals
    assert best(tmp_path, "another") is None


def test_the_best_state_can_be_kept(tmp_path: Path):
    for epoch, score in {1: 0.0, 2: 7.0, 3: 1.0, 4: 2.0}.items():
        save_state(tmp_path / f"run_epoch_{epoch}", parts(1.0), info={"score": score})
    top = best(tmp_path, "score")
    assert top is not None
    prune(tmp_path, keep_last=1, keep=[top.name])
    assert visible(tmp_path) == ["run_epoch_2", "run_epoch_4"]


def test_a_state_is_removed_by_name(tmp_path: Path):
    saved(tmp_path, 1, 2)
    for _ in range(2):  # again is harmless
        remove(tmp_path / "run_epoch_1")
    remove(tmp_path / "missing" / "run_epoch_1")
    assert visible(tmp_path) == ["run_epoch_2"]
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("clear", [lambda path: prune(path.parent, keep_last=1), remove])
def test_what_an_interrupted_deletion_or_save_left_is_no_obstacle(tmp_path: Path, clear):
    saved(tmp_path, 1, 2)
    (tmp_path / ".run_epoch_1.trash" / "more").mkdir(parents=True)
    (tmp_path / "run_epoch_1").rename(tmp_path / ".run_epoch_1.old")
    clear(tmp_path / "run_epoch_1")
    assert visible(tmp_path) == ["run_epoch_2"]
    assert hidden(tmp_path) == []
