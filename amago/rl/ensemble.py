"""From an ensemble of critics to one value.

Axes: `B` sequences, `T` transitions, `C` critics, `G` discounts.
"""

import torch


def random_subset(q: torch.Tensor, size: int) -> torch.Tensor:
    """`size` members, drawn anew for every timestep and discount: `[B T C G 1] -> [B T size G 1]`.

    Source: Chen et al. (2021), "Randomized ensembled double Q-learning". Differs: drawn with
    replacement, and not once per update.
    """
    batch, length, critics, gammas, _ = q.shape
    member = torch.randint(critics, (batch, length, size, gammas, 1), device=q.device)
    return q.gather(dim=2, index=member)


def reduce_ensemble(q: torch.Tensor, size: int, pessimistic: bool) -> torch.Tensor:
    """Minimum or mean of a random subset: `[B T C G 1] -> [B T 1 G 1]`.

    Args:
        pessimistic: the minimum, which guards against maximising a critic's errors; otherwise the
            mean.
    """
    subset = random_subset(q, size)
    return subset.amin(dim=2, keepdim=True) if pessimistic else subset.mean(dim=2, keepdim=True)
