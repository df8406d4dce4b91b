"""One gradient step: loss, backward, clip, targets, optimiser, schedule."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from amago.core.errors import amago_warning
from amago.training.distributed import Ranks


class Learnable(Protocol):
    """What a learner needs of a policy, besides being called with a batch."""

    update_info: Mapping[str, Any]
    """Metrics of the latest forward pass."""

    @property
    def trainable_params(self) -> Iterable[nn.Parameter]:
        """The parameters whose gradients are clipped."""
        ...

    def soft_sync_targets(self) -> None:
        """Move the target networks towards the online ones."""
        ...

    def get_grad_norms(self) -> Mapping[str, Any]:
        """Gradient norms by name."""
        ...

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradient of every parameter, trainable or not."""
        ...


class Learner:
    """Turns batches into updates. Made by the experiment; owns the count of updates.

    Args:
        wrapped: the policy as it is called, `wrapped(batch, log_step=bool) -> scalar loss`; with
            several processes that is the DDP module around `policy`.
        policy: the same policy, bare.
        optimizer: as prepared by `ranks`.
        lr_schedule: stepped once per update, however many processes there are.
        grad_clip: largest global norm of the gradient of the trainable parameters.
    """

    def __init__(
        self,
        wrapped: Callable[..., Tensor],
        policy: Learnable,
        optimizer: Optimizer,
        lr_schedule: LRScheduler,
        ranks: Ranks,
        grad_clip: float,
    ) -> None:
        self.wrapped = wrapped
        self.policy = policy
        self.optimizer = optimizer
        self.lr_schedule = lr_schedule
        self.ranks = ranks
        self.grad_clip = grad_clip
        self.updates = 0
        self.is_window_open = False
        """True between the batches of one update; gradients are then half-way."""
        self._trainable = tuple(policy.trainable_params)

    def step(self, batch: Any, log_step: bool) -> dict[str, Any]:
        """Learn from one batch; it completes an update when the accumulation window closes.

        Returns:
            "Loss" (a detached 0-d tensor) and the policy's `update_info`. On log steps also the
            learning rate and the gradient norms after clipping; in a window that is still open,
            the norms of the gradient summed so far. Nothing waits for the device but log steps.
        """
        with self.ranks.accumulate(self.wrapped):
            if not self.is_window_open:
                self.policy.zero_grad(set_to_none=True)
            loss = self.wrapped(batch, log_step=log_step)
            self.ranks.backward(loss)
            self.is_window_open = not self.ranks.sync_gradients
            if not self.is_window_open:
                self._update()
        metrics = {"Loss": loss.detach(), **self.policy.update_info}
        if log_step:
            metrics |= self._log_metrics()
            self._warn_if_not_finite(metrics)
        return metrics

    def _update(self) -> None:
        self.ranks.unscale_gradients(self.optimizer)
        clip_grad_norm_(self._trainable, self.grad_clip)
        # Before the optimiser step: targets lag one update, as in the published results
        # (tests/golden, kind train_step).
        self.policy.soft_sync_targets()
        self.optimizer.step()
        # In fp16 a gradient that overflowed is dropped: then there was no update to count.
        if not getattr(self.optimizer, "step_was_skipped", False):
            self.lr_schedule.step()
            self.updates += 1

    def _log_metrics(self) -> dict[str, Any]:
        scale = self.ranks.loss_scale if self.is_window_open else 1.0
        norms = {name: norm / scale for name, norm in self.policy.get_grad_norms().items()}
        return {"Learning Rate": self.lr_schedule.get_last_lr()[0], **norms}

    def _warn_if_not_finite(self, metrics: Mapping[str, Any]) -> None:
        numbers = {name: float(metrics[name]) for name in metrics if _may_diverge(name)}
        wrong = {name: value for name, value in numbers.items() if not math.isfinite(value)}
        if wrong:
            found = ", ".join(f"{name} is {value}" for name, value in wrong.items())
            amago_warning(
                f"after update {self.updates}: {found}. Training has diverged: look for rewards or "
                f"observations that are not finite, lower learning_rate, or use "
                f"mixed_precision='no'."
            )

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs besides policy, optimiser and schedule.

        Only between updates: gradients summed in an open window are not stored.
        """
        assert not self.is_window_open, "gradients of an open accumulation window cannot be saved"
        return {"updates": self.updates, **self.ranks.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`."""
        self.updates = state["updates"]
        self.ranks.load_state_dict(state)


def _may_diverge(name: str) -> bool:
    return name == "Loss" or name.endswith("Grad Norm")
