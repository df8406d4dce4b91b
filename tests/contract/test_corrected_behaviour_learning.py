"""How agents and policies behave where AMAGO 3.x surprises: see `test_corrected_behaviour.py`."""

from typing import Any

import gymnasium as gym
import pytest
import torch
from torch.testing import assert_close

from amago.agent import Agent, MultiTaskAgent, leaky_relu_filter
from amago.core.config import bind
from amago.loading import Batch
from amago.nets.actor_critic import PopArtLayer, TwoHotClassification
from amago.nets.policy_dists import GMM, Beta, Discrete, TanhGaussian
from amago.nets.traj_encoders import FFTrajEncoder
from amago.nets.tstep_encoders import FFTstepEncoder
from amago.rl.masking import masked_mean

SPACES = {"discrete": gym.spaces.Discrete(3), "continuous": gym.spaces.Box(-1.0, 1.0, (3,))}


def make_agent(cls: type[Agent], kind: str, **settings: Any) -> Agent:
    bind(
        {
            "Multigammas.discrete": [0.9],
            "Multigammas.continuous": [0.9],
            "NCriticsTwoHot.min_return": -50.0,
            "NCriticsTwoHot.max_return": 50.0,
        }
    )
    return cls(
        obs_space=gym.spaces.Dict({"observation": gym.spaces.Box(-1.0, 1.0, (4,))}),
        rl2_space=gym.spaces.Box(-1.0, 1.0, (4,)),
        action_space=SPACES[kind],
        max_seq_len=8,
        tstep_encoder_type=FFTstepEncoder,
        traj_encoder_type=FFTrajEncoder,
        **settings,
    ).eval()


def make_batch() -> Batch:
    """Two sequences of five transitions."""
    actions = torch.eye(3)[torch.randint(3, (2, 5))]
    rews = torch.randn(2, 5, 1)
    first = torch.zeros(2, 1, 4)
    return Batch(
        obs={"observation": torch.randn(2, 6, 4)},
        rl2s=torch.cat((first, torch.cat((rews, actions), dim=-1)), dim=1),
        rews=rews,
        dones=torch.zeros(2, 5, 1, dtype=torch.bool),
        actions=actions,
        time_idxs=torch.arange(6).expand(2, -1)[..., None],
    )


def test_the_loss_filters_raw_advantages_and_get_values_scaled_ones():
    """Item 21.14: the two agree for the binary filter, and differ for the others."""
    agent, batch, seen = make_agent(Agent, "discrete"), make_batch(), []
    agent.fbc_filter_func = lambda advantage: seen.append(advantage) or (advantage > 0)
    agent.popart.w.fill_(3.0)
    agent.popart.update_stats = lambda val, mask: None  # the scale stays what it is
    agent(batch, log_step=False)
    agent.get_values(batch)
    raw, scaled = seen
    assert_close(scaled, 3.0 * raw, rtol=1e-4, atol=1e-5)
    assert raw.abs().max() > 1e-4


def test_a_gradient_flows_through_the_renormalisation_of_probabilities():
    """Item 21.16: as of a plain clip and division, and none through an entry that was clipped."""
    logits = torch.tensor([4.0, 0.0, -1.0, -9.0], requires_grad=True)
    limits = {"clip_prob_low": 0.01, "clip_prob_high": 0.9}
    dist = Discrete(d_action=4, **limits)(logits)
    (found,) = torch.autograd.grad(dist.log_prob(torch.tensor(1)), logits)
    clipped = logits.softmax(dim=-1).clamp(0.01, 0.9)
    assert clipped.tolist()[::3] == pytest.approx([0.9, 0.01])
    (expected,) = torch.autograd.grad((clipped[1] / clipped.sum()).log(), logits)
    assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_the_maximised_value_of_many_tasks_has_no_scale_and_shift():
    """Item 21.21: the mean and deviation of targets only."""
    popart = PopArtLayer(gammas=1)
    popart.mu.fill_(2.0)
    popart.nu.fill_(13.0)  # a variance of 9
    popart.w.fill_(5.0)
    popart.b.fill_(7.0)
    values = TwoHotClassification(critics=None, popart=popart)
    assert_close(values.normalized(torch.full((1, 1), 8.0)), torch.full((1, 1), 2.0))


def test_many_tasks_sample_three_actions_for_the_actor_and_one_for_critics():
    """Item 21.29."""
    agent, batch = make_agent(MultiTaskAgent, "continuous"), make_batch()
    counts = {"critics": [], "target_critics": []}
    for name, seen in counts.items():
        hook = lambda module, args, output, seen=seen: seen.append(len(args[1]))  # noqa: E731
        getattr(agent, name).register_forward_hook(hook)
    agent(batch, log_step=False)
    assert counts == {"critics": [1, 3], "target_critics": [1]}  # the stored action, the baseline


def test_the_leaky_relu_filter_is_limited_and_binary_by_default():
    """Item 21.30."""
    weights = leaky_relu_filter(torch.tensor([-1e6, 1e6]))
    assert_close(weights, torch.tensor([1e-7, 10.0 + 1.0]))


@pytest.mark.parametrize("dist_type", [TanhGaussian, Beta, GMM])
def test_the_entropy_of_a_continuous_policy_is_estimated_from_a_sample(dist_type):
    """Item 21.31."""
    bind({"Actor.continuous_dist_type": dist_type})
    agent, batch = make_agent(Agent, "continuous", online_coeff=0.0), make_batch()
    with torch.no_grad():
        state, _ = agent.get_state_embedding(batch.obs, batch.rl2s, batch.time_idxs)
        dist = agent.actor(state)
        torch.manual_seed(1)
        log_prob = dist.log_prob(dist.sample()).sum(dim=-1)  # [B L G]
        torch.manual_seed(1)
        stats = agent._policy_stats(batch.mask[..., None], dist)
    expected = masked_mean(-log_prob[:, :-1, -1], batch.mask)
    assert_close(stats["Policy Entropy (test-time gamma)"], expected)
