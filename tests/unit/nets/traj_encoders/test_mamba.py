"""The package `mamba_ssm` needs a GPU: a stand-in with its interface takes its place here."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from amago.core.errors import MissingExtraError
from amago.nets.traj_encoders import MambaTrajEncoder


class LeakySum(nn.Module):
    """`h[t] = h[t-1] / 2 + W x[t]`, with the interface of `mamba_ssm.Mamba`."""

    def __init__(self, d_model, d_state, d_conv, expand):
        super().__init__()
        self.d_model, self.d_conv = d_model, d_conv
        self.linear = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x):
        outputs, h = [], torch.zeros_like(x[:, 0])
        for t in range(x.shape[1]):
            h = h / 2 + self.linear(x[:, t])
            outputs.append(h)
        return torch.stack(outputs, dim=1)

    def allocate_inference_cache(self, batch_size, max_seqlen, dtype=None):
        return torch.zeros(batch_size, self.d_conv), torch.zeros(batch_size, self.d_model)

    def step(self, x, conv_state, ssm_state):
        ssm_state.copy_(ssm_state / 2 + self.linear(x[:, 0]))
        return ssm_state.unsqueeze(1).clone(), conv_state, ssm_state


@pytest.fixture
def encoder(monkeypatch) -> MambaTrajEncoder:
    package = ModuleType("mamba_ssm")
    package.Mamba = LeakySum
    monkeypatch.setitem(sys.modules, "mamba_ssm", package)
    return MambaTrajEncoder(tstep_dim=4, max_seq_len=8, d_model=6, n_layers=2).eval()


def test_without_the_package_construction_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    with pytest.raises(MissingExtraError, match="mamba_ssm"):
        MambaTrajEncoder(tstep_dim=4, max_seq_len=8)


def test_weights_have_their_published_names(encoder):
    names = {name.rsplit(".", 1)[0] for name in encoder.state_dict()}
    assert {"inp", "mambas.0.norm.norm", "mambas.1.mamba.linear", "out_norm.norm"} <= names


@torch.no_grad()
def test_step_by_step_equals_the_whole_sequence_and_resets_are_exact(encoder):
    seq, times = torch.randn(3, 7, 4), torch.zeros(3, 7, 1)
    whole, _ = encoder(seq, times)
    since_reset, _ = encoder(seq[:, 4:], times[:, 4:])
    hidden_state = encoder.init_hidden_state(3, torch.device("cpu"))
    outputs = []
    for t in range(7):
        now = slice(t, t + 1)
        out, hidden_state = encoder(seq[:, now], times[:, now], hidden_state=hidden_state)
        outputs.append(out)
        dones = np.array([False, t == 3, False])
        hidden_state = encoder.reset_hidden_state(hidden_state, dones)
    found = torch.cat(outputs, dim=1)
    assert_close(found[[0, 2]], whole[[0, 2]])
    assert_close(found[1, :4], whole[1, :4])
    assert_close(found[1, 4:], since_reset[1])
    assert encoder.emb_dim == 6
