import torch
from torch import nn
from torch.testing import assert_close

from amago.agent.targets import ema_copy, full_copy


def layer(value: float) -> nn.Linear:
    module = nn.Linear(2, 2)
    for parameter in module.parameters():
        nn.init.constant_(parameter, value)
    return module


def test_full_copy_makes_parameters_equal_and_keeps_them_apart():
    target, online = layer(0.0), layer(1.0)
    full_copy(target, online)
    with torch.no_grad():
        online.weight.add_(5.0)
    assert_close(target.weight.detach(), torch.ones(2, 2))


def test_ema_copy_goes_a_fraction_of_the_way():
    target, online = layer(1.0), layer(5.0)
    ema_copy(target, online, tau=0.25)
    assert_close(target.bias.detach(), torch.full((2,), 2.0))
    assert_close(online.bias.detach(), torch.full((2,), 5.0))


def test_copies_leave_no_trace_for_gradients():
    target, online = layer(1.0), layer(5.0)
    ema_copy(target, online, tau=0.5)
    assert target.weight.grad_fn is None
    assert target.weight.is_leaf
