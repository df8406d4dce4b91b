import pytest
import torch
from torch.testing import assert_close

from amago.nets.policy_dists import GMM, Beta, Multibinary, TanhGaussian

DISTS = [TanhGaussian, Beta, GMM]


@pytest.mark.parametrize("cls", [*DISTS, Multibinary])
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("d_action", [1, 3])
def test_samples_have_the_shape_of_actions(cls, k: int, d_action: int):
    output = cls(d_action)
    dist = output(torch.randn(2, 4, 5, output.input_dimension))
    assert dist.sample((k,)).shape == (k, 2, 4, 5, d_action)
    assert dist.mean.shape == (2, 4, 5, d_action)


@pytest.mark.parametrize("cls", DISTS)
def test_actions_lie_within_minus_one_and_one(cls):
    output = cls(2)
    dist = output(3.0 * torch.randn(100, output.input_dimension))
    assert dist.sample((20,)).abs().max() <= 1.0
    assert dist.mean.abs().max() <= 1.0


@pytest.mark.parametrize("cls", DISTS)
def test_density_integrates_to_one(cls):
    output = cls(1)
    dist = output(0.5 * torch.randn(1, output.input_dimension))
    grid = torch.linspace(-0.989, 0.989, 20_001)[:, None]
    mass = dist.log_prob(grid).exp().sum() * (grid[1, 0] - grid[0, 0])
    assert mass.item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("cls", [TanhGaussian, Beta])
def test_differentiable_samples_pass_a_gradient(cls):
    output = cls(2)
    assert output.actions_differentiable
    vec = torch.randn(4, output.input_dimension, requires_grad=True)
    output(vec).rsample().sum().backward()
    assert (vec.grad.abs().sum(dim=0) > 0).all()


@pytest.mark.parametrize("cls", [TanhGaussian, Beta])
def test_an_action_at_the_border_has_the_density_of_the_limit(cls):
    output = cls(1, clip_actions_on_log_prob=(-0.9, 0.8))
    dist = output(torch.zeros(1, output.input_dimension))
    assert_close(dist.log_prob(torch.tensor([[1.0]])), dist.log_prob(torch.tensor([[0.8]])))
    assert_close(dist.log_prob(torch.tensor([[-1.0]])), dist.log_prob(torch.tensor([[-0.9]])))


def test_log_prob_of_a_sample_does_not_depend_on_where_it_came_from():  # item 21.17
    dist = TanhGaussian(1)(torch.tensor([[6.0, 0.0]]))  # samples saturate beyond the limit
    sample = dist.sample()
    assert_close(dist.log_prob(sample), dist.log_prob(sample.clone()))


def test_greedy_action_of_a_squashed_normal_is_the_squashed_mean():
    dist = TanhGaussian(2)(torch.tensor([[0.5, -2.0, 0.0, 0.0]]))
    assert_close(dist.mean, torch.tanh(torch.tensor([[0.5, -2.0]])))


def test_beta_is_stretched_over_the_range_of_actions():
    dist = Beta(1, alpha_low=2.0, alpha_high=2.0, beta_low=6.0, beta_high=6.0)(torch.zeros(1, 2))
    assert_close(dist.mean, torch.tensor([[2.0 * 0.25 - 1.0]]))


def test_a_mixture_gives_one_density_for_the_whole_action():
    output = GMM(3, gmm_modes=2)
    dist = output(torch.randn(2, 4, output.input_dimension))
    assert dist.log_prob(torch.zeros(2, 4, 3)).shape == (2, 4, 1)
    assert torch.isfinite(dist.log_prob(torch.ones(2, 4, 3))).all()
