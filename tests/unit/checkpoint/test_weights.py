"""Policy weights: plain, replaced in one step, and never code."""

import contextlib
import errno
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from amago.checkpoint.weights import (
    LatestWeights,
    Published,
    fetch_latest,
    latest_path,
    load_policy,
    policy_path,
    publish_latest,
    read_published,
    save_policy,
    saved_epochs,
)
from amago.core.errors import CheckpointError


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"net.weight": torch.full((2, 2), value), "net.steps": torch.tensor(3)}


def value_in(path: Path) -> float:
    return load_policy(path)["net.weight"][0, 0].item()


def test_weights_come_back_and_any_torch_program_can_read_them(tmp_path: Path):
    layer, other = nn.Linear(3, 2), nn.Linear(3, 2)
    save_policy(tmp_path / "p.pt", layer.state_dict())
    other.load_state_dict(torch.load(tmp_path / "p.pt", weights_only=True), strict=True)
    assert torch.equal(layer.weight, other.weight)
    assert torch.equal(load_policy(tmp_path / "p.pt")["bias"], layer.bias)


def test_a_view_is_stored_without_the_tensor_behind_it(tmp_path: Path):
    save_policy(tmp_path / "p.pt", {"u": torch.zeros(100_000)[:2]})
    assert (tmp_path / "p.pt").stat().st_size < 5_000


def test_the_latest_weights_are_the_ones_published_last(tmp_path: Path):
    publish_latest(tmp_path, weights(1.0))
    publish_latest(tmp_path, weights(2.0))
    assert fetch_latest(tmp_path)["net.weight"][0, 0] == 2.0
    names = sorted(p.name for p in latest_path(tmp_path).parent.iterdir())
    assert names == ["policy.pt", "published.json"]


def test_versions_increase_also_for_a_learner_that_was_started_again(tmp_path: Path):
    assert read_published(tmp_path) is None
    publish_latest(tmp_path, weights(1.0))
    publish_latest(tmp_path, weights(2.0), epoch=4, gradient_steps=50, frames={"maze": 7})
    assert read_published(tmp_path) == Published(
        version=2, epoch=4, gradient_steps=50, frames={"maze": 7}
    )


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "7", '{"version": 3}', '{"version": "3", "epoch": 0}']
)
def test_a_note_that_cannot_be_read_is_no_note(tmp_path: Path, content: str):
    publish_latest(tmp_path, weights(1.0))
    latest_path(tmp_path).with_name("published.json").write_text(content)
    assert read_published(tmp_path) is None
    assert fetch_latest(tmp_path)["net.weight"][0, 0] == 1.0


def test_each_publication_is_fetched_once(tmp_path: Path):
    latest = LatestWeights(tmp_path)
    for version in (1, 2):
        publish_latest(tmp_path, weights(float(version)))
        fetched = latest.fetch_if_new()
        assert fetched is not None
        assert fetched["net.weight"][0, 0] == latest.version == version
        assert latest.fetch_if_new() is None


def test_weights_of_a_learner_that_says_no_version_are_fetched_once_too(tmp_path: Path):
    latest = LatestWeights(tmp_path)
    for value in (1.0, 2.0):
        save_policy(latest_path(tmp_path), weights(value))
        fetched = latest.fetch_if_new()
        assert fetched is not None
        assert fetched["net.weight"][0, 0] == value
        assert latest.fetch_if_new() is None
    assert latest.version == 0


def test_weights_that_could_not_be_read_are_tried_again(tmp_path: Path):
    latest = LatestWeights(tmp_path)
    publish_latest(tmp_path, weights(1.0))
    whole = latest_path(tmp_path).read_bytes()
    latest_path(tmp_path).write_bytes(whole[:-9])
    for _ in range(2):
        with pytest.raises(CheckpointError):
            latest.fetch_if_new()
    latest_path(tmp_path).write_bytes(whole)
    assert latest.fetch_if_new() is not None


def test_killed_while_publishing_the_weights_are_never_older_than_they_say(
    tmp_path: Path, disk: Any
):
    disk.work()
    publish_latest(tmp_path / "0", weights(1.0))
    publish_latest(tmp_path / "0", weights(2.0))
    for operation in range(1, disk.count + 1):
        folder = tmp_path / str(operation)
        disk.work()
        publish_latest(folder, weights(1.0))
        disk.kill_at(operation)
        with contextlib.suppress(KeyboardInterrupt):
            publish_latest(folder, weights(2.0))
        disk.work()
        latest = LatestWeights(folder)
        fetched = latest.fetch_if_new()
        assert fetched is not None
        assert fetched["net.weight"][0, 0] >= latest.version >= 1
        publish_latest(folder, weights(3.0))
        assert latest.fetch_if_new() is not None


def test_nothing_published_yet_is_reported(tmp_path: Path):
    with pytest.raises(CheckpointError, match="No such file"):
        fetch_latest(tmp_path)


def test_epochs_are_listed_in_order(tmp_path: Path):
    assert saved_epochs(tmp_path) == []
    for epoch in (10, 9, 100):
        save_policy(policy_path(tmp_path, epoch), weights(1.0))
    (tmp_path / "policy_weights" / "notes.txt").touch()
    assert saved_epochs(tmp_path) == [9, 10, 100]


def test_a_truncated_file_is_refused(tmp_path: Path):
    path = tmp_path / "p.pt"
    save_policy(path, weights(1.0))
    content = path.read_bytes()
    for size in range(0, len(content), 97):
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match=r"p\.pt"):
            load_policy(path)


def test_a_flipped_bit_is_refused_or_touches_no_weight(tmp_path: Path):
    path = tmp_path / "p.pt"
    save_policy(path, weights(1.0))
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        try:
            loaded = load_policy(path)
            assert all(torch.equal(loaded[name], value) for name, value in weights(1.0).items())
        except CheckpointError:
            refused += 1
    assert refused > 0


class RunsCode:
    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"net.weight": RunsCode()}, "new.pt")
    Path("old.pt").write_bytes(pickle.dumps({"net.weight": RunsCode()}))
    for name in ("new.pt", "old.pt"):
        with pytest.raises(CheckpointError, match="not a file of weights"):
            load_policy(name)
    assert not Path("executed").exists()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_full_or_broken_disk_leaves_the_old_weights(tmp_path: Path, disk: Any, error: int):
    disk.work()
    save_policy(tmp_path / "p.pt", weights(1.0))
    for operation in range(1, disk.count + 1):
        save_policy(tmp_path / "p.pt", weights(1.0))
        disk.fail_at(operation, error)
        try:
            save_policy(tmp_path / "p.pt", weights(2.0))
        except CheckpointError as refused:
            assert "p.pt" in str(refused)  # noqa: PT017  (a harmless failure is ignored)
        disk.work()
        assert value_in(tmp_path / "p.pt") in (1.0, 2.0)
        assert [p.name for p in tmp_path.iterdir()] == ["p.pt"]


def test_killed_at_any_operation_the_weights_are_the_old_or_the_new(tmp_path: Path, disk: Any):
    disk.work()
    save_policy(tmp_path / "p.pt", weights(1.0))
    total, outcomes = disk.count, []
    for operation in range(1, total + 1):
        disk.work()
        save_policy(tmp_path / "p.pt", weights(1.0))
        disk.kill_at(operation)
        with pytest.raises(KeyboardInterrupt):
            save_policy(tmp_path / "p.pt", weights(2.0))
        disk.work()
        outcomes.append(value_in(tmp_path / "p.pt"))
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {1.0, 2.0}
