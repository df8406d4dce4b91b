import numbers

import pytest
import torch
from torch.testing import assert_close

from amago.agent import Agent, MultiTaskAgent
from amago.core.values import Histogram

CHEAP = {"Actor Loss", "Critic Loss", "Unmasked Batch Size (in Timesteps)"}
ALWAYS = {
    *CHEAP,
    "Sequence Length",
    "Batch Size (in Timesteps)",
    "Mean Reward (in training sequences)",
    "Min Reward (in training sequences)",
    "Max Reward (in training sequences)",
    "Sequences Containing Done",
    "Minimum Action Logprob",
    "Maximum Action Logprob",
    "Mean Action Logprob",
    "Filter Max",
    "Filter Min",
    "Filter Mean",
    "Filter 95th Percentile",
    "Filter 75th Percentile",
    "Pct. of Actions Approved by Binary FBC Filter (All Gammas)",
    "Pct. of Actions Approved by Binary FBC (gamma =  0.500)",
    "Pct. of Actions Approved by Binary FBC (gamma =  0.900)",
    "Pct. of Actions Approved by Binary FBC (gamma =  0.999)",
}
CRITIC = {
    *(f"Q(s, a) (global mean, rescaled) gamma={g}" for g in ("0.500", "0.900", "0.999")),
    *(f"Q(s,a) (global mean, raw scale) gamma={g}" for g in ("0.500", "0.900", "0.999")),
    *(
        f"Q(s, a) Ensemble Stdev. (raw scale, ignoring padding) gamma={g}"
        for g in ("0.500", "0.900", "0.999")
    ),
    "Q(s, a) (global std, rescaled, ignoring padding)",
    "Min TD Target",
    "Max TD Target",
    "TD Target (test-time gamma)",
    *(f"PopArt {name} (mean over gamma)" for name in ("mu", "nu", "w", "b", "sigma")),
}
POLICY = {
    "discrete": {
        "Policy Per-timestep Entropy (test-time gamma)",
        "Policy Per-timstep Low Prob. (test-time gamma)",
        "Policy Per-timestep High Prob. (test-time gamma)",
        "Policy Overall Highest Prob.",
    },
    "continuous": {"Policy Entropy (test-time gamma)"},
    "multibinary": {"Policy Entropy (test-time gamma)"},
}
POLICY["multidiscrete"] = POLICY["discrete"]
BINS = {"Maximum Bin (All Gammas)", "Maximum Bin (Target Gamma)"}


def without_activations(info: dict) -> set[str]:
    return {name for name in info if not name.startswith("activation-")}


@pytest.mark.parametrize("kind", list(POLICY))
@pytest.mark.parametrize("cls", [Agent, MultiTaskAgent])
def test_a_log_step_has_every_metric_and_no_other(make_agent, make_batch, cls, kind: str):
    agent = make_agent(kind, cls)
    agent(make_batch(kind), log_step=True)
    bins = BINS if cls is MultiTaskAgent else set()
    assert without_activations(agent.update_info) == ALWAYS | CRITIC | POLICY[kind] | bins
    assert any(name.startswith("activation-") for name in agent.update_info)


@pytest.mark.parametrize("cls", [Agent, MultiTaskAgent])
def test_imitation_has_no_metrics_of_critics(make_agent, make_batch, cls):
    agent = make_agent("discrete", cls, fake_filter=True, online_coeff=0.0)
    agent(make_batch("discrete"), log_step=True)
    assert without_activations(agent.update_info) == ALWAYS | POLICY["discrete"]


@pytest.mark.parametrize("cls", [Agent, MultiTaskAgent])
def test_other_steps_compute_the_losses_only(make_agent, make_batch, cls):
    agent = make_agent("continuous", cls)
    agent(make_batch("continuous"), log_step=True)
    agent(make_batch("continuous"), log_step=False)
    assert set(agent.update_info) == CHEAP


@pytest.mark.parametrize("kind", list(POLICY))
@pytest.mark.parametrize("cls", [Agent, MultiTaskAgent])
def test_every_metric_is_a_scalar_or_a_histogram(make_agent, make_batch, cls, kind):  # item 19.4
    agent = make_agent(kind, cls)
    agent(make_batch(kind), log_step=True)
    for name, value in agent.update_info.items():
        if isinstance(value, torch.Tensor):
            assert value.shape == (), name
            assert not value.requires_grad, name
            assert torch.isfinite(value), name
        else:
            assert isinstance(value, numbers.Number | Histogram), name


def test_logging_does_not_change_the_loss(make_agent, make_batch):
    agent = make_agent("discrete", num_critics=1, num_critics_td=1).eval()
    batch, start = make_batch("discrete"), agent.popart.state_dict()
    start = {key: value.clone() for key, value in start.items()}
    quiet = agent(batch, log_step=False)
    agent.popart.load_state_dict(start)
    assert_close(agent(batch, log_step=True), quiet)


def test_statistics_count_valid_transitions_only(make_agent, make_batch):
    agent, batch = make_agent("discrete"), make_batch("discrete", lengths=(5, 2))
    batch.rews[0, 0] = -7.0
    agent(batch, log_step=True)
    info, valid = agent.update_info, batch.rews[batch.mask]
    assert_close(info["Min Reward (in training sequences)"], torch.tensor(-7.0))
    assert_close(info["Max Reward (in training sequences)"], valid.max())  # 4.0 is padding
    assert_close(info["Mean Reward (in training sequences)"], valid.mean(), rtol=1e-4, atol=1e-5)
    assert info["Sequence Length"] == 6
    assert info["Batch Size (in Timesteps)"] == 10
    assert info["Unmasked Batch Size (in Timesteps)"] == 7


def test_sequences_with_a_done_ignore_padded_flags(make_agent, make_batch):
    agent, batch = make_agent("discrete"), make_batch("discrete", lengths=(5, 2, 4))
    batch.dones[batch.mask] = False  # padding still reads true
    batch.dones[2, 3] = True
    agent(batch, log_step=True)
    assert agent.update_info["Sequences Containing Done"] == 1


def test_entropy_of_an_even_policy_is_the_log_of_its_choices(make_agent, make_batch):
    agent = make_agent("discrete")
    with torch.no_grad():
        agent.actor.base.out_layer.weight.zero_()
        agent.actor.base.out_layer.bias.zero_()
    agent(make_batch("discrete"), log_step=True)
    info, third = agent.update_info, torch.tensor(1 / 3)
    entropy = info["Policy Per-timestep Entropy (test-time gamma)"]
    assert_close(entropy, torch.tensor(3.0).log(), rtol=1e-4, atol=0)
    assert_close(info["Policy Overall Highest Prob."], third)
    assert_close(info["Mean Action Logprob"], third.log(), rtol=1e-4, atol=0)


def test_approval_is_a_percentage_of_positive_weights(make_agent, make_batch):
    agent, batch = make_agent("discrete"), make_batch("discrete", lengths=(4,))
    first = torch.tensor([1.0, 0.0, 0.0, 0.0])[None, :, None, None]
    agent.fbc_filter_func = lambda adv: first.expand_as(adv)
    agent(batch, log_step=True)
    info = agent.update_info
    approved = info["Pct. of Actions Approved by Binary FBC Filter (All Gammas)"]
    assert_close(approved, torch.tensor(25.0), rtol=1e-4, atol=0)
    assert info["Filter Max"] == 1.0
    assert info["Filter Min"] == 0.0
    assert_close(info["Filter Mean"], torch.tensor(0.25), rtol=1e-4, atol=0)
