"""Slow and frozen copies of networks.

Every copy is a few fused operations over all parameters, not one per parameter.
"""

import torch
from torch import nn


def full_copy(target: nn.Module, online: nn.Module) -> None:
    """Set the parameters of `target` to those of `online`."""
    with torch.no_grad():
        torch._foreach_copy_(list(target.parameters()), list(online.parameters()))


def ema_copy(target: nn.Module, online: nn.Module, tau: float) -> None:
    """Move the parameters of `target` a fraction `tau` of the way to those of `online`."""
    with torch.no_grad():
        torch._foreach_lerp_(list(target.parameters()), list(online.parameters()), tau)
