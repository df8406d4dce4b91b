import math

import torch
from torch.testing import assert_close

from amago.core.config import bind
from amago.rl.filters import binary_filter, exp_filter, leaky_relu_filter

ADVANTAGE = torch.tensor([-2.0, 0.0, 0.5, 3.0])


def test_binary_filter_is_true_strictly_above_the_threshold():
    weights = binary_filter(ADVANTAGE)
    assert weights.dtype == torch.bool
    assert weights.tolist() == [False, False, True, True]
    assert binary_filter(ADVANTAGE, threshold=0.5).tolist() == [False, False, False, True]


def test_exp_filter_multiplies_by_beta():
    assert_close(exp_filter(torch.tensor([2.0]), beta=0.5), torch.tensor([math.e]))


def test_exp_filter_clips_before_and_after():
    weights = exp_filter(ADVANTAGE, clip_adv_low=-1.0, clip_adv_high=1.0, clip_weights_high=2.0)
    assert_close(weights, torch.tensor([math.exp(-1.0), 1.0, math.exp(0.5), 2.0]))


def test_exp_filter_without_limits_has_none():
    weights = exp_filter(torch.tensor([-100.0]), clip_weights_low=None)
    assert 0.0 < weights.item() < 1e-40


def test_leaky_relu_filter_passes_through_its_value_at_zero():
    weights = leaky_relu_filter(torch.zeros(1), target_f0=0.3, tau=0.2, add_binary=False)
    assert_close(weights, torch.tensor([0.3]))


def test_leaky_relu_filter_has_two_slopes():
    f = leaky_relu_filter(
        torch.tensor([-1.0, 1.0, 2.0]),
        beta=2.0, tau=0.0, neg_slope=0.1, target_f0=1.0, add_binary=False,
    )  # fmt: skip
    assert_close(f, torch.tensor([1.0 - 0.05, 1.5, 2.0]))


def test_leaky_relu_filter_adds_the_binary_one():
    ramp = leaky_relu_filter(ADVANTAGE, add_binary=False)
    assert_close(leaky_relu_filter(ADVANTAGE), ramp + torch.tensor([0.0, 0.0, 1.0, 1.0]))


def test_filters_are_configurable_under_the_agent():
    bind({"amago.agent.binary_filter.threshold": 1.0, "exp_filter.beta": 0.0})
    assert binary_filter(ADVANTAGE).tolist() == [False, False, False, True]
    assert_close(exp_filter(ADVANTAGE), torch.ones(4))
    assert binary_filter.__module__ == "amago.agent"
