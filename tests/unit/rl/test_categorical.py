import pytest
import torch
from torch.testing import assert_close

from amago.rl.categorical import (
    BinDistribution,
    expected_value,
    hl_gauss,
    peaked_logits,
    two_hot,
)

BINS = torch.linspace(-2.0, 2.0, 5)


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None]


def test_two_hot_splits_a_value_between_its_neighbours():
    assert_close(two_hot(column(0.25), BINS), torch.tensor([[0.0, 0.0, 0.75, 0.25, 0.0]]))


def test_two_hot_gives_one_bin_to_a_value_on_it():
    assert_close(two_hot(column(-2.0, 1.0, 2.0), BINS), torch.eye(5)[[0, 3, 4]])


def test_two_hot_saturates_at_the_end_bins():
    assert_close(two_hot(column(-1e9, 2.001), BINS), torch.eye(5)[[0, 4]])


def test_the_mean_of_a_two_hot_label_is_the_value():
    values = torch.linspace(-2.0, 2.0, 33)[:, None]
    assert_close(expected_value(two_hot(values, BINS), BINS), values)


def test_hl_gauss_is_symmetric_around_a_bin():
    label = hl_gauss(column(0.0), BINS, sigma=0.75)[0]
    assert_close(label, label.flip(0))
    assert_close(label.sum(), torch.tensor(1.0))
    assert label.argmax() == 2


def test_hl_gauss_mass_of_a_bin_is_that_of_the_normal_distribution():
    wide = torch.linspace(-10.0, 10.0, 21)
    label = hl_gauss(column(0.0), wide, sigma=1.0)[0]
    assert label[10].item() == pytest.approx(0.38292, abs=1e-4)  # P(|z| < 0.5)


def test_hl_gauss_saturates_at_the_end_bin_far_outside_the_support():  # item 21.6
    labels = hl_gauss(column(-1e6, -50.0, 50.0, 1e30), BINS, sigma=0.75)
    assert_close(labels, torch.eye(5)[[0, 0, 4, 4]])


def test_hl_gauss_labels_always_sum_to_one():
    values = torch.linspace(-20.0, 20.0, 401)[:, None]
    assert_close(hl_gauss(values, BINS, sigma=0.5).sum(dim=-1), torch.ones(401))


def test_peaked_logits_have_their_mean_at_the_value():
    bins = torch.linspace(-50.0, 50.0, 101)
    probs = torch.softmax(peaked_logits(3.3, bins), dim=-1)
    assert_close(expected_value(probs, bins), torch.tensor([3.3]), atol=1e-3, rtol=0.0)


def test_a_bin_distribution_is_torchs_categorical():
    scores = torch.randn(3, 4, 6)
    ours, theirs = BinDistribution(scores), torch.distributions.Categorical(logits=scores)
    assert ours.batch_shape == theirs.batch_shape
    assert_close(ours.logits, theirs.logits)
    assert_close(ours.probs, theirs.probs)
    assert_close(ours.entropy(), theirs.entropy())
    bins = torch.randint(6, (3, 4))
    assert_close(ours.log_prob(bins), theirs.log_prob(bins))
    assert ours.sample((5,)).shape == (5, 3, 4)


@pytest.mark.parametrize("read", ("logits", "probs"))
def test_a_bin_distribution_passes_the_gradient_of_torchs(read):
    scores, weight = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6)
    makers = BinDistribution, lambda x: torch.distributions.Categorical(logits=x)
    gradients = []
    for make in makers:
        (gradient,) = torch.autograd.grad((getattr(make(scores), read) * weight).sum(), scores)
        gradients.append(gradient)
    assert_close(*gradients)
