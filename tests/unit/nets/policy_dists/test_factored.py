import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from amago.core.errors import ConfigError
from amago.nets.policy_dists import (
    Discrete,
    DiscreteLikeContinuous,
    FactoredDiscrete,
    FactoredLikeContinuous,
    TanhGaussian,
    like_continuous,
)

CHOICES = (2, 3)


def made(vec: torch.Tensor):
    return FactoredDiscrete(Discrete, CHOICES)(vec)


@pytest.fixture
def by_hand():
    """Two factors with probabilities (0.25, 0.75) and (0.5, 0.3, 0.2)."""
    return made(torch.tensor([[[[0.25, 0.75, 0.5, 0.3, 0.2]]]]).log())


def test_a_hand_worked_case(by_hand):
    assert_close(by_hand.probs[0, 0, 0], torch.tensor([0.25, 0.75, 0.5, 0.3, 0.2]))
    assert_close(by_hand.logits, by_hand.probs.log())
    assert by_hand.mode[0, 0, 0].tolist() == [1, 0]
    log_prob = by_hand.log_prob(torch.tensor([[[[1, 2]]]]))
    assert_close(log_prob[0, 0, 0], torch.tensor(0.75 * 0.2).log())
    entropy = -sum(p * torch.tensor(p).log() for p in (0.25, 0.75, 0.5, 0.3, 0.2))
    assert_close(by_hand.entropy()[0, 0, 0], entropy)


def test_samples_are_an_index_for_each_factor():
    dist = made(torch.zeros(2, 5, 4, 5))
    assert dist.sample().shape == (2, 5, 4, 2)
    draws = dist.sample((7,))
    assert draws.shape == (7, 2, 5, 4, 2)
    assert draws.amax(dim=(0, 1, 2, 3)).tolist() == [1, 2]


def test_samples_follow_the_probabilities_of_each_factor_independently(by_hand):
    draws = by_hand.sample((20_000,)).reshape(-1, 2)
    counts = torch.bincount(3 * draws[:, 0] + draws[:, 1], minlength=6).reshape(2, 3)
    wanted = torch.outer(torch.tensor([0.25, 0.75]), torch.tensor([0.5, 0.3, 0.2]))
    assert_close(counts / 20_000, wanted, atol=0.015, rtol=0.0)


def test_each_factor_has_its_own_limits():
    output = FactoredDiscrete(lambda n: Discrete(n, 0.1, 0.9), CHOICES)
    probs = output(torch.tensor([[9.0, -99.0, 99.0, 0.0, 0.0]])).probs[0]
    assert_close(probs, torch.tensor([0.9, 0.1, 0.9 / 1.1, 0.1 / 1.1, 0.1 / 1.1]))
    stored = torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0]])
    assert_close(output.action_from_buffer(stored)[0], probs)


def test_stored_one_hots_are_read_factor_by_factor():
    output = FactoredDiscrete(Discrete, CHOICES)
    padding = [1.0] * 5
    stored = torch.tensor([[0.0, 1.0, 0.0, 0.0, 1.0], padding])
    assert output.choice(stored).tolist() == [[1, 2], [0, 0]]


def test_the_width_is_that_of_one_choice_among_all():
    output = FactoredDiscrete(Discrete, CHOICES)
    assert (output.d_action, output.input_dimension) == (5, 5)
    assert output.is_discrete
    assert output.actions_differentiable


def test_one_factor_is_a_single_choice():
    vec = torch.randn(2, 5, 4, 3)
    one, single = FactoredDiscrete(Discrete, (3,))(vec), Discrete(3)(vec)
    choice = torch.randint(3, (2, 5, 4))
    assert_close(one.probs, single.probs)
    assert_close(one.log_prob(choice[..., None]), single.log_prob(choice))
    assert_close(one.entropy(), single.entropy())


def test_statistics_are_those_of_all_probabilities():
    log: dict = {}
    FactoredDiscrete(Discrete, CHOICES)(torch.tensor([[0.0, 9.0, 0.0, 0.0, 0.0]]), log_dict=log)
    assert set(log) == {f"activation-Discrete-probs-{s}" for s in ("max", "min", "std", "mean")}
    assert log["activation-Discrete-probs-max"] > 0.9


def test_a_distribution_over_numbers_is_refused():
    with pytest.raises(ConfigError, match="TanhGaussian is no distribution over choices"):
        FactoredDiscrete(TanhGaussian, CHOICES)


# ---------------------------------------------------------------------------------- as one-hots


def test_seen_as_one_hots_samples_have_one_choice_in_each_factor():
    view = like_continuous(made(torch.randn(2, 5, 4, 5)))
    for draws in (view.sample((6,)), view.rsample((6,))):
        assert draws.shape == (6, 2, 5, 4, 5)
        for part in draws.split(CHOICES, dim=-1):
            assert_close(part.sort(dim=-1).values[..., :-1], torch.zeros_like(part[..., 1:]))
            assert_close(part.sum(dim=-1), torch.ones(6, 2, 5, 4))


def test_seen_as_one_hots_log_probs_are_those_of_the_choices(by_hand):
    view = like_continuous(by_hand)
    one_hots = torch.cat([F.one_hot(torch.tensor(i), n) for i, n in ((1, 2), (2, 3))])
    log_prob = view.log_prob(one_hots.float().expand(1, 1, 1, 5))
    assert_close(log_prob, by_hand.log_prob(torch.tensor([[[[1, 2]]]])))
    assert_close(view.probs, by_hand.probs)
    assert_close(view.mean, by_hand.probs)
    assert_close(view.logits, by_hand.logits)
    assert_close(view.entropy(), by_hand.entropy())


def test_only_differentiable_samples_pass_a_gradient_to_every_factor():
    vec = torch.randn(1, 1, 1, 5, requires_grad=True)
    view = like_continuous(made(vec))
    assert not view.sample().requires_grad
    (view.rsample() * torch.arange(5.0)).sum().backward()
    assert (vec.grad != 0).all()


def test_the_view_follows_the_kind_of_distribution():
    assert isinstance(like_continuous(Discrete(3)(torch.zeros(1, 3))), DiscreteLikeContinuous)
    assert isinstance(like_continuous(made(torch.zeros(1, 5))), FactoredLikeContinuous)
