"""The gradient step, followed by hand on a policy of one weight."""

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from amago.core.errors import AmagoWarning, ConfigError, DivergedError
from amago.training.distributed import Ranks
from amago.training.learner import Learner
from amago.training.optimizers import AdamWRel, adamw, get_constant_schedule_with_warmup


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
        make_optimizer: Callable[[Any], Optimizer] = lambda params: SGD(params, lr=0.1),
        max_bad_updates: int = 10,
    ) -> None:
        ranks = Ranks(mixed_precision, batches_per_update)
        self.policy = TinyPolicy(weight)
        self.optimizer = make_optimizer(list(self.policy.trainable_params))
        self.schedule = get_constant_schedule_with_warmup(self.optimizer, warmup)
        wrapped, optimizer = ranks.prepare(self.policy, self.optimizer)
        self.learner = Learner(
            wrapped, self.policy, optimizer, self.schedule, ranks, grad_clip, max_bad_updates
        )

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


def test_a_learner_continues_its_count():
    run, resumed = Run(), Run()
    run.step(1.0)
    resumed.learner.load_state_dict(run.learner.state_dict())
    resumed.step(1.0)
    assert resumed.learner.updates == 2


def test_bf16_trains_on_the_cpu_and_keeps_full_precision_weights():
    run = Run(weight=1.0, mixed_precision="bf16")
    # 1.01 is 1.0078125 in bfloat16: the forward pass ran in it.
    assert run.step(1.01)["Loss"].item() == 1.0078125
    assert run.policy.online.weight.dtype == torch.float32
    assert run.weight == pytest.approx(1.0 - 0.1 * 1.0078125)


# ---------------------------------------------------------------- gradients that are not finite


def fused_adamw(params: Any) -> Optimizer:
    return adamw(params, lr=0.1, weight_decay=0.1)


def plain_adamw(params: Any) -> Optimizer:
    return torch.optim.AdamW(params, lr=0.1, weight_decay=0.1, foreach=False)


def relative_adamw(params: Any) -> Optimizer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AmagoWarning)
        return AdamWRel(params, reset_interval=2, lr=0.1, weight_decay=0.1)


def sgd(params: Any) -> Optimizer:
    return SGD(params, lr=0.1, momentum=0.5)


OPTIMIZERS = pytest.mark.parametrize(
    "make_optimizer", [fused_adamw, plain_adamw, relative_adamw, sgd]
)


def everything(run: Run) -> Any:
    """Copies of the parameters and of the optimiser's state."""
    return copy.deepcopy((dict(run.policy.named_parameters()), run.optimizer.state_dict()))


@OPTIMIZERS
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_update_whose_gradient_is_not_finite_changes_no_parameter_and_no_moment(
    make_optimizer: Any, bad: float
):
    run = Run(make_optimizer=make_optimizer)
    run.step(1.0)
    parameters, state = everything(run)
    run.step(1.0, bad)
    after, state_after = everything(run)
    torch.testing.assert_close(after, parameters, rtol=0, atol=0)
    rates = [group.pop("lr") for group in state["param_groups"] + state_after["param_groups"]]
    assert rates == [0.1, 0.1]
    torch.testing.assert_close(state_after, state, rtol=0, atol=0)


@OPTIMIZERS
def test_a_run_with_bad_batches_learns_what_one_without_them_learns(make_optimizer: Any):
    clean, faulty = (Run(make_optimizer=make_optimizer) for _ in range(2))
    faulty.step(math.nan)  # also before the optimiser has any state
    for value in (1.0, -2.0, 0.5):
        clean.step(value)
        faulty.step(value)
        faulty.step(value, math.inf)
    assert faulty.weight == clean.weight


def test_targets_never_see_a_weight_that_is_not_finite():
    run = Run(make_optimizer=fused_adamw)
    for value in (1.0, math.nan, 1.0, math.inf, 1.0):
        run.step(value)
    assert all(math.isfinite(weight.item()) for weight, _ in run.policy.seen)


def test_one_bad_batch_skips_its_whole_accumulation_window():
    run = Run(batches_per_update=2)
    run.step(math.nan)
    run.step(1.0)
    assert run.weight == 1.0
    run.step(1.0)
    run.step(3.0)
    assert run.weight == pytest.approx(1.0 - 0.1 * 2.0)


