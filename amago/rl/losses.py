"""Loss of each transition, before masks and means. Lower is better.

Axes: `B` sequences, `T` transitions, `C` critics, `G` discounts, `U` bins.
"""

import torch


def squared_td_loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """`(prediction - target)**2`, `[B T C G 1]`. No gradient through the target."""
    return (prediction - target.detach()).square()


def categorical_td_loss(log_probs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of predicted bins against target bins in nats, `[B T C G U] -> [B T C G 1]`.

    Source: Farebrother et al. (2024), "Stop regressing", eq. 5.

    Args:
        log_probs: of the predicted bins.
        labels: target distribution; no gradient flows through it.
    """
    return -(labels.detach() * log_probs).sum(dim=-1, keepdim=True)


def filtered_bc_loss(log_prob: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Imitation of the data where it is worth it: `-weight * log_prob`, `[B T G 1]`.

    Args:
        log_prob: of the stored action under the policy being trained.
        weight: what a filter made of the advantage; no gradient flows through it.
    """
    return -(weight.detach() * log_prob)


def dpg_loss(value: torch.Tensor) -> torch.Tensor:
    """Deterministic policy gradient: `-value` of the policy's own actions, `[B T G 1]`.

    Source: Silver et al. (2014), "Deterministic policy gradient algorithms".
    """
    return -value
