"""Agents whose actions are several choices at once (`MultiDiscrete`)."""

import gymnasium as gym
import pytest
import torch
from torch.testing import assert_close

from amago.agent import Agent, MultiTaskAgent
from amago.agent.actions import ExactActions, SampledActions
from amago.core.config import bind
from amago.core.errors import ConfigError
from amago.nets.actor_critic import NCritics
from amago.nets.policy_dists import Discrete, FactoredDiscrete
from amago.nets.traj_encoders import TformerTrajEncoder

BOTH = pytest.mark.parametrize("cls", [Agent, MultiTaskAgent])
ONE_CRITIC = {"num_critics": 1, "num_critics_td": 1}


def inputs(batch: int = 2, length: int = 1) -> dict:
    return {
        "obs": {"observation": torch.randn(batch, length, 4)},
        "rl2s": torch.randn(batch, length, 6),
        "time_idxs": torch.arange(length).expand(batch, length)[..., None],
    }


@pytest.mark.parametrize("sample", [True, False])
@BOTH
def test_an_action_is_an_int64_index_for_each_factor(make_agent, cls, sample: bool):
    actions, _ = make_agent("multidiscrete", cls).get_actions(**inputs(50, 5), sample=sample)
    assert actions.shape == (50, 5, 2)
    assert actions.dtype == torch.int64
    assert actions[..., 0].max() <= 1
    assert actions[..., 1].max() <= 2


def test_the_best_guess_is_the_likeliest_choice_of_each_factor(make_agent):
    agent = make_agent("multidiscrete")
    with torch.no_grad():
        agent.actor.base.out_layer.weight.zero_()
        agent.actor.base.out_layer.bias.copy_(torch.tensor([0.0, 1.0, 0.0, 0.0, 2.0]).repeat(3))
    actions, _ = agent.get_actions(**inputs(), sample=False)
    assert actions[0, 0].tolist() == [1, 2]


def test_values_of_factors_add_up_and_so_do_their_expectations():
    """Q(a) = sum of q_i[a_i], so E[Q] = sum of p_i . q_i: checked against all 6 actions."""
    critics = NCritics(3, 5, True, torch.tensor([0.9]), num_critics=2, d_hidden=8)
    state = torch.randn(1, 1, 3)
    dist = FactoredDiscrete(Discrete, (2, 3))(torch.randn(1, 1, 1, 5))
    expected = torch.zeros(1, 1, 1, 2, 1, 1)
    for i in range(2):
        for j in range(3):
            one_hots = torch.cat((torch.eye(2)[i], torch.eye(3)[j])).expand(1, 1, 1, 1, 5)
            probability = dist.log_prob(torch.tensor([[[[i, j]]]])).exp()
            expected = expected + probability * critics(state, one_hots)
    assert_close(critics(state, dist.probs[None]), expected)


def test_one_factor_learns_as_a_single_choice_does(make_agent, make_batch):
    single = make_agent("discrete", **ONE_CRITIC, online_coeff=0.7, n_step=2)
    one = make_agent(
        "discrete",
        **ONE_CRITIC,
        online_coeff=0.7,
        n_step=2,
        action_space=gym.spaces.MultiDiscrete([3]),
    )
    one.load_state_dict(single.state_dict(), strict=True)
    losses = [agent(make_batch("discrete"), log_step=True) for agent in (single, one)]
    for loss in losses:
        loss.backward()
    assert torch.equal(*losses)
    assert single.update_info.keys() == one.update_info.keys()
    for (name, a), b in zip(single.named_parameters(), one.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None), name
        assert a.grad is None or torch.equal(a.grad, b.grad), name


def test_both_plugs_agree_on_the_log_prob_of_stored_choices(make_agent, make_batch):
    agent = make_agent("multidiscrete")
    stored = agent._actions().stored(make_batch("multidiscrete").actions)
    dist = agent.actor(torch.randn(3, 7, 6))
    found = []
    for cls in (ExactActions, SampledActions):
        agent.actions_type = cls
        actions = agent._actions()
        found.append(actions.log_prob(actions.view(dist), stored))
    assert found[0].shape == (3, 7, 3, 1)
    assert_close(*found)


def test_padding_does_not_reach_the_loss(make_agent, make_batch):
    agent = make_agent("multidiscrete", **ONE_CRITIC, n_step=3).eval()
    batch = make_batch("multidiscrete")
    start = {k: v.clone() for k, v in agent.state_dict().items()}
    loss = agent(batch, log_step=False)
    agent.load_state_dict(start)
    batch.actions[~batch.mask] = torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0])
    assert_close(agent(batch, log_step=False), loss)


@BOTH
@pytest.mark.parametrize("online_coeff", [0.0, 1.0])
@pytest.mark.parametrize("fake_filter", [True, False])
def test_every_combination_of_losses_moves_every_factor(
    make_agent, make_batch, cls, online_coeff: float, fake_filter: bool
):
    agent = make_agent("multidiscrete", cls, online_coeff=online_coeff, fake_filter=fake_filter)
    agent(make_batch("multidiscrete"), log_step=False).backward()
    gradient = agent.actor.base.out_layer.bias.grad.reshape(3, 5)
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).all()


def test_a_transformer_remembers_them_step_by_step(make_agent):
    bind({"TformerTrajEncoder.d_model": 16, "TformerTrajEncoder.n_heads": 2})
    bind({"TformerTrajEncoder.d_ff": 16, "TformerTrajEncoder.n_layers": 1})
    agent = make_agent("multidiscrete", traj_encoder_type=TformerTrajEncoder).eval()
    whole = inputs(length=6)
    at_once, _ = agent.get_actions(**whole, sample=False)
    hidden, steps = agent.init_hidden_state(2, torch.device("cpu")), []
    for t in range(6):
        obs = {"observation": whole["obs"]["observation"][:, t : t + 1]}
        now = {key: whole[key][:, t : t + 1] for key in ("rl2s", "time_idxs")}
        action, hidden = agent.get_actions(obs=obs, **now, hidden_state=hidden, sample=False)
        steps.append(action)
    assert_close(torch.cat(steps, dim=1), at_once)


class Tempered(Discrete):
    """A client's policy, with a temperature."""

    temperature = 1.0

    def forward(self, vec, log_dict=None):
        return super().forward(vec / self.temperature, log_dict=log_dict)


def test_each_factor_is_a_policy_of_the_kind_that_was_asked_for(make_agent):
    bind({"Actor.discrete_dist_type": Tempered})
    agent = make_agent("multidiscrete")
    for head in (agent.actor, agent.target_actor):
        assert [type(factor) for factor in head.policy_dist.factors] == [Tempered, Tempered]
        assert [factor.d_action for factor in head.policy_dist.factors] == [2, 3]


class Wide(Discrete):
    """Needs one number more than there are choices."""

    @property
    def input_dimension(self) -> int:
        return self.d_action + 1


def test_a_policy_whose_parts_need_more_numbers_than_the_whole_is_refused(make_agent):
    bind({"Actor.discrete_dist_type": Wide})
    with pytest.raises(ConfigError, match=r"Wide of 5 choices reads 6 numbers.* 7: it cannot"):
        make_agent("multidiscrete")
