import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from amago.core.errors import ConfigError
from amago.nets.utils import (
    InputNorm,
    SlowAdaptiveRational,
    activation_switch,
    add_activation_log,
    symexp,
    symlog,
)

PAD = [4.0, 4.0]


def test_symlog_and_symexp_take_floats_and_tensors():
    assert symlog(-(math.e - 1)) == pytest.approx(-1.0)
    assert symexp(1.0) == pytest.approx(math.e - 1)
    x = tensor([-1e4, -0.5, 0.0, 3.0])
    assert_close(symexp(symlog(x)), x, rtol=1e-4, atol=1e-6)


def test_activation_log_has_four_statistics():
    log = {}
    add_activation_log("x", tensor([1.0, 2.0, 6.0]), log)
    assert {name: float(value) for name, value in log.items()} == pytest.approx(
        {
            "activation-x-max": 6.0,
            "activation-x-min": 1.0,
            "activation-x-std": math.sqrt(7.0),  # ((-2)^2 + (-1)^2 + 3^2) / 2
            "activation-x-mean": 3.0,
        }
    )


def test_activation_log_of_one_number_is_finite_and_carries_no_gradient():
    log = {}
    add_activation_log("x", torch.ones(1, requires_grad=True), log)
    assert log["activation-x-std"] == 0.0
    assert not any(value.requires_grad for value in log.values())


def test_activation_log_without_a_dictionary_does_nothing():
    x = tensor([1.0])
    assert add_activation_log("x", x, None) is None
    assert x.tolist() == [1.0]


def test_first_update_of_input_statistics_has_rate_one_half():
    norm = InputNorm(2)
    norm.update_stats(tensor([[[2.0, 0.0], [4.0, 2.0]]]))
    assert_close(norm.mu, tensor([1.5, 0.5]), rtol=1e-3, atol=0.0)  # halfway to (3, 1)
    assert_close(norm.nu, tensor([5.5, 1.5]), rtol=1e-3, atol=0.0)  # from 1 to (10, 2)
    assert norm._t == 2


def test_input_statistics_are_those_of_the_data_in_the_end():
    norm = InputNorm(2, beta=0.01)
    data = torch.randn(64, 100, 2) * tensor([3.0, 0.1]) + tensor([-5.0, 2.0])
    for _ in range(1000):
        norm.update_stats(data)
    normalized = norm(data).flatten(0, 1)
    assert_close(normalized.mean(dim=0), torch.zeros(2), rtol=0.0, atol=1e-2)
    assert_close(normalized.std(dim=0), torch.ones(2), rtol=1e-2, atol=0.0)
    assert_close(norm(norm(data), denormalize=True), data, rtol=1e-3, atol=1e-3)


def test_padding_does_not_count_in_input_statistics():
    with_padding, without = InputNorm(2), InputNorm(2)
    with_padding.update_stats(tensor([[[1.0, 4.0], PAD], [PAD, PAD]]))
    without.update_stats(tensor([[[1.0, 4.0]]]))
    assert_close(with_padding.state_dict(), without.state_dict())


def test_nothing_but_padding_leaves_input_statistics_alone():
    norm = InputNorm(2)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    norm.update_stats(tensor([[PAD, PAD]]))
    assert_close(dict(norm.state_dict()), before)


@pytest.mark.parametrize("bad", (math.nan, math.inf, -math.inf, 1e30))  # 1e60 is no float32
def test_inputs_that_are_not_finite_do_not_spoil_the_statistics(bad):
    norm, same = InputNorm(2), InputNorm(2)
    norm.update_stats(tensor([[[1.0, 5.0], [bad, 5.0], [3.0, 5.0], PAD]]))
    same.update_stats(tensor([[[1.0, 5.0], [3.0, 5.0]]]))
    assert_close(norm.state_dict(), same.state_dict(), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("bad", (math.nan, 1.8e19))  # the second overflows in the sum alone
def test_a_feature_without_a_usable_entry_keeps_its_statistics(bad):
    norm = InputNorm(2)
    norm.update_stats(tensor([[[1.0, 1.0], [2.0, 2.0]]]))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    norm.update_stats(tensor([[[bad, 3.0], [bad, 3.0]]]))
    assert norm.mu[0] == before["mu"][0]
    assert norm.nu[0] == before["nu"][0]
    assert norm.mu[1] > before["mu"][1]


def test_constant_input_is_not_divided_by_zero():
    norm = InputNorm(1)
    for _ in range(50):
        norm.update_stats(torch.full((4, 1), 7.0))
    assert norm(torch.full((4, 1), 7.0)).isfinite().all()


def test_adaptive_activation_starts_close_to_a_leaky_relu_and_learns():
    activation = SlowAdaptiveRational()
    x = torch.linspace(-3, 3, 101)
    assert (activation(x) - torch.nn.functional.leaky_relu(x)).abs().max() < 0.05
    activation(x).sum().backward()
    assert all(parameter.grad is not None for parameter in activation.parameters())
    assert not any(p.requires_grad for p in SlowAdaptiveRational(trainable=False).parameters())


@pytest.mark.parametrize("name", ("leaky_relu", "relu", "gelu", "mish", "adaptive"))
def test_activations_by_name(name):
    x = torch.randn(2, 3)
    assert activation_switch(name)(x).shape == x.shape


@pytest.mark.parametrize("name", ("leaky_relu", "relu", "gelu", "mish", "adaptive"))
def test_overwriting_changes_neither_the_result_nor_the_gradient(name):
    x = torch.randn(2, 3, requires_grad=True)
    expected = activation_switch(name)(x * 1)
    found = activation_switch(name, may_overwrite=True)(x * 1)
    assert_close(found, expected, rtol=0, atol=0)
    (wanted,) = torch.autograd.grad(expected.square().sum(), x)
    (gradient,) = torch.autograd.grad(found.square().sum(), x)
    assert_close(gradient, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("name", ("leaky_relu", "relu"))
def test_overwriting_takes_no_memory(name):
    x = torch.randn(2, 3)
    assert activation_switch(name, may_overwrite=True)(x).data_ptr() == x.data_ptr()
    assert activation_switch(name)(x).data_ptr() != x.data_ptr()


def test_an_unknown_activation_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'leaky_relu'"):
        activation_switch("leakyrelu")
