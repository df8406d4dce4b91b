"""Whatever happens while a checkpoint is written: the old one loads or the new one, never less."""

import errno
import os
import random
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filesystem import Disk, killed_at, operations_of, start_fork, wait_for

from amago.checkpoint.run_state import load_state, newest_valid, prune, save_state
from amago.checkpoint.weights import fetch_latest, load_policy, publish_latest, save_policy
from amago.core.errors import CheckpointError

ERRORS = [errno.ENOSPC, errno.EIO, errno.EINTR]


def parts(value: float) -> dict[str, Any]:
    """A small state in which everything says `value`."""
    return {
        "model": {"weight": torch.full((3,), value), "counts": np.array([value])},
        "progress": {"epoch": value, "files": [f"{value}.npz"]},
    }


def value_in(path: Path) -> float:
    """Which state it is, after checking that all of its parts agree."""
    state = load_state(path)
    value = state["progress"]["epoch"]
    assert state["progress"]["files"] == [f"{value}.npz"]
    assert state["model"]["weight"].tolist() == [value] * 3
    assert state["model"]["counts"].tolist() == [value]
    return value


def visible(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def hidden(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


@pytest.fixture
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves that need not survive a power cut, which are faster."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


# ------------------------------------------------------------------- what a run does to its states


class Scene:
    """A folder before something happens to it, and what may be found there afterwards.

    Attributes:
        before, after: epochs whose states are there, with the value each holds.
    """

    before: dict[int, float] = {}
    after: dict[int, float] = {}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for epoch, value in self.before.items():
            self.save(epoch, value)

    def save(self, epoch: int, value: float) -> None:
        save_state(self.folder / f"run_epoch_{epoch}", parts(value))

    def happen(self) -> None:
        raise NotImplementedError

    def found(self) -> dict[int, float]:
        """What loads. Whatever else is visible must not be there."""
        epochs = {1, 2, 3} & {path_epoch(path) for path in state_paths(self.folder)}
        return {epoch: value_in(self.folder / f"run_epoch_{epoch}") for epoch in sorted(epochs)}


class FirstSave(Scene):
    after = {1: 1.0}

    def happen(self) -> None:
        self.save(1, 1.0)


class NextSave(Scene):
    before = {1: 1.0}
    after = {1: 1.0, 2: 2.0}

    def happen(self) -> None:
        self.save(2, 2.0)


class SaveInPlace(Scene):
    before = {1: 1.0}
    after = {1: 2.0}

    def happen(self) -> None:
        self.save(1, 2.0)


class Retention(Scene):
    before = {1: 1.0, 2: 2.0, 3: 3.0}
    after = {3: 3.0}

    def happen(self) -> None:
        prune(self.folder, keep_last=1)


SCENES = pytest.mark.parametrize("scene", [FirstSave, NextSave, SaveInPlace, Retention])


def state_paths(folder: Path) -> list[Path]:
    """States by their names, also one that its successor has not replaced yet."""
    names = {re.sub(r"^\.(.*)\.old$", r"\1", p.name) for p in folder.iterdir()}
    return [folder / name for name in names if not name.startswith(".")]


def path_epoch(path: Path) -> int:
    return int(path.name.rpartition("_")[2])


def count_operations(scene: type[Scene], folder: Path) -> int:
    return len(operations_of(scene(folder).happen, folder))


@SCENES
@pytest.mark.usefixtures("unflushed")
def test_killed_at_any_operation_every_state_is_the_old_or_the_new_one(
    scene: type[Scene], tmp_path: Path
):
    total = count_operations(scene, tmp_path / "count")
    assert total > 10
    outcomes = []
    for operation in range(1, total + 1):
        place = scene(tmp_path / str(operation))
        assert killed_at(operation, place.happen, place.folder)
        if not place.folder.exists():  # the very first operation makes it
            continue
        found = place.found()
        outcomes.append(found)
        for epoch in scene.before.keys() | scene.after.keys():
            allowed = {values.get(epoch) for values in (scene.before, scene.after)}
            assert found.get(epoch) in allowed
        newest = newest_valid(place.folder)
        assert newest == (place.folder / f"run_epoch_{max(found)}" if found else None)
        place.save(9, 9.0)
        assert hidden(place.folder) == []  # the next save clears up, and changes nothing
        assert place.found() == found
    assert outcomes[0] == scene.before
    assert outcomes[-1] == scene.after


@SCENES
@pytest.mark.usefixtures("unflushed")
@pytest.mark.parametrize("error", ERRORS)
def test_a_disk_that_refuses_any_operation_leaves_the_old_state_and_says_so(
    scene: type[Scene], error: int, tmp_path: Path
):
    total = count_operations(scene, tmp_path / "count")
    refusals = 0
    for operation in range(1, total + 1):
        place = scene(tmp_path / str(operation))
        with Disk(place.folder) as disk:
            disk.fail_at(operation, error)
            try:
                place.happen()
                expected = [scene.after]
            except CheckpointError as refused:
                refusals += 1
                assert os.strerror(error) in str(refused)  # noqa: PT017  (some do not matter)
                # Retention may have hidden some of what it was to delete.
                expected = [scene.before] if scene is not Retention else PARTLY_DELETED
        if place.folder.exists():
            assert place.found() in expected
            assert visible(place.folder) == [f"run_epoch_{epoch}" for epoch in place.found()]
            place.save(9, 9.0)
            assert hidden(place.folder) == []
    # In the end old files are deleted; those that cannot be are deleted by the next save.
    assert refusals >= (2 if scene is Retention else total / 2)


PARTLY_DELETED = [{1: 1.0, 2: 2.0, 3: 3.0}, {2: 2.0, 3: 3.0}, {3: 3.0}]


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_them_all(tmp_path: Path):
    with Disk(tmp_path, longest_write=7) as disk:
        save_state(tmp_path / "s", parts(1.0))
        save_policy(tmp_path / "p.pt", {"weight": torch.ones(3)})
    assert len(disk.operations) > 100
    assert value_in(tmp_path / "s") == 1.0
    assert load_policy(tmp_path / "p.pt")["weight"].tolist() == [1.0] * 3


def test_killed_at_random_moments_large_states_stay_whole(tmp_path: Path):
    rng = random.Random(0)
    folder = tmp_path / "states"
    weights = {"a": torch.zeros(2_500_000), "b": torch.zeros(2_500_000)}  # 20 MB

    def save_for_ever(first: int, seconds: float) -> None:
        # After so much of its own time, a busy machine or not. Nothing handles the signal: it ends
        # a process as abruptly as SIGKILL does.
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        for number in range(first, first + 1_000):
            for tensor in weights.values():
                tensor.fill_(number)
            save_state(folder / f"run_epoch_{number % 3}", {"w": weights, "n": {"n": number}})
            prune(folder, keep_last=2)

    newest = 0
    for _ in range(12):
        seconds = rng.uniform(0.02, 0.15)
        pid = start_fork(lambda first=newest + 1, s=seconds: save_for_ever(first, s))
        assert wait_for(pid) == -signal.SIGPROF
        path = newest_valid(folder)
        if path is not None:
            state = load_state(path)
            assert state["n"]["n"] >= newest
            newest = state["n"]["n"]
            assert all(bool((tensor == newest).all()) for tensor in state["w"].values())
    assert newest > 3


# ------------------------------------------------------------------------------- published weights


def save_weights(folder: Path, value: float) -> None:
    save_policy(folder / "policy.pt", {"weight": torch.full((3,), value)})


def publish_weights(folder: Path, value: float) -> None:
    publish_latest(folder, {"weight": torch.full((3,), value)})


def load_weights(folder: Path) -> float:
    return load_policy(folder / "policy.pt")["weight"][1].item()


def fetch_weights(folder: Path) -> float:
    return fetch_latest(folder)["weight"][1].item()


WEIGHTS = pytest.mark.parametrize(
    ("write", "read"), [(save_weights, load_weights), (publish_weights, fetch_weights)]
)
Write = Callable[[Path, float], None]
Read = Callable[[Path], float]


@WEIGHTS
@pytest.mark.usefixtures("unflushed")
def test_weights_killed_at_any_operation_are_the_old_or_the_new(
    write: Write, read: Read, tmp_path: Path
):
    write(tmp_path, 1.0)
    total = len(operations_of(lambda: write(tmp_path, 1.0), tmp_path))
    outcomes = []
    for operation in range(1, total + 1):
        write(tmp_path, 1.0)
        assert killed_at(operation, lambda: write(tmp_path, 2.0), tmp_path)
        outcomes.append(read(tmp_path))
        write(tmp_path, 3.0)
        assert [p for p in tmp_path.rglob("*") if p.name.startswith(".")] == []
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {1.0, 2.0}


@WEIGHTS
@pytest.mark.usefixtures("unflushed")
@pytest.mark.parametrize("error", ERRORS)
def test_weights_on_a_disk_that_refuses_are_the_old_ones(
    write: Write, read: Read, error: int, tmp_path: Path
):
    write(tmp_path, 1.0)
    names = operations_of(lambda: write(tmp_path, 1.0), tmp_path)
    # Once renamed they are the new ones, even if the disk then refuses to make the rename durable.
    renamed = next(i for i, name in enumerate(names, start=1) if name.startswith("rename"))
    files = sorted(tmp_path.rglob("*"))
    for operation in range(1, len(names) + 1):
        write(tmp_path, 1.0)
        with Disk(tmp_path) as disk:
            disk.fail_at(operation, error)
            if names[operation - 1].startswith("mkdir"):  # of a folder that is there already
                write(tmp_path, 2.0)
                continue
            with pytest.raises(CheckpointError, match=os.strerror(error)):
                write(tmp_path, 2.0)
        assert read(tmp_path) == (1.0 if operation <= renamed else 2.0)
        assert sorted(tmp_path.rglob("*")) == files
