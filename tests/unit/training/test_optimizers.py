"""Optimisers and warm-up, by hand."""

import math

import pytest
import torch
from torch.nn import Parameter
from torch.testing import assert_close

from amago.core import config
from amago.core.errors import AmagoWarning, ConfigError
from amago.training.optimizers import AdamWRel, adamw, get_constant_schedule_with_warmup


def scalar(value: float) -> Parameter:
    return Parameter(torch.tensor([value]))


def take_step(optimizer: torch.optim.Optimizer, param: Parameter, gradient: float) -> float:
    """How far one update moves the parameter."""
    before = param.item()
    param.grad = torch.tensor([gradient])
    optimizer.step()
    return param.item() - before


def make_rel(params: list[Parameter], **kwargs: float) -> AdamWRel:
    with pytest.warns(AmagoWarning, match="AdamWRel"):
        return AdamWRel(params, **kwargs)


def test_first_adamw_update_is_the_rate_against_the_sign_of_the_gradient_after_decay():
    param = scalar(2.0)
    moved = take_step(adamw([param], lr=0.1, weight_decay=0.5), param, gradient=-3.0)
    assert moved == pytest.approx(-2.0 * 0.1 * 0.5 + 0.1, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fused_adamw_follows_the_plain_one(dtype: torch.dtype):
    start = torch.randn(7, 5, dtype=dtype)
    ours, plain = Parameter(start.clone()), Parameter(start.clone())
    fused = adamw([ours], lr=1e-2, weight_decay=1e-3)
    default = torch.optim.AdamW([plain], lr=1e-2, weight_decay=1e-3, foreach=False, fused=False)
    assert fused.param_groups[0]["fused"]
    for _ in range(20):
        ours.grad = torch.randn(7, 5, dtype=dtype)
        plain.grad = ours.grad.clone()
        fused.step()
        default.step()
    assert_close(ours, plain, rtol=1e-5, atol=1e-7)


def test_adamw_is_that_of_torch_to_the_last_bit_and_each_continues_the_other():
    start = torch.randn(7, 5)
    ours, theirs = Parameter(start.clone()), Parameter(start.clone())
    options = {"lr": 1e-2, "weight_decay": 1e-3}
    own = adamw([ours], **options)
    plain = torch.optim.AdamW([theirs], **options, fused=True)
    for _ in range(2):
        for _ in range(5):
            ours.grad = torch.randn(7, 5)
            theirs.grad = ours.grad.clone()
            own.step()
            plain.step()
            assert torch.equal(ours, theirs)
        first, second = own.state_dict(), plain.state_dict()
        assert first["param_groups"] == second["param_groups"]
        own.load_state_dict(second)
        plain.load_state_dict(first)
    own.zero_grad()
    assert ours.grad is None


def test_an_adamw_step_leaves_no_graph_and_calls_what_is_hooked_to_it():
    param = scalar(1.0)
    optimizer = adamw([param], lr=0.1, weight_decay=0.0)
    calls = []
    optimizer.register_step_post_hook(lambda *args: calls.append(torch.is_grad_enabled()))
    take_step(optimizer, param, 1.0)
    assert param.is_leaf
    assert calls == [True]


def test_relative_adam_restarts_the_bias_correction_after_the_interval():
    # Gradients 1, 1, 1, 0 with betas (0.5, 0.5): the moments are m = 1/2, 3/4, 7/8, 7/16, equal to
    # v. The correction 1 - 0.5**t has t = 1, 2, 3, 4 in Adam and t = 1, 2, 1, 2 with interval 2.
    param = scalar(0.0)
    optimizer = make_rel([param], reset_interval=2, lr=1.0, betas=(0.5, 0.5), eps=0.0)
    moved = [take_step(optimizer, param, g) for g in (1.0, 1.0, 1.0, 0.0)]
    moments, counts = (1 / 2, 3 / 4, 7 / 8, 7 / 16), (1, 2, 1, 2)
    expected = []
    for moment, t in zip(moments, counts, strict=True):
        corrected = moment / (1 - 0.5**t)
        expected.append(-corrected / math.sqrt(corrected))
    assert moved == pytest.approx(expected, abs=1e-6)


def test_relative_adam_with_a_long_interval_is_adamw():
    ours, plain = scalar(1.0), scalar(1.0)
    rel = make_rel([ours], reset_interval=100, lr=0.1, weight_decay=0.1)
    adam = torch.optim.AdamW([plain], lr=0.1, weight_decay=0.1)
    for gradient in (1.0, -2.0, 0.5):
        take_step(rel, ours, gradient)
        take_step(adam, plain, gradient)
    assert ours.item() == plain.item()


def test_relative_adam_continues_its_interval_after_a_reload():
    stayed, left = scalar(0.0), scalar(0.0)
    optimizers = [make_rel([p], reset_interval=3, lr=0.1) for p in (stayed, left)]
    for gradient in (1.0, -1.0):
        for optimizer, param in zip(optimizers, (stayed, left), strict=True):
            take_step(optimizer, param, gradient)
    resumed = make_rel([left], reset_interval=3, lr=0.1)
    resumed.load_state_dict(optimizers[1].state_dict())
    for gradient in (2.0, 1.0, 3.0, 1.0):
        take_step(optimizers[0], stayed, gradient)
        take_step(resumed, left, gradient)
    assert stayed.item() == left.item()


def test_relative_adam_refuses_an_interval_below_one():
    with pytest.raises(ConfigError, match="reset_interval is 0"):
        AdamWRel([scalar(0.0)], reset_interval=0)


def test_relative_adam_takes_its_interval_from_a_binding_of_the_public_name():
    config.bind({"amago.utils.AdamWRel.reset_interval": 7})
    with pytest.warns(AmagoWarning, match="every 7 updates"):
        assert AdamWRel([scalar(0.0)]).reset_interval == 7


def test_relative_adam_without_an_interval_is_refused():
    with pytest.raises(RuntimeError, match="reset_interval"):
        AdamWRel([scalar(0.0)])


def rates(lr: float, warmup: int, updates: int) -> list[float]:
    """The rate used at each update."""
    param = scalar(0.0)
    optimizer = adamw([param], lr=lr, weight_decay=0.0)
    schedule = get_constant_schedule_with_warmup(optimizer, warmup)
    used = []
    for _ in range(updates):
        used.append(optimizer.param_groups[0]["lr"])
        take_step(optimizer, param, 1.0)
        schedule.step()
    return used


def test_warm_up_rises_from_zero_and_stays():
    assert rates(lr=0.8, warmup=4, updates=7) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


def test_no_warm_up_uses_the_full_rate_from_the_first_update():
    assert rates(lr=0.8, warmup=0, updates=2) == [0.8, 0.8]


def test_first_update_of_a_warm_up_moves_no_weight():
    param = scalar(1.0)
    optimizer = adamw([param], lr=0.1, weight_decay=0.1)
    get_constant_schedule_with_warmup(optimizer, 10)
    assert take_step(optimizer, param, 1.0) == 0.0
