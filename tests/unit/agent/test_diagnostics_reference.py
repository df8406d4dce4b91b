"""Every metric of an agent against the definition, computed slowly: loops over Python floats.

What is not computed here: learning rate and skipped updates (tests/unit/training/test_learner.py),
activations (tests/unit/nets/test_utils.py).

Axes: `B` sequences, `L` timesteps, `T = L - 1`, `C` critics, `G` discounts, `A` action, `U` bins.
"""

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from amago.agent import Agent, MultiTaskAgent, diagnostics
from amago.agent import agent as agent_module
from amago.agent.update import Update
from amago.loading import Batch

LENGTHS = (6, 4, 2)  # transitions; the rest is padding
GAMMAS = ("0.500", "0.900", "0.999")
AGENTS = (Agent, MultiTaskAgent)
KINDS = ("discrete", "continuous", "multidiscrete")


@dataclass
class Step:
    """One forward pass: what went in, what the networks said, and the metrics made of it."""

    agent: Any
    batch: Batch
    result: Update
    popart_before: dict[str, list[float]]
    loss: float
    info: dict[str, Any]

    def check(self, name: str, expected: float, tolerance: float = 2e-5) -> None:
        # The means divide by a count that is 1e-5 too large.
        assert float(self.info[name]) == pytest.approx(expected, rel=tolerance, abs=1e-6), name

    @property
    def popart(self) -> dict[str, list[float]]:
        return statistics_of(self.agent.popart)


def statistics_of(popart: Any) -> dict[str, list[float]]:
    return {name: getattr(popart, name)[:, 0].tolist() for name in ("mu", "nu", "w", "b", "_t")}


@pytest.fixture
def step(make_agent, make_batch, monkeypatch) -> Callable[..., Step]:
    """A function that makes an agent and takes three forward passes; returns the last."""

    def step(cls: type, kind: str, **settings: Any) -> Step:
        results: list[Update] = []

        def update(**given: Any) -> Update:
            results.append(original(**given))
            return results[-1]

        original = agent_module.update
        monkeypatch.setattr(agent_module, "update", update)
        settings = {"fbc_filter_func": graded_filter, "online_coeff": 0.0} | settings
        torch.manual_seed(0)
        agent = make_agent(kind, cls, **settings)
        for seed in range(2):  # statistics of targets that are not the first
            agent(make_batch(kind, LENGTHS, seed=seed), log_step=False)
        before = statistics_of(agent.popart)
        batch = make_batch(kind, LENGTHS, seed=2)
        loss = agent(batch, log_step=True).item()
        return Step(agent, batch, results[-1], before, loss, agent.update_info)

    return step


def graded_filter(advantage: torch.Tensor) -> torch.Tensor:
    """Many different weights, some of them 0."""
    return advantage.clamp(min=0.0)


def valid() -> Iterator[tuple[int, int]]:
    """Sequence and transition of everything that is not padding."""
    return ((b, t) for b, length in enumerate(LENGTHS) for t in range(length))


def at_valid(x: torch.Tensor) -> list[float]:
    """Every number of `[B T ...]` that is not padding, in the order of the axes behind."""
    return [value for b, t in valid() for value in x[b, t].flatten().tolist()]


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def percentile(values: list[float], q: float) -> float:
    """Between neighbours, the straight line."""
    values = sorted(values)
    place = q * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


# ------------------------------------------------------------------------------------ the batch


@pytest.mark.parametrize("cls", AGENTS)
def test_sizes_and_rewards_are_those_of_the_batch(step, cls):
    s = step(cls, "discrete", reward_multiplier=7.0)  # shown as the environment gave them
    rewards = [s.batch.rews[b, t, 0].item() for b, t in valid()]
    s.check("Mean Reward (in training sequences)", mean(rewards))
    s.check("Min Reward (in training sequences)", min(rewards))
    s.check("Max Reward (in training sequences)", max(rewards))
    ended = {b for b, t in valid() if s.batch.dones[b, t, 0]}
    s.check("Sequences Containing Done", len(ended))
    s.check("Sequence Length", max(LENGTHS) + 1)
    s.check("Batch Size (in Timesteps)", len(LENGTHS) * max(LENGTHS))
    s.check("Unmasked Batch Size (in Timesteps)", sum(LENGTHS))


