"""Which steps are due in which epoch."""

import math
from typing import Any

import pytest

from amago.core.errors import ConfigError
from amago.training.schedule import Due, Every, Schedule

EVERYTHING_AT_ZERO = {
    "start_learning_at_epoch": 0,
    "start_collecting_at_epoch": 0,
    "train_timesteps_per_epoch": 1,
    "train_batches_per_epoch": 1,
    "val_timesteps_per_epoch": 1,
    "val_interval": 1,
    "ckpt_interval": 1,
    "always_load_latest": True,
    "always_save_latest": True,
}


def due(epoch: int, **changes: Any) -> Due:
    return Schedule(**{**EVERYTHING_AT_ZERO, **changes}).at(epoch)


def epochs(step: str, **changes: Any) -> list[int]:
    """The epochs below 7 in which the step is due."""
    return [epoch for epoch in range(7) if getattr(due(epoch, **changes), step)]


def test_every_step_can_be_due_at_once():
    assert due(0) == Due(
        fetch=True, evaluate=True, collect=True, train=True, checkpoint=True, publish=True
    )


@pytest.mark.parametrize("never", [None, 0])
def test_an_interval_of_none_or_zero_is_never(never: int | None):
    assert not any(Every(never)(index) for index in range(5))
    assert epochs("evaluate", val_interval=never) == []
    assert epochs("checkpoint", ckpt_interval=never) == []


def test_an_interval_counts_from_zero():
    assert [i for i in range(10) if Every(4)(i)] == [0, 4, 8]
    assert epochs("evaluate", val_interval=3) == [0, 3, 6]
    assert epochs("checkpoint", ckpt_interval=5) == [0, 5]


def test_nothing_is_evaluated_without_timesteps_to_do_it_in():
    assert epochs("evaluate", val_timesteps_per_epoch=0) == []


def test_learning_and_collecting_start_when_told():
    assert epochs("train", start_learning_at_epoch=4) == [4, 5, 6]
    assert epochs("collect", start_collecting_at_epoch=5) == [5, 6]


def test_infinity_is_never():
    assert epochs("train", start_learning_at_epoch=math.inf) == []
    assert epochs("collect", start_collecting_at_epoch=math.inf) == []


def test_no_batches_is_no_learning_and_no_timesteps_is_no_collecting():
    assert epochs("train", train_batches_per_epoch=0) == []
    assert epochs("collect", train_timesteps_per_epoch=0) == []


def test_weights_are_published_in_trained_epochs_only():
    assert epochs("publish", start_learning_at_epoch=2) == [2, 3, 4, 5, 6]
    assert epochs("publish", always_save_latest=False) == []


def test_checkpoints_do_not_wait_for_learning():
    assert epochs("checkpoint", start_learning_at_epoch=math.inf) == list(range(7))


def test_a_learner_only_trains_saves_and_publishes():
    assert due(0, role="learn") == Due(
        fetch=False, evaluate=False, collect=False, train=True, checkpoint=True, publish=True
    )


def test_a_collector_fetches_even_if_not_told_and_never_writes_weights():
    assert due(0, role="collect", always_load_latest=False) == Due(
        fetch=True, evaluate=True, collect=True, train=False, checkpoint=False, publish=False
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": "learner"}, "role is 'learner'; choose from both, learn, collect"),
        ({"val_interval": -1}, "interval is -1"),
        ({"ckpt_interval": -2}, "interval is -2"),
    ],
)
def test_a_wrong_setting_is_refused_at_once(changes: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        Schedule(**{**EVERYTHING_AT_ZERO, **changes})
