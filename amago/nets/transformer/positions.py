"""Three ways to tell a Transformer when a timestep happened.

All of them use the timestep's index in its trajectory, not its place in the sequence, so that a
window from the middle of a trajectory looks the same in training and in a rollout.
"""

import torch
from torch import Tensor, nn

from amago.core.config import REQUIRED, configurable
from amago.core.errors import ConfigError
from amago.rl.masking import PAD_VALUE

_BASE = 10_000.0


class FixedPosEmb(nn.Module):
    """Sinusoids of `d_model / 2` wavelengths from `2 pi` to `10000 * 2 pi` timesteps.

        emb[2i] = sin(t / 10000 ** (2i / d_model)),  emb[2i + 1] = cos(same)

    Source: Vaswani et al. (2017), section 3.5.
    """

    inv_freq: Tensor

    def __init__(self, d_model: int) -> None:
        super().__init__()
        if d_model % 2:
            raise ConfigError(f"sinusoids come in pairs: d_model must be even and is {d_model}.")
        self.register_buffer("inv_freq", _inverse_frequencies(d_model, _BASE), persistent=False)

    def forward(self, pos_idxs: Tensor) -> Tensor:
        """`pos_idxs` `[B, L]` to `[B, L, d_model]`."""
        angles = pos_idxs.unsqueeze(-1) * self.inv_freq  # [B L d/2]
        return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


@configurable(module="amago.nets.transformer")
class LearnablePosEmb(nn.Module):
    """One learnt vector per timestep index.

    Args:
        max_time_idx: number of indices; the largest is one less. At least 5, because padded
            timesteps carry the index 4.

    Raises:
        ConfigError: fewer than 5 indices.
    """

    def __init__(self, d_model: int, max_time_idx: int = REQUIRED) -> None:
        super().__init__()
        if max_time_idx <= PAD_VALUE:
            raise ConfigError(
                f"LearnablePosEmb.max_time_idx is {max_time_idx}, but padded timesteps carry the "
                f"index {PAD_VALUE:.0f}: make it larger than that."
            )
        self.max_time_idx = max_time_idx
        self.embeddings = nn.Embedding(max_time_idx, d_model)

    def forward(self, pos_idxs: Tensor) -> Tensor:
        """`pos_idxs` `[B, L]` to `[B, L, d_model]`.

        Raises:
            ConfigError: an index beyond the table. (On another device than the CPU, where the host
                cannot look without waiting, the device itself stops with an assertion.)
        """
        message = (
            f"a timestep index is not below LearnablePosEmb.max_time_idx={self.max_time_idx}. "
            f"Bind a larger one: the longest trajectory, in timesteps, plus one."
        )
        within = (pos_idxs < self.max_time_idx).all()
        if within.device.type != "cpu":
            torch._assert_async(within, message)
        elif not within:
            raise ConfigError(message)
        return self.embeddings(pos_idxs)


class RotaryPosEmb(nn.Module):
    """Rotates queries and keys by angles proportional to their timestep index.

    Number `i` of a head is paired with number `i + head_dim / 2`.

    Source: Su et al. (2021), RoFormer, eq. 34, with halves for neighbours.
    """

    inv_freq: Tensor

    def __init__(self, head_dim: int, base: float = _BASE) -> None:
        super().__init__()
        if head_dim % 2:
            raise ConfigError(
                f"rotary positions rotate pairs: the head dimension must be even and is {head_dim} "
                f"(d_model / n_heads)."
            )
        self.register_buffer("inv_freq", _inverse_frequencies(head_dim, base), persistent=False)

    def forward(self, x: Tensor, pos_idxs: Tensor) -> Tensor:
        """`x` `[B, L, ..., head_dim]`, rotated by `pos_idxs` `[B, L]`; same shape and type out."""
        angles = pos_idxs.unsqueeze(-1) * self.inv_freq  # [B L D/2]
        angles = angles.reshape(*pos_idxs.shape, *[1] * (x.ndim - 3), -1)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        low, high = x.chunk(2, dim=-1)
        return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1)


def _inverse_frequencies(dim: int, base: float) -> Tensor:
    return base ** (-torch.arange(0, dim, 2, dtype=torch.float32) / dim)
