import pytest
import torch
from safetensors.torch import save
from torch.testing import assert_close

from amago.core.config import bind
from amago.nets.transformer import SigmaReparam


def effective_weight(layer: SigmaReparam) -> torch.Tensor:
    """What the layer multiplies with, read off its outputs."""
    bias = 0.0 if layer.bias is None else layer.bias
    return (layer(torch.eye(layer.weight.shape[1])) - bias).T


def spectral_norm(matrix: torch.Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix.detach(), ord=2))


@pytest.mark.parametrize("training", (True, False))
def test_the_spectral_norm_is_gamma(training):
    layer = SigmaReparam(6, 9).train(training)
    with torch.no_grad():
        layer.gamma.fill_(2.5)
    assert spectral_norm(effective_weight(layer)) == pytest.approx(2.5, rel=1e-4)


def test_training_and_evaluation_compute_the_same():
    layer = SigmaReparam(6, 9)
    x = torch.randn(2, 3, 6)
    for _ in range(200):
        trained = layer.train()(x)  # until the power iteration has converged
    assert_close(layer.eval()(x), trained)


def test_power_iteration_follows_the_weight_in_training_only():
    layer = SigmaReparam(6, 9, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(9, 6))
    layer.eval()(torch.randn(1, 6))
    before = layer.u.clone()
    assert spectral_norm(effective_weight(layer)) != pytest.approx(1.0, rel=1e-2)
    assert_close(layer.u, before)
    layer.train()
    for _ in range(200):
        layer(torch.randn(1, 6))
    assert spectral_norm(effective_weight(layer.eval())) == pytest.approx(1.0, rel=1e-4)


def test_gradients_reach_weight_and_gain_through_sigma():
    layer = SigmaReparam(4, 5)
    layer(torch.randn(7, 4)).square().sum().backward()
    assert layer.weight.grad is not None
    # Scaling the weight changes nothing, so the gradient has no part along the weight.
    assert (layer.weight.grad * layer.weight).sum().abs() < 1e-4
    assert layer.gamma.grad is not None


def test_two_forward_passes_may_precede_a_backward_pass():
    layer = SigmaReparam(4, 5)
    (layer(torch.randn(7, 4)).sum() + layer(torch.randn(7, 4)).sum()).backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.isfinite().all()


def test_fast_start_can_be_bound_and_keeps_the_layout():
    slow = SigmaReparam(4, 5).state_dict()
    bind({"SigmaReparam.fast_init": True})
    fast = SigmaReparam(4, 5)
    assert {k: v.shape for k, v in fast.state_dict().items()} == {
        k: v.shape for k, v in slow.items()
    }
    fast.load_state_dict(slow)
    assert float(fast.u.norm()) == pytest.approx(1.0)


def test_buffers_own_their_memory():
    layer = SigmaReparam(4, 5)
    for buffer in (layer.u, layer.v):
        assert buffer.is_contiguous()
        assert buffer.untyped_storage().nbytes() == buffer.numel() * buffer.element_size()
    save(layer.state_dict())


@torch.no_grad()
def test_sigma_is_exact_under_autocast():
    layer = SigmaReparam(64, 32, bias=False).eval()
    x = torch.randn(256, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = layer(x).float()
    # Rounding errors of single entries average out; an error of sigma would not.
    slope = (low * layer(x)).sum() / layer(x).square().sum()
    assert float(slope) == pytest.approx(1.0, abs=3e-4)


def _step_of_an_optimiser(layer):
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with torch.enable_grad():
        layer.train()(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    layer.eval()


def _load(layer):
    layer.load_state_dict(SigmaReparam(3, 4).state_dict())


def _write_in_place(layer):
    with torch.no_grad():
        layer.weight.mul_(3.0)
        layer.gamma.add_(1.0)


def _write_data(layer):
    layer.weight.data.mul_(3.0)
    layer.eval()  # what no counter sees is noticed here


def _become_double(layer):
    layer.double()


@pytest.mark.parametrize(
    "change", (_step_of_an_optimiser, _load, _write_in_place, _write_data, _become_double)
)
def test_acting_follows_every_change_of_the_weights(change):
    layer = SigmaReparam(3, 4).eval()
    x = torch.randn(5, 3)
    with torch.no_grad():
        layer(x)
        change(layer)
        x = x.to(layer.weight.dtype)
        sigma = torch.dot(layer.u, layer.weight.mv(layer.v))
        expected = torch.nn.functional.linear(x * (layer.gamma / sigma), layer.weight, layer.bias)
        assert_close(layer(x), expected, rtol=0, atol=0)


def test_the_norm_is_found_once_while_acting(monkeypatch):
    layer = SigmaReparam(3, 4).eval()
    calls = []
    original = layer._sigma
    monkeypatch.setattr(layer, "_sigma", lambda: (calls.append(1), original())[1])
    with torch.no_grad():
        first, second = layer(torch.ones(1, 3)), layer(torch.ones(1, 3))
    assert len(calls) == 1
    assert torch.equal(first, second)
    assert layer(torch.ones(1, 3)).requires_grad  # with a gradient wanted, it is part of it
