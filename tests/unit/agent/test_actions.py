import torch
from torch.testing import assert_close

from amago.agent.actions import Actions, ExactActions, SampledActions
from amago.nets.policy_dists import Discrete, DiscreteLikeContinuous, Multibinary, TanhGaussian


def make(cls: type[Actions], output, discrete: bool = False, multibinary: bool = False) -> Actions:
    return cls(
        policy_dist=output,
        discrete=discrete,
        multibinary=multibinary,
        num_gammas=3,
        sample_k=lambda dist, k: dist.probs.unsqueeze(0),
    )


def test_stored_actions_are_as_long_as_states_and_given_for_every_discount():
    actions = make(ExactActions, TanhGaussian(2)).stored(torch.rand(2, 4, 2))
    assert actions.shape == (2, 5, 3, 2)
    assert_close(actions[:, -1], actions[:, -2])


def test_padding_is_brought_into_range():
    padded = torch.full((1, 1, 2), 4.0)
    assert make(ExactActions, TanhGaussian(2)).stored(padded).max() == 1.0
    low = make(ExactActions, Discrete(2), discrete=True).stored(-padded)
    assert low.min() == 0.0


def test_critics_see_discrete_actions_under_the_limits_of_the_policy():
    output = Discrete(2, clip_prob_low=0.1, clip_prob_high=0.9)
    seen = make(ExactActions, output, discrete=True).seen_by_critics(torch.eye(2))
    assert_close(seen, torch.tensor([[0.9, 0.1], [0.1, 0.9]]))


def test_log_probs_are_summed_over_a_continuous_action():
    dist = TanhGaussian(2)(torch.randn(1, 5, 3, 4))
    a = 0.5 * torch.rand(1, 5, 3, 2)
    log_prob = make(ExactActions, TanhGaussian(2)).log_prob(dist, a)
    assert_close(log_prob, dist.log_prob(a).sum(dim=-1, keepdim=True))


def test_log_probs_are_averaged_over_switches():
    dist = Multibinary(4)(torch.randn(1, 5, 3, 4))
    a = torch.ones(1, 5, 3, 4)
    log_prob = make(ExactActions, Multibinary(4), multibinary=True).log_prob(dist, a)
    assert_close(log_prob, dist.log_prob(a).mean(dim=-1, keepdim=True))


def test_both_plugs_agree_on_the_log_prob_of_a_choice():
    dist = Discrete(3)(torch.randn(2, 5, 3, 3))
    a = torch.eye(3)[torch.randint(3, (2, 5, 3))]
    exact = make(ExactActions, Discrete(3), discrete=True)
    sampled = make(SampledActions, Discrete(3), discrete=True)
    want = dist.log_prob(a.argmax(dim=-1))[..., None]
    assert_close(exact.log_prob(exact.view(dist), a), want)
    assert_close(sampled.log_prob(sampled.view(dist), a), want)


def test_exact_actions_are_what_the_agent_samples():
    dist = Discrete(3)(torch.randn(2, 5, 3, 3))
    exact = make(ExactActions, Discrete(3), discrete=True)
    assert_close(exact.draw(dist, k=1, with_gradient=True), dist.probs[None])


def test_sampled_actions_are_one_hots_with_a_gradient_on_demand():
    vec = torch.randn(2, 5, 3, 3, requires_grad=True)
    sampled = make(SampledActions, Discrete(3), discrete=True)
    view = sampled.view(Discrete(3)(vec))
    assert isinstance(view, DiscreteLikeContinuous)
    for with_gradient in (True, False):
        drawn = sampled.draw(view, k=4, with_gradient=with_gradient)
        assert drawn.shape == (4, 2, 5, 3, 3)
        assert drawn.requires_grad == with_gradient
        assert_close(drawn.amax(dim=-1), torch.ones(4, 2, 5, 3))