@pytest.mark.parametrize("make_optimizer", [fused_adamw, sgd])
def test_a_skipped_update_counts_for_the_schedule(make_optimizer: Any):
    run = Run(warmup=4, make_optimizer=make_optimizer)
    for value in (math.nan, 1.0, math.nan):
        run.step(value)
    assert run.learner.updates == 3
    assert run.schedule.get_last_lr()[0] == pytest.approx(0.1 * 3 / 4)


def test_log_steps_say_how_many_updates_were_skipped_if_any_were():
    run = Run(make_optimizer=fused_adamw)
    assert "Skipped Updates" not in run.step(1.0, log_step=True)
    run.step(math.nan)
    run.step(math.nan)
    assert run.step(1.0, log_step=True)["Skipped Updates"] == 2
    assert run.step(1.0, log_step=True)["Skipped Updates"] == 2


def test_bad_updates_are_warned_of_on_log_steps_once_per_streak():
    run = Run(make_optimizer=fused_adamw)
    run.step(math.nan)
    for _ in range(2):
        with pytest.warns(AmagoWarning, match=r"update \d: Loss is nan, Tiny Grad Norm is nan\."):
            run.step(math.nan, log_step=True)
        run.step(math.nan, log_step=True)
        run.step(1.0, log_step=True)


def test_a_log_step_in_an_open_window_warns_of_the_update_before():
    run = Run(batches_per_update=2)
    run.step(math.nan)
    run.step(1.0)
    with pytest.warns(AmagoWarning, match="update 1: norm of the gradient is nan"):
        run.step(1.0, log_step=True)


@pytest.mark.parametrize("make_optimizer", [fused_adamw, sgd])
def test_so_many_bad_updates_in_a_row_end_the_run_with_the_batch(make_optimizer: Any):
    run = Run(make_optimizer=make_optimizer, max_bad_updates=3)
    for value in (1.0, math.nan, math.nan, 2.0, math.nan, math.nan):
        run.step(value)
    weight = run.weight
    with pytest.raises(DivergedError) as diverged:
        run.step(5.0, math.inf)
    message = str(diverged.value)
    assert "Update 7: Loss is nan, Tiny Grad Norm is nan" in message
    assert "not finite: 3 (max_bad_updates is 3)" in message
    assert "the weights are those of update 4" in message
    assert "lower learning_rate" in message
    assert diverged.value.batch.flatten().tolist() == [5.0, math.inf]
    assert math.isnan(diverged.value.metrics["Loss"])
    assert diverged.value.metrics["Skipped Updates"] == 5
    assert run.weight == weight


def test_where_looking_costs_a_wait_bad_updates_are_looked_for_on_log_steps():
    run = Run(make_optimizer=fused_adamw, max_bad_updates=2)
    run.learner.looks_at_every_update = False
    for _ in range(4):
        run.step(math.nan)
    with pytest.raises(DivergedError, match="not finite: 5"):
        run.step(math.nan, log_step=True)


def test_in_an_open_window_a_log_step_looks_at_the_updates_before():
    run = Run(make_optimizer=fused_adamw, max_bad_updates=1, batches_per_update=2)
    run.learner.looks_at_every_update = False
    run.step(math.nan)
    run.step(math.nan)
    with pytest.raises(DivergedError, match="not finite: 1"):
        run.step(1.0, log_step=True)


def test_nothing_waits_for_an_accelerator_outside_log_steps(monkeypatch: pytest.MonkeyPatch):
    run = Run(make_optimizer=fused_adamw)
    run.learner.looks_at_every_update = False  # as where the policy is on an accelerator
    run.step(1.0)

    def refuse(*_: Any) -> None:
        raise AssertionError("a value was read from the device")

    with monkeypatch.context() as patch:
        for name in ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__"):
            patch.setattr(Tensor, name, refuse)
        run.step(1.0)
        run.step(math.nan)
    assert run.learner.updates == 3


def test_fewer_than_one_bad_update_cannot_be_the_limit():
    with pytest.raises(ConfigError, match="max_bad_updates is 0"):
        Run(max_bad_updates=0)
