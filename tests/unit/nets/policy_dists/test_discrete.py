import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from amago.nets.policy_dists import Discrete, DiscreteLikeContinuous, Multibinary, _Categorical


def test_probabilities_stay_within_limits_and_sum_to_one():
    probs = Discrete(4, clip_prob_low=0.05, clip_prob_high=0.8)(
        torch.tensor([[50.0, 0, 0, 0]])
    ).probs
    assert_close(probs.sum(dim=-1), torch.ones(1))
    assert_close(probs, torch.tensor([[0.8, 0.05, 0.05, 0.05]]) / 0.95)


def test_stored_one_hots_are_softened_by_the_same_limits():
    action = Discrete(3, clip_prob_low=0.1, clip_prob_high=0.9).action_from_buffer(torch.eye(3))
    assert_close(action, (torch.eye(3) * 0.8 + 0.1) / 1.1)


def test_discrete_samples_keep_an_axis_of_one():
    dist = Discrete(3)(torch.zeros(2, 5, 4, 3))
    assert dist.sample().shape == (2, 5, 4, 1)
    assert dist.sample((7,)).shape == (7, 2, 5, 4, 1)


def test_discrete_samples_follow_the_probabilities():
    probs = torch.tensor([0.0, 0.2, 0.5, 0.3])
    draws = _Categorical(probs=probs).sample((20_000,))
    frequency = torch.bincount(draws.flatten(), minlength=4) / 20_000
    assert frequency[0] == 0.0
    assert_close(frequency, probs, atol=0.015, rtol=0.0)


def test_statistics_of_the_probabilities_are_logged_only_if_asked():
    log: dict = {}
    Discrete(3)(torch.zeros(1, 3), log_dict=log)
    assert set(log) == {f"activation-Discrete-probs-{s}" for s in ("max", "min", "std", "mean")}


def test_multibinary_is_one_bernoulli_per_switch():
    dist = Multibinary(2)(torch.tensor([[0.0, 100.0]]))
    assert_close(dist.probs, torch.tensor([[0.5, 1.0]]))
    assert_close(
        dist.log_prob(torch.tensor([[1.0, 1.0]])), torch.tensor([[-0.6931, 0.0]]), atol=1e-4, rtol=0
    )


def one_hot_view(logits: torch.Tensor) -> DiscreteLikeContinuous:
    return DiscreteLikeContinuous(torch.distributions.Categorical(logits=logits))


@pytest.mark.parametrize("method", ["sample", "rsample"])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_samples_of_the_one_hot_view_are_one_hots(method: str, shape: tuple[int, ...]):
    sample = getattr(one_hot_view(torch.randn(2, 4, 5)), method)(shape)
    assert sample.shape == (*shape, 2, 4, 5)
    assert_close(sample.sum(dim=-1), torch.ones(*shape, 2, 4))
    assert_close(sample.amax(dim=-1), torch.ones(*shape, 2, 4))


def test_one_hot_samples_follow_the_probabilities():
    probs = torch.tensor([0.1, 0.6, 0.3])
    frequency = one_hot_view(probs.log()).sample((20_000,)).mean(dim=0)
    assert_close(frequency, probs, atol=0.015, rtol=0.0)


def test_only_rsample_passes_a_gradient():
    logits = torch.randn(2, 3, requires_grad=True)
    view = one_hot_view(logits)
    assert not view.sample().requires_grad
    (view.rsample() * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert logits.grad.abs().sum() > 0


def test_log_prob_of_a_softened_or_padded_action_is_that_of_its_largest_entry():  # item 21.1
    view = one_hot_view(torch.tensor([[0.0, 1.0, 2.0]]))
    exact = view.log_prob(F.one_hot(torch.tensor([2]), 3).float())
    assert_close(view.log_prob(torch.tensor([[0.1, 0.1, 0.8]])), exact)
    assert_close(view.log_prob(torch.ones(1, 3)), view.log_prob(torch.tensor([[1.0, 0.0, 0.0]])))
