"""What a checkpoint holds: enough to go on as if the run had never stopped."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amago.checkpoint.run_state import load_state, save_state
from amago.core.errors import CheckpointError

if TYPE_CHECKING:
    from amago.experiment.experiment import Experiment


def folder(experiment: Experiment, epoch: int) -> str:
    """Where the state after `epoch` is kept."""
    return os.path.join(
        experiment.ckpt_dir, "training_states", f"{experiment.run_name}_epoch_{epoch}"
    )


def save(experiment: Experiment) -> None:
    """Save the state after the present epoch; it appears whole or not at all."""
    parts = _gather(experiment)  # every rank gives its random streams
    if experiment.ranks.is_main:
        save_state(folder(experiment, experiment.epoch), parts)
    experiment.ranks.barrier()


def load(experiment: Experiment, path: str | Path) -> None:
    """Restore what `save` gathered; `learn` then goes on with the next epoch.

    Raises:
        CheckpointError: there is no such state, it is damaged, or it is another run's.
    """
    try:
        parts = load_state(path)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error} {_saved_instead(path)} Weights alone load with "
            f"load_checkpoint(epoch, resume_training_state=False)."
        ) from error
    _scatter(experiment, parts)


def _saved_instead(path: str | Path) -> str:
    parent = os.path.dirname(path)
    found = sorted(os.listdir(parent)) if os.path.isdir(parent) else []
    return f"Saved ones: {', '.join(found)}." if found else f"None were saved in {parent}."


def _gather(experiment: Experiment) -> dict[str, Any]:
    return {
        "policy": experiment.policy.state_dict(),
        "optimizer": experiment.optimizer.state_dict(),
        "lr_schedule": experiment.lr_schedule.state_dict(),
        "counters": {
            "next_epoch": experiment.epoch + 1,
            "frames": dict(_frames(experiment)),
            "record_step": experiment.record.local.step,
        },
        "learner": experiment.learner.state_dict(),
        "seed": experiment.run_seed,
        "randomness_by_rank": experiment.ranks.gather(experiment.randomness.state_dict()),
        "exploration_by_rank": experiment.ranks.gather(experiment.train_envs.exploration_state()),
        "dataset": experiment.dataset.state_dict(),
    }


def _scatter(experiment: Experiment, parts: dict[str, Any]) -> None:
    experiment.policy.load_state_dict(parts["policy"], strict=True)
    experiment.optimizer.load_state_dict(parts["optimizer"])
    experiment.lr_schedule.load_state_dict(parts["lr_schedule"])
    experiment.learner.load_state_dict(parts["learner"])
    experiment.grad_update_counter = experiment.learner.updates
    experiment.epoch = parts["counters"]["next_epoch"]
    experiment.frames_before_resume = parts["counters"]["frames"]
    if experiment.ranks.is_main:
        experiment.record.local.resume_at(parts["counters"]["record_step"])
    rank = experiment.ranks.rank
    if rank < len(parts["randomness_by_rank"]):  # in a run that grew, new ranks begin new streams
        experiment.randomness.load_state_dict(parts["randomness_by_rank"][rank])
        experiment.train_envs.load_exploration_state(parts["exploration_by_rank"][rank])
    experiment.dataset.load_state_dict(parts["dataset"])


def _frames(experiment: Experiment) -> Counter[str]:
    frames = Counter(experiment.frames_before_resume)
    for counts in experiment.train_envs.statistics.frames_by_env_name:
        frames.update(counts)
    return frames
