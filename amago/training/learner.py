"""One gradient step: loss, backward, clip, targets, optimiser, schedule."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from amago.core.errors import DivergedError, amago_warning
from amago.training.compilation import as_written
from amago.training.distributed import Ranks
from amago.training.divergence import BadUpdates


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

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Every parameter, trainable or not, by name."""
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
        max_bad_updates: so many updates in a row whose gradient is not finite end the run. Fewer
            are skipped.
    """

    def __init__(
        self,
        wrapped: Callable[..., Tensor],
        policy: Learnable,
        optimizer: Optimizer,
        lr_schedule: LRScheduler,
        ranks: Ranks,
        grad_clip: float,
        max_bad_updates: int = 10,
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
        self.looks_at_every_update = ranks.device.type == "cpu"
        """Whether bad updates are looked for outside log steps too: where it costs no waiting."""
        self._trainable = tuple(policy.trainable_params)
        self._bad_updates = BadUpdates(optimizer, ranks, max_bad_updates)
        self._has_warned = False

    def step(self, batch: Any, log_step: bool) -> dict[str, Any]:
        """Learn from one batch; it completes an update when the accumulation window closes.

        Returns:
            "Loss" (a detached 0-d tensor) and the policy's `update_info`. On log steps also the
            learning rate, the gradient norms after clipping and, if there were any, the updates
            skipped since the run began; in a window that is still open, the norms of the gradient
            summed so far. Nothing waits for an accelerator but log steps.

        Raises:
            DivergedError: the gradient has not been finite for `max_bad_updates` updates.
        """
        # Statistics would be a second program to compile.
        with self.ranks.accumulate(self.wrapped), as_written(log_step):
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
        if log_step or self.looks_at_every_update:
            self._refuse_divergence(batch, metrics)
        if log_step:
            self._warn_of_bad_updates(metrics)
        return metrics

    def _update(self) -> None:
        self.ranks.unscale_gradients(self.optimizer)
        norm = clip_grad_norm_(self._trainable, self.grad_clip)
        # Before the optimiser step: targets lag one update, as in the published results
        # (tests/golden, kind train_step).
        self.policy.soft_sync_targets()
        was_called = self._bad_updates.step(norm)
        # A skipped update counts: only the device knows that it was skipped, and the schedule must
        # not depend on the device.
        self._advance_schedule(was_called)
        self.updates += 1

    def _advance_schedule(self, optimizer_was_called: bool) -> None:
        if optimizer_was_called:
            self.lr_schedule.step()
            return
        with warnings.catch_warnings():
            # torch takes a schedule that is ahead of its optimiser for a mistake in the order.
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
            self.lr_schedule.step()

    def _log_metrics(self) -> dict[str, Any]:
        scale = self.ranks.loss_scale if self.is_window_open else 1.0
        norms = {name: norm / scale for name, norm in self.policy.get_grad_norms().items()}
        skipped = self._bad_updates.in_all
        return {
            "Learning Rate": self.lr_schedule.get_last_lr()[0],
            **norms,
            **({"Skipped Updates": skipped} if skipped else {}),
        }

    # ----------------------------------------------------------------------------- divergence

    def _refuse_divergence(self, batch: Any, metrics: Mapping[str, Any]) -> None:
        if not self._bad_updates.have_diverged:
            return
        metrics = {**metrics, **self._log_metrics()}
        in_a_row = self._bad_updates.in_a_row
        raise DivergedError(
            f"training has diverged. Update {self.updates}: {self._what_is_wrong(metrics)}. "
            f"Updates in a row whose gradient is not finite: {in_a_row} (max_bad_updates is "
            f"{self._bad_updates.max_in_a_row}). They were skipped, so the weights are those of "
            f"update {self.updates - in_a_row}, and checkpoints are sound. {_ADVICE}",
            batch,
            metrics,
        )

    def _warn_of_bad_updates(self, metrics: Mapping[str, Any]) -> None:
        """Once for each streak of log steps at which something is not finite."""
        is_wrong = bool(_not_finite(metrics)) or self._bad_updates.in_a_row > 0
        if is_wrong and not self._has_warned:
            amago_warning(
                f"update {self.updates}: {self._what_is_wrong(metrics)}. An update whose gradient "
                f"is not finite is skipped; {self._bad_updates.max_in_a_row} in a row end the run. "
                f"{_ADVICE}"
            )
        self._has_warned = is_wrong

    def _what_is_wrong(self, metrics: Mapping[str, Any]) -> str:
        wrong = _not_finite(metrics) or {"norm of the gradient": self._bad_updates.norm}
        return ", ".join(f"{name} is {value}" for name, value in wrong.items())

    # -------------------------------------------------------------------------------- resuming

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs besides policy, optimiser and schedule. Every process calls it.

        In an open accumulation window that includes the gradients summed so far.
        """
        return {
            "updates": self.updates,
            "bad_updates": self._bad_updates.state_dict(),
            "window": self._window() if self.is_window_open else None,
            **self.ranks.state_dict(),
        }

    def _window(self) -> dict[str, Any]:
        parameters = self.policy.named_parameters()
        gradients = {name: p.grad.detach().cpu() for name, p in parameters if p.grad is not None}
        return {
            "batches_per_update": self.ranks.batches_per_update,
            "gradients_by_rank": self.ranks.gather(gradients),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`, in the middle of a window if it was.

        Warns, and begins a new window, if the window was one of other batches per update or of
        another number of processes.
        """
        self.updates = state["updates"]
        self._bad_updates.load_state_dict(state["bad_updates"])
        self.ranks.load_state_dict(state)
        self._open_window(state["window"])

    def _open_window(self, window: Mapping[str, Any] | None) -> None:
        self.policy.zero_grad(set_to_none=True)
        self.is_window_open = window is not None and self._fits(window)
        if window is None:
            return
        if not self.is_window_open:
            self.ranks.restart_window()
            amago_warning(
                "the state was saved between the batches of one update, with other "
                "batches_per_update or another number of processes: that update begins again."
            )
            return
        gradients = window["gradients_by_rank"][self.ranks.rank]
        for name, parameter in self.policy.named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter.device, copy=True)

    def _fits(self, window: Mapping[str, Any]) -> bool:
        return (
            window["batches_per_update"] == self.ranks.batches_per_update
            and len(window["gradients_by_rank"]) == self.ranks.world_size
        )


_ADVICE = (
    "Look for rewards or observations that are very large, lower learning_rate, or use "
    "mixed_precision='no'."
)


def _not_finite(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The loss and the gradient norms that are NaN or infinite, by name."""
    names = [name for name in metrics if name == "Loss" or name.endswith("Grad Norm")]
    numbers = {name: float(metrics[name]) for name in names}
    return {name: value for name, value in numbers.items() if not math.isfinite(value)}
