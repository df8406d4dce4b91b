"""The gradient step, followed by hand on a policy of one weight."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from amago.core.errors import AmagoWarning
from amago.training.distributed import Ranks
from amago.training.learner import Learner
from amago.training.optimizers import get_constant_schedule_with_warmup


class TinyPolicy(nn.Module):
    """Loss `weight * mean(batch)`, so the gradient of the weight is `mean(batch)`.

    `copy` is read by the loss with the same gradient, but not trained.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.online, self.copy, self.target = (nn.Linear(1, 1, bias=False) for _ in range(3))
        for layer in (self.online, self.copy, self.target):
            nn.init.constant_(layer.weight, weight)
        self.update_info: dict[str, Any] = {}
        self.seen: list[tuple[Tensor, Tensor]] = []

    @property
    def trainable_params(self) -> Any:
        return self.online.parameters()

    def forward(self, batch: Tensor, log_step: bool) -> Tensor:
        self.update_info = {"Batch Mean": batch.mean()}
        return (self.online(batch) + self.copy(batch) - self.copy(batch).detach()).mean()

    def soft_sync_targets(self) -> None:
        """Note the weight and its gradient at this moment."""
        weight = self.online.weight
        self.seen.append((weight.detach().clone(), weight.grad.clone()))

    def get_grad_norms(self) -> dict[str, Any]:
        return {"Tiny Grad Norm": float(self.online.weight.grad.norm())}


class Run:
    """A policy of one weight, learnt with plain gradient descent."""

    def __init__(
        self,
        weight: float = 1.0,
        grad_clip: float = 100.0,
        warmup: int = 0,
        batches_per_update: int = 1,
        mixed_precision: str = "no",
    ) -> None:
        ranks = Ranks(mixed_precision, batches_per_update)
        self.policy = TinyPolicy(weight)
        optimizer = SGD(self.policy.trainable_params, lr=0.1)
        self.schedule = get_constant_schedule_with_warmup(optimizer, warmup)
        wrapped, optimizer = ranks.prepare(self.policy, optimizer)
        self.learner = Learner(wrapped, self.policy, optimizer, self.schedule, ranks, grad_clip)

    def step(self, *values: float, log_step: bool = False) -> dict[str, Any]:
        return self.learner.step(torch.tensor(values).unsqueeze(-1), log_step)

    @property
    def weight(self) -> float:
        return self.policy.online.weight.item()


def test_an_update_follows_the_mean_gradient():
    run = Run(weight=1.0)
    run.step(2.0, 4.0)
    assert run.weight == pytest.approx(1.0 - 0.1 * 3.0)
    assert run.learner.updates == 1


def test_loss_and_update_info_come_back_before_the_update():
    metrics = Run(weight=1.0).step(2.0, 4.0)
    assert metrics == {"Loss": torch.tensor(3.0), "Batch Mean": torch.tensor(3.0)}
    assert not metrics["Loss"].requires_grad


def test_targets_follow_after_clipping_and_before_the_optimiser():
    run = Run(weight=1.0, grad_clip=0.5)
    run.step(3.0)
    ((weight, gradient),) = run.policy.seen
    assert weight.item() == 1.0
    assert gradient.item() == pytest.approx(0.5, rel=1e-5)
    assert run.weight == pytest.approx(1.0 - 0.1 * 0.5, rel=1e-5)


def test_gradients_of_networks_that_are_not_trained_neither_count_nor_add_up():
    run = Run(grad_clip=5.0)
    run.step(3.0)
    run.step(4.0)  # with the copy's gradient it would be clipped: sqrt(4**2 + 4**2) > 5
    assert run.policy.copy.weight.grad.item() == 4.0
    assert run.policy.seen[-1][1].item() == 4.0


def test_the_first_update_of_a_warm_up_uses_rate_zero():
    run = Run(weight=1.0, warmup=2)
    weights = []
    for _ in range(3):
        run.step(1.0)
        weights.append(run.weight)
    assert weights == pytest.approx([1.0, 0.95, 0.85])


def test_log_steps_add_the_rate_and_the_norm_after_clipping():
    metrics = Run(grad_clip=0.5).step(3.0, log_step=True)
    assert metrics["Learning Rate"] == pytest.approx(0.1)
    assert metrics["Tiny Grad Norm"] == pytest.approx(0.5, rel=1e-5)


def test_an_accumulation_window_averages_its_batches_into_one_update():
    run = Run(weight=1.0, batches_per_update=2, warmup=4)
    run.schedule.optimizer.param_groups[0]["lr"] = 0.1
    run.step(2.0)
    assert (run.weight, run.learner.updates, run.learner.is_window_open) == (1.0, 0, True)
    run.step(4.0)
    assert run.weight == pytest.approx(1.0 - 0.1 * 3.0)
    assert (run.learner.updates, run.learner.is_window_open) == (1, False)
    assert run.schedule.get_last_lr()[0] == pytest.approx(0.1 / 4)  # one step of the schedule
    assert len(run.policy.seen) == 1


def test_the_next_window_starts_without_the_gradients_of_the_last():
    run = Run(batches_per_update=2)
    for value in (2.0, 4.0, 6.0, 8.0):
        run.step(value)
    assert [gradient.item() for _, gradient in run.policy.seen] == [3.0, 7.0]


def test_two_learners_in_a_process_keep_their_own_windows():
    by_two, by_one = Run(batches_per_update=2), Run(batches_per_update=1)
    for _ in range(2):
        by_two.step(1.0)
        by_one.step(1.0)
    assert (by_two.learner.updates, by_one.learner.updates) == (1, 2)


def test_nothing_waits_for_the_device_outside_log_steps(monkeypatch: pytest.MonkeyPatch):
    run = Run()
    run.step(1.0)

    def refuse(*_: Any) -> None:
        raise AssertionError("a value was read from the device")

    for name in ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(Tensor, name, refuse)
    run.step(1.0)


def test_a_diverged_loss_is_said_on_log_steps_only():
    Run().step(math.nan)
    with pytest.warns(AmagoWarning, match="Loss is nan, Tiny Grad Norm is nan"):
        Run().step(math.nan, log_step=True)


def test_a_learner_continues_its_count():
    run, resumed = Run(), Run()
    run.step(1.0)
    resumed.learner.load_state_dict(run.learner.state_dict())
    resumed.step(1.0)
    assert resumed.learner.updates == 2


def test_a_half_summed_gradient_is_not_saved():
    run = Run(batches_per_update=2)
    run.step(1.0)
    with pytest.raises(AssertionError, match="open accumulation window"):
        run.learner.state_dict()


def test_bf16_trains_on_the_cpu_and_keeps_full_precision_weights():
    run = Run(weight=1.0, mixed_precision="bf16")
    # 1.01 is 1.0078125 in bfloat16: the forward pass ran in it.
    assert run.step(1.01)["Loss"].item() == 1.0078125
    assert run.policy.online.weight.dtype == torch.float32
    assert run.weight == pytest.approx(1.0 - 0.1 * 1.0078125)
