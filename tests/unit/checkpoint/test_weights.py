"""Policy weights: plain, replaced in one step, and never code."""

import errno
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from amago.checkpoint.weights import (
    fetch_latest,
    latest_path,
    load_policy,
    policy_path,
    publish_latest,
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
    assert [p.name for p in latest_path(tmp_path).parent.iterdir()] == ["policy.pt"]


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