def test_the_unmasked_size_is_what_the_mask_hook_leaves(step, monkeypatch):
    def only_first(self, batch, actor_loss, mask):
        mask[:, 1:] = False
        return mask

    monkeypatch.setattr(Agent, "edit_actor_mask", only_first)
    s = step(Agent, "discrete")
    s.check("Unmasked Batch Size (in Timesteps)", len(LENGTHS))
    s.check(
        "Actor Loss",
        mean([x for b in range(3) for x in s.result.actor_loss[b, 0].flatten().tolist()]),
    )


# ----------------------------------------------------------------------------------- the policy


def log_density(mu: float, std: float, action: float) -> float:
    """Of a squashed normal distribution; actions near the ends have the density of 0.99."""
    squashed = max(-0.99, min(0.99, action))
    x = math.atanh(squashed)
    normal = -0.5 * ((x - mu) / std) ** 2 - math.log(std) - 0.5 * math.log(2 * math.pi)
    return normal - math.log(1 - squashed**2)


def log_prob_of(dist: Any, place: tuple[int, int, int], action: torch.Tensor) -> float:
    """Of a whole continuous action at `[b t g]`."""
    base = dist.base_dist
    mu, std = base.loc[place].tolist(), base.scale[place].tolist()
    return math.fsum(map(log_density, mu, std, action.tolist()))


