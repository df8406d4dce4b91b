import pytest
import torch
from torch import nn, tensor
from torch.testing import assert_close

from amago.core.config import bind
from amago.core.errors import ConfigError
from amago.nets.ff import MLP, FFBlock, Normalization, SimNorm

X = tensor([[3.0, -4.0]])


def test_normalizations_of_a_vector_of_length_five():
    assert_close(Normalization(None, 2)(X), X)
    assert_close(Normalization("none", 2)(X), X)
    assert_close(Normalization("layer", 2)(X), tensor([[1.0, -1.0]]), rtol=1e-4, atol=0.0)
    root_mean_square = 12.5**0.5
    assert_close(Normalization("rmsnorm", 2)(X), X / root_mean_square, rtol=1e-4, atol=0.0)
    assert_close(Normalization("unitball", 2)(X), X / 5, rtol=1e-4, atol=0.0)
    assert_close(Normalization("unitball-detach", 2)(X), X / 5, rtol=1e-4, atol=0.0)
    assert_close(Normalization("hypersphere", 2)(X), X / root_mean_square, rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("method", ("unitball", "unitball-detach"))
def test_only_the_detached_unit_ball_has_a_gradient_along_the_vector(method):
    x = X.clone().requires_grad_()
    (Normalization(method, 2)(x) * X).sum().backward()
    assert x.grad is not None
    along = float((x.grad * X).sum())
    assert (abs(along) > 1.0) == (method == "unitball-detach")


def test_simnorm_is_a_softmax_in_each_group():
    out = SimNorm(dim=2)(tensor([[0.0, 0.0, 0.0, 100.0]]))
    assert_close(out, tensor([[0.5, 0.5, 0.0, 1.0]]))


def test_simnorm_group_size_can_be_bound_and_must_divide_the_width():
    bind({"SimNorm.dim": 4})
    assert Normalization("simnorm", 4)(torch.randn(2, 4)).sum(dim=-1) == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="groups of 4"):
        Normalization("simnorm", 6)(torch.randn(2, 6))


@pytest.mark.parametrize("wrong", ("batch", "layernorm"))
def test_an_unknown_normalization_is_refused(wrong):
    with pytest.raises(ConfigError, match="unknown normalization"):
        Normalization(wrong, 4)


def test_block_adds_to_its_input():
    block = FFBlock(d_model=4, d_ff=8, norm="layer")
    nn.init.zeros_(block.norm2.norm.weight)
    x = torch.randn(2, 3, 4)
    assert_close(block(x), x)


def test_mlp_has_as_many_hidden_layers_as_told():
    mlp = MLP(d_inp=3, d_hidden=5, n_layers=3, d_output=2, normalization="layer")
    linear = [m for m in mlp.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(3, 5), (5, 5), (5, 5), (5, 2)]
    assert mlp(torch.randn(4, 3)).shape == (4, 2)
    with pytest.raises(ConfigError, match="n_layers is 0"):
        MLP(d_inp=3, d_hidden=5, n_layers=0, d_output=2)


def test_dropout_acts_in_training_only():
    mlp = MLP(d_inp=3, d_hidden=64, n_layers=2, d_output=2, dropout_p=0.5)
    x = torch.randn(4, 3)
    assert not torch.equal(mlp(x), mlp(x))
    mlp.eval()
    assert torch.equal(mlp(x), mlp(x))
