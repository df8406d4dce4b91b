"""A learner that is saved anywhere, and goes on elsewhere, learns the same: bit for bit."""

import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from amago.checkpoint.encoding import decode, encode
from amago.core.errors import AmagoWarning
from amago.training.distributed import Ranks
from amago.training.learner import Learner
from amago.training.optimizers import AdamWRel, adamw, get_constant_schedule_with_warmup


class Policy(nn.Module):
    """A network with a slowly following target, learnt by regression on its own target."""

    def __init__(self) -> None:
        super().__init__()
        self.online = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        self.target = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        self.update_info: dict[str, Any] = {}

    @property
    def trainable_params(self) -> Any:
        return self.online.parameters()

    def forward(self, batch: Tensor, log_step: bool) -> Tensor:
        return (self.online(batch) - self.target(batch).detach() - batch[:, :2]).square().mean()

    @torch.no_grad()
    def soft_sync_targets(self) -> None:
        for new, old in zip(self.online.parameters(), self.target.parameters(), strict=True):
            old.lerp_(new, 0.1)

    def get_grad_norms(self) -> dict[str, Any]:
        return {"Online Grad Norm": self.online[0].weight.grad.norm()}


def relative(params: Any) -> Optimizer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AmagoWarning)
        return AdamWRel(params, reset_interval=3, lr=0.05)


OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "fused": lambda params: adamw(params, lr=0.05, weight_decay=0.01),
    "relative": relative,
    "sgd": lambda params: SGD(params, lr=0.05, momentum=0.9),
}


class Run:
    def __init__(self, optimizer: str, batches_per_update: int, seed: int = 0) -> None:
        torch.manual_seed(seed)
        ranks = Ranks("no", batches_per_update)
        self.policy = Policy()
        self.optimizer = OPTIMIZERS[optimizer](list(self.policy.trainable_params))
        self.schedule = get_constant_schedule_with_warmup(self.optimizer, 5)
        wrapped, prepared = ranks.prepare(self.policy, self.optimizer)
        self.learner = Learner(wrapped, self.policy, prepared, self.schedule, ranks, grad_clip=1.0)

    def learn(self, batches: list[Tensor]) -> list[dict[str, Any]]:
        return [self.learner.step(batch, log_step=False) for batch in batches]

    def parts(self) -> dict[str, Any]:
        return {
            "policy": self.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_schedule": self.schedule.state_dict(),
            "learner": self.learner.state_dict(),
        }

    def load(self, parts: dict[str, Any]) -> None:
        self.policy.load_state_dict(parts["policy"])
        self.optimizer.load_state_dict(parts["optimizer"])
        self.schedule.load_state_dict(parts["lr_schedule"])
        self.learner.load_state_dict(parts["learner"])


def stored(parts: dict[str, Any]) -> dict[str, Any]:
    """The parts as they come back from a checkpoint."""
    encoded = encode(parts, "parts")
    tensors = {name: tensor.clone() for name, tensor in encoded.tensors.items()}
    return decode(encoded.tree, tensors, encoded.aliases)


def batches(count: int, bad: set[int] = frozenset()) -> list[Tensor]:
    """The same ones every time; a bad one makes the loss NaN."""
    generator = torch.Generator().manual_seed(1)
    made = [torch.randn(4, 3, generator=generator) for _ in range(count)]
    for index in bad:
        made[index][0, 0] = math.nan
    return made


def assert_equal(one: Any, other: Any) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@settings(max_examples=40)
@given(
    optimizer=st.sampled_from(sorted(OPTIMIZERS)),
    batches_per_update=st.integers(1, 3),
    count=st.integers(1, 12),
    saved_after=st.integers(0, 12),
    bad=st.sets(st.integers(0, 11), max_size=2),
)
def test_learning_in_two_runs_is_learning_in_one(
    optimizer: str, batches_per_update: int, count: int, saved_after: int, bad: set[int]
):
    saved_after = min(saved_after, count)
    data = batches(count, {index for index in bad if index < count})
    whole, first, second = (Run(optimizer, batches_per_update, seed) for seed in (0, 0, 9))
    losses = [m["Loss"] for m in whole.learn(data)]
    first_losses = [m["Loss"] for m in first.learn(data[:saved_after])]
    second.learn(batches(random.Random(count).randrange(4)))  # something else before it resumes
    second.load(stored(first.parts()))
    assert_equal(first_losses + [m["Loss"] for m in second.learn(data[saved_after:])], losses)
    assert_equal(stored(second.parts()), stored(whole.parts()))


def test_saving_changes_nothing():
    saved, unsaved = Run("fused", 2), Run("fused", 2)
    for batch in batches(5):
        saved.learn([batch])
        stored(saved.parts())
        unsaved.learn([batch])
    assert_equal(stored(saved.parts()), stored(unsaved.parts()))


def test_a_loaded_state_is_not_learnt_into():
    run, resumed = Run("fused", 2), Run("fused", 2)
    run.learn(batches(3))
    state = run.learner.state_dict()
    kept = stored({"learner": state})["learner"]
    resumed.learner.load_state_dict(state)
    resumed.learn(batches(2))
    assert_equal(state["window"], kept["window"])


@pytest.mark.parametrize("batches_per_update", [1, 3])
def test_a_window_of_another_size_begins_again_with_a_warning(batches_per_update: int):
    run, resumed = Run("sgd", 2), Run("sgd", batches_per_update)
    run.learn(batches(3))
    assert run.learner.is_window_open
    with pytest.warns(AmagoWarning, match="that update begins again"):
        resumed.load(stored(run.parts()))
    assert not resumed.learner.is_window_open
    resumed.learn(batches(batches_per_update))
    assert resumed.learner.updates == 2


def test_updates_skipped_before_a_reload_are_remembered():
    run, resumed = Run("fused", 1), Run("fused", 1)
    run.learn(batches(3, bad={0, 2}))
    resumed.load(stored(run.parts()))
    with pytest.warns(AmagoWarning, match="is nan"):
        metrics = resumed.learner.step(batches(1, bad={0})[0], log_step=True)
    assert metrics["Skipped Updates"] == 3
    assert resumed.learner.state_dict()["bad_updates"] == {"in_a_row": 2, "in_all": 3}
