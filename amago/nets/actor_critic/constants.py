"""Tensors that belong to a module without being part of what it learnt."""

from collections.abc import Callable
from typing import Any

from torch import nn


class KeepsConstants(nn.Module):
    """A module with tensors that follow it to a device, and are neither saved nor cast.

    A buffer would be listed among the module's state, which stored checkpoints do not expect; a
    plain tensor would stay behind, and be copied to the device at every forward.
    """

    constants: tuple[str, ...] = ()
    """Names of the attributes that hold them."""

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "KeepsConstants":
        super()._apply(fn, recurse)
        for name in self.constants:
            value = getattr(self, name)
            setattr(self, name, value.to(fn(value).device))
        return self
