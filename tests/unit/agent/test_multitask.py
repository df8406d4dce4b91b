import pytest
import torch
from torch.testing import assert_close

from amago.agent import MultiTaskAgent
from amago.core.config import bind
from amago.core.errors import ConfigError
from amago.core.values import Histogram
from amago.nets.actor_critic import NCritics
from amago.nets.policy_dists import Discrete, _Categorical


class CheckedDiscrete(Discrete):
    """A client's policy that leaves torch's argument checks on."""

    def forward(self, vec, log_dict=None):
        return _Categorical(probs=self.clip_and_normalize(vec.softmax(dim=-1)), validate_args=True)


@pytest.mark.parametrize("dist_type", [Discrete, CheckedDiscrete])
@pytest.mark.parametrize("online_coeff", [0.0, 1.0])
def test_discrete_actions_work_with_torch_s_argument_checks_on(  # item 21.1
    make_agent, make_batch, dist_type, online_coeff: float
):
    assert torch.distributions.Distribution._validate_args
    bind({"Actor.discrete_dist_type": dist_type})
    agent = make_agent("discrete", MultiTaskAgent, online_coeff=online_coeff)
    batch = make_batch("discrete")
    assert not batch.mask.all()
    loss = agent(batch, log_step=True)
    loss.backward()
    assert torch.isfinite(loss)
    assert agent.get_values(batch)["q_sa"].shape == (3, 6, 3, 1)


def test_defaults_imitate_rather_than_maximise(make_agent):
    agent = make_agent("continuous", MultiTaskAgent)
    assert (agent.online_coeff, agent.offline_coeff) == (0.0, 1.0)
    assert agent.num_actions_for_value_in_actor_loss == 3
    assert agent.num_actions_for_value_in_critic_loss == 1


def test_the_largest_bins_are_counted_over_valid_transitions(make_agent, make_batch):
    agent, batch = make_agent("continuous", MultiTaskAgent), make_batch("continuous")
    agent(batch, log_step=True)
    valid = int(batch.mask.sum())
    every = agent.update_info["Maximum Bin (All Gammas)"]
    target = agent.update_info["Maximum Bin (Target Gamma)"]
    assert isinstance(every, Histogram)
    assert every.counts.sum() == valid * 3 * 4  # discounts, critics
    assert target.counts.sum() == valid * 4
    assert len(every.counts) == 16
    assert len(every.edges) == 17


def test_critics_without_bins_are_refused(make_agent):
    with pytest.raises(ConfigError, match="bin_dist_to_raw_vals"):
        make_agent("continuous", MultiTaskAgent, critic_type=NCritics)


def test_maximising_actions_without_gradient_is_refused(make_agent):
    with pytest.raises(ConfigError, match="Multibinary"):
        make_agent("multibinary", MultiTaskAgent, online_coeff=1.0)


def test_sampling_goes_through_its_plug(make_agent):
    with pytest.raises(NotImplementedError):
        make_agent("continuous", MultiTaskAgent)._sample_k_actions(None, 1)


def test_targets_are_in_units_of_return(make_agent, make_batch):
    agent, seen = make_agent("continuous", MultiTaskAgent), []
    agent._reduce_critic_ensemble = lambda q: (seen.append(q), q.mean(dim=2, keepdim=True))[1]
    agent.popart.mu.fill_(1000.0)  # statistics must not enter
    agent(make_batch("continuous"), log_step=False)
    assert seen[0].shape == (3, 6, 4, 3, 1)
    assert seen[0].abs().max() <= 50.0


def test_rewards_are_logged_as_they_are(make_agent, make_batch):  # item 21.22
    agent, batch = make_agent("continuous", MultiTaskAgent), make_batch("continuous")
    agent(batch, log_step=True)
    true_mean = batch.rews[batch.mask].mean()
    assert_close(
        agent.update_info["Mean Reward (in training sequences)"], true_mean, rtol=1e-4, atol=0
    )
