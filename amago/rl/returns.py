"""Targets of temporal-difference learning.

Axes: `B` sequences, `T` transitions, `G` discounts.
"""

import torch
import torch.nn.functional as F


def nstep_target(
    reward: torch.Tensor,
    terminal: torch.Tensor,
    valid: torch.Tensor,
    next_value: torch.Tensor,
    discount: torch.Tensor,
    n: int,
) -> torch.Tensor:
    """Sum of the next `k` discounted rewards, plus the discounted value after them, `[B T G]`.

        y[t] = sum_{i<k} discount**i * reward[t+i]  +  discount**k * next_value[t+k-1]

    `k` is `n`, or fewer where a terminal (no value is added), padding, or the end of the sequence
    comes first. `n` may exceed the length.

    Args:
        reward: scaled reward of each transition, in return units, `[B T]`.
        terminal: true where no state follows, `[B T]`.
        valid: false where the batch is padded; the result there is meaningless. `[B T]`
        next_value: value of the state each transition leads to, in return units, `[B T G]`.
        discount: `[G]`.
        n: at least 1.

    Raises:
        ValueError: `n < 1`.

    Source: Sutton & Barto (2018), eq. 7.1. Differs: stops early at padding.
    """
    reward, terminal, valid = reward[..., None], terminal[..., None], valid[..., None]
    return _nstep_target(reward, terminal, valid, next_value, discount, n)


def nstep_return(
    r: torch.Tensor,
    d: torch.Tensor,
    q: torch.Tensor,
    gamma: torch.Tensor,
    n: int,
    mask: torch.Tensor,
) -> torch.Tensor:
    """`nstep_target` in the shapes of a critic ensemble that has been reduced to one value.

    Args:
        r, d, q: reward, terminal and value of the next state, `[B T 1 G 1]` (`G` may be 1).
        gamma: discounts, `[G 1]`.
        mask: false where the batch is padded, `[B T 1 1 1]`.

    Returns:
        Targets, `[B T 1 G 1]`.
    """
    reward, terminal, valid, value = (x[:, :, 0, :, 0] for x in (r, d.bool(), mask.bool(), q))
    return _nstep_target(reward, terminal, valid, value, gamma[:, 0], n)[:, :, None, :, None]


def _nstep_target(
    reward: torch.Tensor,
    terminal: torch.Tensor,
    valid: torch.Tensor,
    next_value: torch.Tensor,
    discount: torch.Tensor,
    n: int,
) -> torch.Tensor:
    """See `nstep_target`; the first three have a last axis that broadcasts to `[B T G]`."""
    if n < 1:
        raise ValueError(f"an n-step target sums at least one reward; n is {n}.")
    n = min(n, reward.shape[1])
    is_end = terminal | ~_ahead(valid, 1)  # nothing after t belongs to the return
    last = _last_index(is_end, n).expand_as(next_value)
    k = last + 1 - torch.arange(reward.shape[1], device=reward.device)[:, None]
    bootstrap = next_value.gather(1, last) * ~terminal.expand_as(next_value).gather(1, last)
    return _window_sum(reward, is_end, discount, n) + discount**k * bootstrap


def _last_index(is_end: torch.Tensor, n: int) -> torch.Tensor:
    """Index of the last transition that counts for `t`: the first end, or `t + n - 1`."""
    length = is_end.shape[1]
    index = torch.arange(length, device=is_end.device)[:, None]
    ends = torch.where(is_end, index, length)
    first_end = ends.flip(1).cummin(dim=1).values.flip(1)
    return torch.minimum(first_end, index + (n - 1))


def _window_sum(
    reward: torch.Tensor, is_end: torch.Tensor, discount: torch.Tensor, n: int
) -> torch.Tensor:
    """`sum_{i<n} discount**i * reward[t+i]`, cut after the first end, `[B T G]`.

    A window of `n` is put together from blocks of 1, 2, 4, ... transitions, one for each binary
    digit of `n`: O(log n) operations on whole sequences, and no loop over time.
    """
    block = reward.expand(*reward.shape[:2], len(discount))
    runs_on = (~is_end).to(reward.dtype)  # 1 where the block from t meets no end
    total, total_runs_on, length, size = torch.zeros_like(block), torch.ones_like(runs_on), 0, 1
    while True:
        if n & size:
            total = total + discount**length * total_runs_on * _ahead(block, length)
            total_runs_on = total_runs_on * _ahead(runs_on, length)
            length += size
        if length == n:
            return total
        block = block + discount**size * runs_on * _ahead(block, size)
        runs_on = runs_on * _ahead(runs_on, size)
        size *= 2


def _ahead(x: torch.Tensor, steps: int) -> torch.Tensor:
    """`x[t + steps]` at `t`, and zero (or false) past the end: `[B T ...]`."""
    return F.pad(x[:, steps:], (0, 0, 0, min(steps, x.shape[1])))
