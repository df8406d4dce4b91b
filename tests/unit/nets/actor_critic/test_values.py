import math
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from amago.core.config import bind
from amago.core.errors import ConfigError
from amago.nets.actor_critic import (
    NCriticsTwoHot,
    PopArtLayer,
    PopArtRegression,
    TwoHotClassification,
)

EVERY = torch.ones(1, 1, 1, 1, 1, dtype=torch.bool)


def column(*values: float) -> torch.Tensor:
    """`[1 T 1 1 1]`."""
    return torch.tensor(values)[None, :, None, None, None]


def test_the_first_update_moves_the_statistics_about_half_way():
    popart = PopArtLayer(gammas=1, beta=0.1, init_nu=4.0)
    popart.update_stats(column(1.0, 3.0), mask=EVERY)
    rate = 0.1 / (1.0 - 0.9**2)  # t is raised to 2 first
    assert_close(popart.mu, torch.tensor([[rate * 2.0]]))
    assert_close(popart.nu, torch.tensor([[(1 - rate) * 4.0 + rate * 5.0]]))


def test_masked_values_do_not_count():
    popart, same = PopArtLayer(gammas=1), PopArtLayer(gammas=1)
    popart.update_stats(column(1.0, 3.0, 1e6), mask=column(1.0, 1.0, 0.0).bool())
    same.update_stats(column(1.0, 3.0), mask=EVERY)
    assert_close(popart.state_dict(), same.state_dict())


def test_an_update_without_a_valid_value_changes_nothing():  # item 21.8
    popart = PopArtLayer(gammas=2)
    before = {key: value.clone() for key, value in popart.state_dict().items()}
    popart.update_stats(torch.randn(2, 3, 1, 2, 1), mask=torch.zeros(2, 3, 1, 1, 1).bool())
    assert_close(popart.state_dict(), before)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])  # 1e60 is no float32