@pytest.mark.parametrize("cls", AGENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_log_probabilities_are_those_of_the_stored_actions(step, cls, kind):
    s = step(cls, kind)
    found = []
    for (b, t), g in product(valid(), range(len(GAMMAS))):
        action = s.batch.actions[b, t]
        if kind == "continuous":
            found.append(log_prob_of(s.result.policy, (b, t, g), action))
        else:
            chosen = action.nonzero()[:, 0]  # one of each factor
            probs = s.result.policy.probs[b, t, g]
            found.append(math.fsum(math.log(probs[i].item()) for i in chosen))
    s.check("Minimum Action Logprob", min(found))
    s.check("Maximum Action Logprob", max(found))
    s.check("Mean Action Logprob", mean(found))


@pytest.mark.parametrize("cls", AGENTS)
@pytest.mark.parametrize("kind", ["discrete", "multidiscrete"])
def test_discrete_policies_show_entropy_and_extreme_probabilities(step, cls, kind):
    s = step(cls, kind)
    probs = s.result.policy.probs
    acting = [probs[b, t, -1].tolist() for b, t in valid()]  # at the last discount
    name = "Policy Per-timestep"
    entropies = [-math.fsum(p * math.log(p) for p in row) for row in acting]
    s.check(f"{name} Entropy (test-time gamma)", mean(entropies))
    s.check(f"{name} High Prob. (test-time gamma)", mean([max(row) for row in acting]))
    s.check("Policy Per-timstep Low Prob. (test-time gamma)", mean([min(row) for row in acting]))
    s.check("Policy Overall Highest Prob.", max(at_valid(probs)))


@pytest.mark.parametrize("cls", AGENTS)
def test_the_entropy_of_a_continuous_policy_is_estimated_from_one_action(step, cls):
    s = step(cls, "continuous")
    dist, actions = s.result.policy, s.agent._actions()
    torch.manual_seed(3)
    with torch.no_grad():
        info = diagnostics.policy_stats(s.batch.mask[..., None], dist, actions)
    torch.manual_seed(3)
    drawn = dist.sample()
    estimates = [-log_prob_of(dist, (b, t, -1), drawn[b, t, -1]) for b, t in valid()]
    found = float(info["Policy Entropy (test-time gamma)"])
    assert found == pytest.approx(mean(estimates), rel=1e-4)
    assert set(info) <= set(s.info)


@pytest.mark.parametrize("cls", AGENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_filter_statistics_are_of_the_weights_of_valid_transitions(step, cls, kind):
    s = step(cls, kind)
    weights = at_valid(s.result.weight)
    assert 0.0 in weights
    assert len(set(weights)) > 10
    s.check("Filter Max", max(weights))
    s.check("Filter Min", min(weights))
    s.check("Filter Mean", mean(weights))
    s.check("Filter 95th Percentile", percentile(weights, 0.95))
    s.check("Filter 75th Percentile", percentile(weights, 0.75))
    approved = [100.0 * (weight > 0) for weight in weights]
    s.check("Pct. of Actions Approved by Binary FBC Filter (All Gammas)", mean(approved))
    for g, gamma in enumerate(GAMMAS):
        at_this = approved[g :: len(GAMMAS)]
        s.check(f"Pct. of Actions Approved by Binary FBC (gamma =  {gamma})", mean(at_this))


# ---------------------------------------------------------------------------------- the critics


def outputs(s: Step) -> np.ndarray:
    """What the critics predict for stored actions, in their own units, float64 `[B T C G]`."""
    output = s.result.evaluation.output
    if type(s.agent) is Agent:
        return output[0, ..., 0].detach().double().numpy()
    logits = output.logits[0].detach().double().numpy()  # [B T C G U]
    probs = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probs /= probs.sum(axis=-1, keepdims=True)
    value = (probs * s.agent.critics.bin_vals.double().numpy()).sum(axis=-1)
    return np.sign(value) * np.expm1(np.abs(value))  # the bins are equal on a logarithmic axis


def in_returns(s: Step, raw: float, g: int, popart: dict[str, list[float]]) -> float:
    if type(s.agent) is MultiTaskAgent:
        return raw
    mu, nu, w, b = (popart[name][g] for name in ("mu", "nu", "w", "b"))
    return math.sqrt(nu - mu**2) * (w * raw + b) + mu


def on_raw_scale(s: Step, raw: float, g: int) -> float:
    if type(s.agent) is Agent:
        return raw
    mu, nu = s.popart["mu"][g], s.popart["nu"][g]
    return (raw - mu) / math.sqrt(nu - mu**2)


@pytest.mark.parametrize("cls", AGENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_shown_in_returns_and_on_the_raw_scale(step, cls, kind):
    s = step(cls, kind)
    q = outputs(s)
    num_critics = q.shape[2]
    everything = []
    for g, gamma in enumerate(GAMMAS):
        places = [(b, t, c) for (b, t), c in product(valid(), range(num_critics))]
        returns = [in_returns(s, q[*place, g], g, s.popart) for place in places]
        before = [in_returns(s, q[*place, g], g, s.popart_before) for place in places]
        assert returns == pytest.approx(before, rel=1e-3, abs=1e-3)  # PopArt keeps what they mean
        raw = [on_raw_scale(s, q[*place, g], g) for place in places]
        s.check(f"Q(s, a) (global mean, rescaled) gamma={gamma}", mean(returns), 1e-4)
        s.check(f"Q(s,a) (global mean, raw scale) gamma={gamma}", mean(raw), 1e-4)
        by_critic = [raw[i : i + num_critics] for i in range(0, len(raw), num_critics)]
        spread = mean([statistics.stdev(row) for row in by_critic])
        name = f"Q(s, a) Ensemble Stdev. (raw scale, ignoring padding) gamma={gamma}"
        s.check(name, spread, 1e-4)
        everything += returns
    s.check("Q(s, a) (global std, rescaled, ignoring padding)", statistics.pstdev(everything), 1e-4)


@pytest.mark.parametrize("cls", AGENTS)
def test_one_critic_agrees_with_itself(step, cls):
    s = step(cls, "discrete", num_critics=1, num_critics_td=1)
    for gamma in GAMMAS:
        s.check(f"Q(s, a) Ensemble Stdev. (raw scale, ignoring padding) gamma={gamma}", 0.0)


@pytest.mark.parametrize("cls", AGENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_targets_and_their_running_statistics(step, cls, kind):
    s = step(cls, kind)
    target = s.result.evaluation.target[:, :, 0, :, 0]  # [B T G]
    s.check("Min TD Target", min(at_valid(target)))
    s.check("Max TD Target", max(at_valid(target)))
    s.check("TD Target (test-time gamma)", mean(at_valid(target[..., -1])))
    after = [popart_after(s.popart_before, g, at_valid(target[..., g])) for g in range(len(GAMMAS))]
    for name in ("mu", "nu", "w", "b", "sigma"):
        expected = mean([one[name] for one in after])
        s.check(f"PopArt {name} (mean over gamma)", expected, 1e-3)


def popart_after(before: dict[str, list[float]], g: int, targets: list[float]) -> dict[str, float]:
    """The statistics of one discount after one more batch of targets."""
    old = {name: values[g] for name, values in before.items()}
    beta = 0.0005
    rate = beta / (1 - (1 - beta) ** (old["_t"] + 1))
    mu = (1 - rate) * old["mu"] + rate * mean(targets)
    nu = (1 - rate) * old["nu"] + rate * mean([y**2 for y in targets])
    sigma_before = math.sqrt(old["nu"] - old["mu"] ** 2)
    sigma = math.sqrt(nu - mu**2)
    w = old["w"] * sigma_before / sigma
    b = (sigma_before * old["b"] + old["mu"] - mu) / sigma
    return {"mu": mu, "nu": nu, "w": w, "b": b, "sigma": sigma}


@pytest.mark.parametrize("kind", KINDS)
def test_histograms_count_the_likeliest_bin_of_every_valid_prediction(step, kind):
    s = step(MultiTaskAgent, kind)
    logits = s.result.evaluation.output.logits[0]  # [B T C G U]
    num_critics, num_gammas, num_bins = logits.shape[2:]
    for name, gammas in (
        ("Maximum Bin (All Gammas)", range(num_gammas)),
        ("Maximum Bin (Target Gamma)", [num_gammas - 1]),
    ):
        counts = [0] * num_bins
        for (b, t), c, g in product(valid(), range(num_critics), gammas):
            row = logits[b, t, c, g].tolist()
            counts[row.index(max(row))] += 1
        histogram = s.info[name]
        assert histogram.counts.tolist() == counts
        assert histogram.edges.tolist() == [i - 0.5 for i in range(num_bins + 1)]


# ----------------------------------------------------------------------------------- the losses


@pytest.mark.parametrize("cls", AGENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_means_over_valid_transitions(step, cls, kind):
    s = step(cls, kind, offline_coeff=0.5, critic_loss_weight=3.0)
    pairs = zip(at_valid(s.result.weight), at_valid(s.result.log_prob), strict=True)
    actor_loss = mean([-0.5 * weight * log_prob for weight, log_prob in pairs])
    s.check("Actor Loss", actor_loss, 1e-4)
    q = outputs(s)
    of_critics = []
    for (b, t), c, g in product(valid(), range(q.shape[2]), range(len(GAMMAS))):
        target = s.result.evaluation.target[b, t, 0, g, 0].item()
        if cls is Agent:
            mu, nu, w, shift = (s.popart[name][g] for name in ("mu", "nu", "w", "b"))
            normalized = (target - mu) / math.sqrt(nu - mu**2)
            of_critics.append((w * q[b, t, c, g] + shift - normalized) ** 2)
        else:
            logits = s.result.evaluation.output.logits[0, b, t, c, g].tolist()
            of_critics.append(cross_entropy(logits, s.agent.critics.bin_vals.tolist(), target))
    s.check("Critic Loss", mean(of_critics), 1e-4)
    assert s.loss == pytest.approx(actor_loss + 3.0 * mean(of_critics), rel=1e-4)


def cross_entropy(logits: list[float], bins: list[float], target: float) -> float:
    """Against the two bins beside the target, each by its nearness, on the logarithmic axis."""
    place = math.copysign(math.log1p(abs(target)), target)
    place = max(bins[0], min(bins[-1], place))
    total = math.log(math.fsum(map(math.exp, logits)))
    width = bins[1] - bins[0]
    shares = [max(0.0, 1.0 - abs(bin_ - place) / width) for bin_ in bins]
    return -math.fsum(p * (logit - total) for p, logit in zip(shares, logits, strict=True))


@pytest.mark.parametrize("cls", AGENTS)
def test_gradient_norms_are_root_sums_of_squares(step, make_batch, cls):
    s = step(cls, "continuous")
    s.agent(s.batch, log_step=False).backward()
    for name, module in (
        ("Actor", s.agent.actor),
        ("Critic", s.agent.critics),
        ("TrajEncoder", s.agent.traj_encoder),
        ("TstepEncoder", s.agent.tstep_encoder),
    ):
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        squares = math.fsum(x**2 for grad in gradients for x in grad.flatten().tolist())
        found = s.agent.get_grad_norms()[f"{name} Grad Norm"]
        assert found == pytest.approx(math.sqrt(squares), rel=1e-5)
        assert found > 0
