"""From an update to named numbers. Called on log steps only: everything here may cost something.

Every mean, minimum and maximum over time counts valid transitions only. Results are 0-d tensors,
which stay on the device.

Axes: `B` sequences, `L` timesteps, `T = L - 1` transitions, `C` critics, `G` discounts, `U` bins.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from amago.agent.actions import Actions
from amago.agent.update import Evaluation, Networks, Settings
from amago.core.values import Histogram
from amago.loading.batch import Batch
from amago.nets.actor_critic.values import PopArtLayer, Values
from amago.rl.masking import masked_mean

Metrics = dict[str, Any]


def batch_stats(batch: Batch) -> Metrics:
    """Size and rewards of a batch; true rewards, not those multiplied for the loss."""
    mask = batch.mask[..., None]  # [B T 1]
    length = batch.rl2s.shape[1]
    return {
        "Sequence Length": length,
        "Batch Size (in Timesteps)": mask.shape[0] * (length - 1),
        "Mean Reward (in training sequences)": masked_mean(batch.rews, mask),
        "Min Reward (in training sequences)": _lowest(batch.rews, mask),
        "Max Reward (in training sequences)": _highest(batch.rews, mask),
        "Sequences Containing Done": (batch.dones.bool() & mask).any(dim=1).sum(),
    }


def td_stats(
    mask: torch.Tensor, evaluation: Evaluation, values: Values, gammas: torch.Tensor
) -> Metrics:
    """What the critics predict, and what they should.

    Args:
        mask: `[B T 1]`.
        gammas: `[G]`.
    """
    q, target = evaluation.q, evaluation.target
    valid, each = mask[:, :, None, None], mask[:, :, None]  # [B T 1 1 1], [B T 1 1]
    in_returns, own = values.to_returns(q), values.logged(q)
    spread = own.std(dim=2, keepdim=True, correction=int(q.shape[2] > 1))  # [B T 1 G 1]
    stats: Metrics = {}
    for g, gamma in enumerate(gammas.tolist()):
        for name, x in (
            ("Q(s, a) (global mean, rescaled)", in_returns),
            ("Q(s,a) (global mean, raw scale)", own),
            ("Q(s, a) Ensemble Stdev. (raw scale, ignoring padding)", spread),
        ):
            stats[f"{name} gamma={gamma:.3f}"] = masked_mean(x[..., g, :], each)
    return stats | {
        "Q(s, a) (global std, rescaled, ignoring padding)": _std(in_returns, valid),
        "Min TD Target": _lowest(target, valid),
        "Max TD Target": _highest(target, valid),
        "TD Target (test-time gamma)": masked_mean(target[..., -1, :], each),
    }


def policy_stats(mask: torch.Tensor, dist: Any, actions: Actions) -> Metrics:
    """How sure the policy that acts (the one of the last discount) is of its actions.

    Args:
        mask: `[B T 1]`.
        dist: as viewed by `actions`, over `[B L G A]`.
    """
    if not actions.discrete:
        sample = dist.sample()
        entropy = -actions.log_prob(dist, sample)[:, :-1, -1]  # one draw estimates it, [B T 1]
        return {"Policy Entropy (test-time gamma)": masked_mean(entropy, mask)}
    entropy = dist.entropy()[:, :-1, -1, None]
    probs = dist.probs[:, :-1, -1]  # [B T A]
    low, high = probs.amin(dim=-1, keepdim=True), probs.amax(dim=-1, keepdim=True)
    name = "Policy Per-timestep"
    return {
        f"{name} Entropy (test-time gamma)": masked_mean(entropy, mask),
        "Policy Per-timstep Low Prob. (test-time gamma)": masked_mean(low, mask),
        f"{name} High Prob. (test-time gamma)": masked_mean(high, mask),
        "Policy Overall Highest Prob.": _highest(dist.probs[:, :-1], mask[:, :, None]),
    }


def filter_stats(
    mask: torch.Tensor, log_prob: torch.Tensor, weight: torch.Tensor, gammas: torch.Tensor
) -> Metrics:
    """How much of the data is imitated, and how likely it is under the policy.

    Args:
        mask: `[B T 1]`.
        log_prob, weight: `[B T G 1]`.
        gammas: `[G]`.
    """
    valid, weight = mask[:, :, None], weight.float()
    approved = 100.0 * (weight > 0)
    only_valid = weight.masked_fill(~valid, torch.nan)
    stats: Metrics = {
        "Minimum Action Logprob": _lowest(log_prob, valid),
        "Maximum Action Logprob": _highest(log_prob, valid),
        "Mean Action Logprob": masked_mean(log_prob, valid),
        "Filter Max": _highest(weight, valid),
        "Filter Min": _lowest(weight, valid),
        "Filter Mean": masked_mean(weight, valid),
        "Filter 95th Percentile": torch.nanquantile(only_valid, 0.95),
        "Filter 75th Percentile": torch.nanquantile(only_valid, 0.75),
        "Pct. of Actions Approved by Binary FBC Filter (All Gammas)": masked_mean(approved, valid),
    }
    for g, gamma in enumerate(gammas.tolist()):
        name = f"Pct. of Actions Approved by Binary FBC (gamma = {gamma: .3f})"
        stats[name] = masked_mean(approved[:, :, g], mask)
    return stats


def popart_stats(popart: PopArtLayer) -> Metrics:
    """Statistics of the targets."""
    names = ("mu", "nu", "w", "b", "sigma")
    return {f"PopArt {name} (mean over gamma)": getattr(popart, name).mean() for name in names}


def bin_stats(mask: torch.Tensor, logits: torch.Tensor) -> Metrics:
    """Which bins the critics find most likely.

    Args:
        mask: `[B T 1]`.
        logits: `[B T C G U]`.
    """
    best, num_bins = logits.argmax(dim=-1), logits.shape[-1]  # [B T C G]
    valid = mask[..., None].expand_as(best)
    return {
        "Maximum Bin (All Gammas)": _count(best[valid], num_bins),
        "Maximum Bin (Target Gamma)": _count(best[..., -1][valid[..., -1]], num_bins),
    }


@torch.no_grad()
def inspect_values(
    batch: Batch,
    state: torch.Tensor,
    net: Networks,
    values: Values,
    actions: Actions,
    hp: Settings,
) -> dict[str, torch.Tensor]:
    """What the online critics think of a batch, as `Agent.get_values` returns it."""
    now, dist = state[:, :-1], actions.view(net.actor(state))
    drawn = actions.draw(dist, hp.k_actor, with_gradient=False)[:, :, :-1]  # [K B T G A]
    stored = actions.seen_by_critics(actions.stored(batch.actions))[None, :, :-1]
    q = values.read(net.critics(now, stored)).mean(dim=0)  # [B T C G 1]
    v = values.read(net.critics(now, drawn)).mean(dim=0)
    q_sa, v_s = values.to_returns(q), values.to_returns(v)
    compared = values.weighed(q).mean(dim=2) - values.weighed(v).mean(dim=2)  # [B T G 1]
    correction = int(q.shape[2] > 1)  # the deviation of one critic is 0
    return {
        "q_sa": q_sa.mean(dim=2),
        "v_s": v_s.mean(dim=2),
        "advantage": q_sa.mean(dim=2) - v_s.mean(dim=2),
        "filter_weights": hp.weigh(compared).float(),
        "state_mask": batch.mask[..., None],
        "q_sa_std": q_sa.std(dim=2, correction=correction),
        "v_s_std": v_s.std(dim=2, correction=correction),
    }


def grad_norm(module: nn.Module) -> float:
    """L2 norm of a module's gradient; 0 where there is none."""
    grads = [p.grad for p in module.parameters() if p.grad is not None]
    return float(nn.utils.get_total_norm(grads))


def _count(indices: torch.Tensor, num_bins: int) -> Histogram:
    counts = torch.bincount(indices, minlength=num_bins).cpu().numpy()
    return Histogram(counts, np.arange(num_bins + 1) - 0.5)


def _lowest(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return x.masked_fill(~mask, torch.inf).min()


def _highest(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return x.masked_fill(~mask, -torch.inf).max()


def _std(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return masked_mean((x - masked_mean(x, mask)).square(), mask).sqrt()