def test_values_that_are_not_finite_do_not_spoil_the_statistics(bad: float):
    popart, same = PopArtLayer(gammas=1), PopArtLayer(gammas=1)
    popart.update_stats(column(1.0, bad, 3.0), mask=EVERY)
    same.update_stats(column(1.0, 3.0), mask=EVERY)
    assert_close(popart.state_dict(), same.state_dict(), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("bad", [math.nan, 1.8e19])  # the second overflows in the sum alone
def test_a_batch_of_unusable_values_changes_nothing(bad: float):
    popart = PopArtLayer(gammas=1)
    popart.update_stats(column(1.0, 3.0), mask=EVERY)
    before = {key: value.clone() for key, value in popart.state_dict().items()}
    popart.update_stats(column(bad, bad, bad), mask=EVERY)
    assert_close(dict(popart.state_dict()), before, rtol=0.0, atol=0.0)


def test_a_bad_value_of_one_discount_leaves_the_others_alone():
    popart, same, values = PopArtLayer(gammas=2), PopArtLayer(gammas=2), torch.randn(1, 4, 1, 2, 1)
    same.update_stats(values, mask=EVERY)
    values[0, :, 0, 1] = math.nan
    popart.update_stats(values, mask=EVERY)
    assert_close(popart.mu[0], same.mu[0], rtol=0.0, atol=0.0)
    assert_close(popart.mu[1], torch.zeros(1))
    assert_close(popart._t, torch.tensor([[2.0], [1.0]]))


def test_predictions_in_units_of_return_survive_an_update():
    popart, output = PopArtLayer(gammas=2, beta=0.3), torch.randn(3, 2, 1)
    before = popart(output, normalized=False)
    popart.update_stats(10.0 + 5.0 * torch.randn(4, 6, 1, 2, 1), mask=EVERY)
    assert_close(popart(output, normalized=False), before)
    assert (popart(output) - popart(output, normalized=False)).abs().min() > 1e-3


def test_normalized_targets_have_unit_scale_in_the_long_run():
    popart = PopArtLayer(gammas=1, beta=0.05)
    for _ in range(300):
        popart.update_stats(100.0 + 7.0 * torch.randn(1, 500, 1, 1, 1), mask=EVERY)
    values = popart.normalize_values(100.0 + 7.0 * torch.randn(2000, 1, 1))
    assert values.mean().item() == pytest.approx(0.0, abs=0.1)
    assert values.std().item() == pytest.approx(1.0, abs=0.1)


def test_sigma_has_a_floor_when_values_do_not_vary():
    popart = PopArtLayer(gammas=1, beta=1.0)
    popart.update_stats(column(3.0, 3.0), mask=EVERY)
    assert_close(popart.sigma, torch.tensor([[1e-4]]))


def test_a_disabled_layer_changes_nothing():
    popart, x = PopArtLayer(gammas=1, enabled=False), torch.randn(2, 1, 1)
    popart.update_stats(column(5.0), mask=EVERY)
    assert_close(popart.mu, torch.zeros(1, 1))
    assert popart(x) is x
    assert popart(x, normalized=False) is x
    assert popart.normalize_values(x) is x


def test_whether_popart_is_used_cannot_be_bound():
    with pytest.raises(ConfigError):
        bind({"PopArtLayer.enabled": False})


class Recording:
    """Critics that give the mean of the action, and remember whether a gradient was wanted."""

    def __init__(self, scale: float) -> None:
        self.scale, self.grad_modes = scale, []

    def __call__(self, state: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        self.grad_modes.append(torch.is_grad_enabled())
        value = self.scale * action.mean(dim=-1, keepdim=True)[:, :, :, None]  # [K B T 1 G 1]
        offset = torch.tensor([0.0, 1.0])[None, None, None, :, None, None]
        return value + offset + 0.0 * state.sum()  # C = 2


def own_actions(with_gradient: bool) -> torch.Tensor:
    return torch.full((3, 1, 2, 1, 2), 0.5, requires_grad=with_gradient)


def test_regression_reads_the_maximised_critics_for_both():
    net = SimpleNamespace(critics=None, maximized_critics=Recording(scale=2.0))
    values = PopArtRegression(critics=None, popart=PopArtLayer(gammas=1))
    baseline, own = values.of_policy(net, torch.zeros(1, 2, 4), own_actions, online=True)
    assert_close(baseline, torch.full((1, 2, 1, 1), 1.5))  # mean of 1 and 2
    assert_close(own.detach(), torch.full((1, 2, 1, 1), 1.0))  # min of 1 and 2
    assert net.maximized_critics.grad_modes == [True]
    assert own.requires_grad
    assert not baseline.requires_grad


def test_regression_takes_no_gradient_when_only_the_baseline_is_needed():
    net = SimpleNamespace(critics=None, maximized_critics=Recording(scale=2.0))
    values = PopArtRegression(critics=None, popart=PopArtLayer(gammas=1))
    _, own = values.of_policy(net, torch.zeros(1, 2, 4), own_actions, online=False)
    assert own is None
    assert net.maximized_critics.grad_modes == [False]


def test_classification_reads_the_online_critics_for_the_baseline():
    net = SimpleNamespace(critics=Recording(scale=4.0), maximized_critics=Recording(scale=2.0))
    popart = PopArtLayer(gammas=1, init_nu=4.0)  # sigma is 2
    decoder = SimpleNamespace(bin_dist_to_raw_vals=lambda output: output)
    values = TwoHotClassification(critics=decoder, popart=popart)
    baseline, own = values.of_policy(net, torch.zeros(1, 2, 4), own_actions, online=True)
    assert_close(baseline, torch.full((1, 2, 1, 1), 2.5))  # mean of 2 and 3
    assert_close(own.detach(), torch.full((1, 2, 1, 1), 0.5))  # min of 1 and 2, normalised
    assert net.critics.grad_modes == [False]
    assert net.maximized_critics.grad_modes == [True]


def test_classification_loss_is_lowest_at_the_target():
    critics = NCriticsTwoHot(
        state_dim=1, action_dim=1, gammas=torch.tensor([0.9]), discrete=False, num_critics=1,
        min_return=-2.0, max_return=2.0, output_bins=5, use_symlog=False,
    )  # fmt: skip
    values = TwoHotClassification(critics, PopArtLayer(gammas=1))
    logits = torch.zeros(1, 1, 1, 1, 1, 5)
    uniform = torch.distributions.Categorical(logits=logits)
    loss = values.td_loss(uniform, torch.ones(1, 1, 1, 1, 1))
    assert loss.shape == (1, 1, 1, 1, 1)
    assert loss.item() == pytest.approx(math.log(5.0))
    sure = logits.clone()
    sure[..., 3] = 20.0
    assert (
        values.td_loss(torch.distributions.Categorical(logits=sure), torch.ones(1, 1, 1, 1, 1))
        < 1e-6
    )
