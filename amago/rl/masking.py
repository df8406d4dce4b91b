"""Which timesteps are real. The pad value is written and read here, and nowhere else.

Sequences of unequal length are padded on the right, every field with the same number. A timestep is
padding if the whole of its previous reward and action (`rl2s`) equals that number: observations may
contain it by chance, a reward and every entry of an action practically never do.

Axes: `B` sequences, `L` timesteps, `T = L - 1` transitions, `A` action.
"""

import torch

PAD_VALUE = 4.0
"""What every field of a padded timestep holds."""

_EPSILON = 1e-5


def valid_mask(rl2s: torch.Tensor) -> torch.Tensor:
    """True where a timestep is real: `[B L 1+A] -> [B L]`."""
    return ~(rl2s == PAD_VALUE).all(dim=-1)


def transition_mask(rl2s: torch.Tensor) -> torch.Tensor:
    """True where a transition is real: `[B L 1+A] -> [B T]`.

    The action taken at `t` is stored at `t + 1` as the previous action, so that is where to look.
    """
    return valid_mask(rl2s)[:, 1:]


def masked_mean(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of `x` where `mask` is true, a scalar.

        sum(x * mask) / (sum(mask) + 1e-5)

    What stands at masked places has no influence, not even infinities.

    Args:
        mask: broadcast to the shape of `x` before it is summed. With no true entry the mean is 0.
    """
    # float32, not x's type: bfloat16 cannot count beyond 256
    weight = torch.broadcast_to(mask, x.shape).to(torch.float32)
    return (x.masked_fill(weight == 0, 0.0) * weight).sum() / (weight.sum() + _EPSILON)
