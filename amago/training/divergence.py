"""An update whose gradient is not finite is skipped, and counted.

One bad batch must not spoil a policy. Whether a gradient is finite is known on the device; waiting
for it after every batch would leave an accelerator idle, so the decision is made there as well.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from amago.core.errors import ConfigError
from amago.training.distributed import Ranks


class BadUpdates:
    """Takes the optimiser's steps, skips those that would spoil the parameters, and counts them.

    A skipped step changes no parameter, no moment and no step counter.

    Args:
        optimizer: as prepared by `ranks`.
        max_in_a_row: so many mean that training has diverged; at least 1.

    Raises:
        ConfigError: `max_in_a_row` is below 1.
    """

    def __init__(self, optimizer: Optimizer, ranks: Ranks, max_in_a_row: int) -> None:
        if max_in_a_row < 1:
            raise ConfigError(f"max_bad_updates is {max_in_a_row}; it must be at least 1.")
        self.optimizer = optimizer
        self.ranks = ranks
        self.max_in_a_row = max_in_a_row
        self._bare: Any = ranks.unwrap_optimizer(optimizer)
        self._in_a_row = self._in_all = torch.zeros((), device=ranks.device)
        self._norm = self._in_all

    def step(self, norm: Tensor) -> bool:
        """Update the parameters if `norm`, that of their gradient before clipping, is finite.

        Returns:
            False where the optimiser was not even called. True does not mean that it did anything:
            nobody has waited for that.
        """
        is_bad = (~norm.isfinite()).float()
        self._in_a_row = (self._in_a_row + is_bad) * is_bad
        self._in_all = self._in_all + is_bad
        self._norm = norm
        if self.ranks.scales_loss:
            self.optimizer.step()  # the scaler has looked for itself
        elif getattr(self._bare, "_step_supports_amp_scaling", False):
            # How torch's own scaler tells a fused kernel to do nothing.
            self._bare.found_inf = is_bad
            self.optimizer.step()
            del self._bare.found_inf
        elif is_bad:  # waits for the device: no other way with this optimiser
            return False
        else:
            self.optimizer.step()
        return True

    # Each of these waits for the device.

    @property
    def in_a_row(self) -> int:
        """How many of the latest updates, without a gap, were bad."""
        return int(self._in_a_row)

    @property
    def in_all(self) -> int:
        """How many updates have been bad since the run began."""
        return int(self._in_all)

    @property
    def norm(self) -> float:
        """Norm of the gradient of the latest update, before clipping."""
        return float(self._norm)

    @property
    def have_diverged(self) -> bool:
        """Whether there were too many in a row."""
        # fp16 begins with a scale that overflows, and lowers it until it does not.
        return self.in_a_row >= self.max_in_a_row and self.ranks.loss_scale <= 1.0

    def state_dict(self) -> dict[str, int]:
        """Both counts."""
        return {"in_a_row": self.in_a_row, "in_all": self.in_all}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue from `state_dict()`."""
        self._in_a_row = torch.full_like(self._in_a_row, state["in_a_row"])
        self._in_all = torch.full_like(self._in_all, state["in_all"])
