"""When the update is compiled, and where what was compiled is kept."""

import os

import pytest
import torch

from amago.training.compilation import as_written, compile_update


@pytest.fixture(autouse=True)
def torchs_checks():
    """Its compiler switches the checks of distributions off, for the whole process."""
    before = torch.distributions.Distribution._validate_args
    yield
    torch.distributions.Distribution.set_default_validate_args(before)


class Net(torch.nn.Module):
    """torch compiles nothing of its own modules alone."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, x):
        return 2 * self.linear(x)


def test_nothing_is_compiled_by_default(monkeypatch):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    module = torch.nn.Linear(2, 2)
    compile_update(module, False)
    assert module._compiled_call_impl is None
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ


@pytest.mark.filterwarnings("default")  # torch's compiler is imported, with warnings of its own
def test_the_cache_lies_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compile_update(torch.nn.Linear(2, 2), True)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "amago" / "torchinductor")
    mine = str(tmp_path / "mine")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", mine)
    compile_update(torch.nn.Linear(2, 2), True)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == mine


def test_log_steps_run_as_written():
    traced = []

    def backend(graph, inputs):
        traced.append(graph)
        return graph.forward

    module = Net()
    module.compile(backend=backend)
    with as_written(True):
        module(torch.zeros(1, 2))
    assert not traced
    with as_written(False):
        module(torch.zeros(1, 2))
    assert traced
