"""The legacy shelf."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from amago import utils
from amago.core import config
from amago.core.errors import AmagoWarning


def test_every_name_of_the_shelf_is_there():
    assert all(hasattr(utils, name) for name in utils.__all__)


def test_masked_avg_counts_valid_entries_only():
    values = torch.tensor([1.0, 2.0, 100.0])
    mean = utils.masked_avg(values, torch.tensor([True, True, False]))
    assert mean.item() == pytest.approx(3.0 / (2 + 1e-5))


def test_dicts_of_arrays_are_stacked_or_joined():
    rows = [{"a": np.array([1, 2])}, {"a": np.array([3, 4])}]
    assert utils.stack_list_array_dicts(rows)["a"].tolist() == [[1, 2], [3, 4]]
    assert utils.stack_list_array_dicts(rows, axis=1)["a"].tolist() == [[1, 3], [2, 4]]
    assert utils.stack_list_array_dicts(rows, cat=True)["a"].tolist() == [1, 2, 3, 4]


def test_splitting_is_the_inverse_of_joining():
    whole = {"a": np.arange(6).reshape(3, 2), "b": np.arange(3)}
    parts = utils.split_dict(whole)
    assert [part["a"].shape for part in parts] == [(1, 2)] * 3
    joined = utils.stack_list_array_dicts(parts, cat=True)
    assert all(np.array_equal(joined[key], whole[key]) for key in whole)
    assert [x.tolist() for x in utils.split_batch(np.array([[1, 2]]), axis=1)] == [[[1]], [[2]]]


def test_frozen_parameters_are_not_counted():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1).requires_grad_(False))
    assert utils.count_params(model) == 3 * 2 + 2


def test_gradient_norm_is_over_all_parameters():
    layer = nn.Linear(1, 1)
    assert utils.get_grad_norm(layer) == 0.0
    layer.weight.grad, layer.bias.grad = torch.tensor([[3.0]]), torch.tensor([4.0])
    assert utils.get_grad_norm(layer) == pytest.approx(5.0)


def test_an_async_env_is_called_and_waited_for():
    class Env:
        def call_async(self, name: str, *args: Any, **kwargs: Any) -> None:
            self.called = (name, args, kwargs)

        def call_wait(self) -> tuple:
            return self.called

    assert utils.call_async_env(Env(), "pause", 1, soft=True) == ("pause", (1,), {"soft": True})


def test_one_process_averages_and_sums_to_itself():
    assert utils.avg_over_accelerate({"a": 2.0}) == {"a": 2.0}
    assert utils.sum_over_accelerate({"a": 2.0}) == {"a": 2.0}


def test_gin_values_in_use_are_plain_or_text():
    config.bind({"amago.utils.AdamWRel.reset_interval": 7})
    with pytest.warns(AmagoWarning, match="AdamWRel"):
        utils.AdamWRel([nn.Parameter(torch.zeros(1))])
    found = utils.gin_as_wandb_config()
    assert found["amago.utils.AdamWRel.reset_interval"] == 7
    assert found["amago.utils.AdamWRel.betas"] == "(0.9, 0.999)"


def test_weights_are_loaded_and_a_missing_file_is_none(tmp_path: Path):
    torch.save({"w": torch.ones(1)}, tmp_path / "p.pt")
    assert utils.retry_load_checkpoint(str(tmp_path / "p.pt"), "cpu") == {"w": torch.ones(1)}
    assert utils.retry_load_checkpoint(str(tmp_path / "none.pt"), "cpu") is None


def test_an_unreadable_file_is_tried_again_then_given_up(tmp_path: Path, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    (tmp_path / "p.pt").write_bytes(b"half a file")
    with pytest.warns(AmagoWarning, match="after 3 tries"):
        assert utils.retry_load_checkpoint(str(tmp_path / "p.pt"), "cpu", tries=3) is None
    assert waits == [1.0, 1.0]
