"""What a checkpoint holds: enough to go on as if the run had never stopped."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amago.checkpoint import run_state
from amago.core.errors import CheckpointError, DivergedError, amago_warning
from amago.experiment.cursor import Cursor
from amago.rollout.memory import memory_state, restore_memory

if TYPE_CHECKING:
    from amago.experiment.experiment import Experiment


def states_dir(experiment: Experiment) -> str:
    """Where the states of a run are kept."""
    return os.path.join(experiment.ckpt_dir, "training_states")


def folder(experiment: Experiment, epoch: int) -> str:
    """Where the state after `epoch` is kept."""
    return os.path.join(states_dir(experiment), f"{experiment.run_name}_epoch_{epoch}")


def interim_folder(experiment: Experiment) -> str:
    """Where a state between checkpoints is kept: of the beginning, or of where a signal stopped
    the run. The next checkpoint takes its place.
    """
    return os.path.join(states_dir(experiment), f"{experiment.run_name}_interim")


# ------------------------------------------------------------------------------------ saving


def save(experiment: Experiment, path: str) -> None:
    """Save the present state at `path`; it appears whole or not at all.

    What the state refers to is made durable first: the rows of the record, and the trajectories.

    Raises:
        CheckpointError: the disk refused. Earlier states are as they were.
    """
    parts = _gather(experiment)  # every rank gives its part
    if experiment.fifo_fsync == "epoch":
        experiment.train_envs.recorder.sync()
    error = None
    if experiment.ranks.is_main:
        try:
            _write(experiment, path, parts)
        except CheckpointError as refused:
            error = refused
    if (error := experiment.ranks.broadcast(error)) is not None:
        raise error  # in every rank: none may wait for one that has left
    experiment.dataset.on_checkpoint_saved()


def _write(experiment: Experiment, path: str, parts: dict[str, Any]) -> None:
    if experiment.lock is not None and not experiment.lock.is_held:
        raise CheckpointError(
            f"did not save '{path}': another learner has taken over '{experiment.run_dir}', "
            f"because this one had not been seen for a while. Only one of them may go on."
        )
    experiment.record.local.flush()
    run_state.save_state(path, parts, info=_info(experiment))
    if path != interim_folder(experiment):
        run_state.remove(interim_folder(experiment))


def prune(experiment: Experiment) -> None:
    """Delete the states that the retention settings do not keep. Weights files stay."""
    if experiment.ckpt_keep_last is None or not experiment.ranks.is_main:
        return
    states = states_dir(experiment)
    best = run_state.best(states, "score")
    run_state.prune(
        states,
        keep_last=experiment.ckpt_keep_last,
        keep_every=experiment.ckpt_keep_every,
        keep=() if best is None else (best.name,),
    )


def _info(experiment: Experiment) -> dict[str, Any]:
    """What can be read of a state without loading it."""
    return {
        "epoch": experiment.epoch,
        "gradient_steps": experiment.grad_update_counter,
        "score": experiment.latest_score,
    }


def _gather(experiment: Experiment) -> dict[str, Any]:
    by_rank = experiment.ranks.gather(_part_of_this_rank(experiment))
    cursor = experiment.cursor
    # What remains of an epoch that is being saved is to publish its weights.
    place = (cursor.phase, cursor.step) if cursor.phase != "save" else ("publish", 0)
    return {
        "policy": experiment.policy.state_dict(),
        "optimizer": experiment.optimizer.state_dict(),
        "lr_schedule": experiment.lr_schedule.state_dict(),
        "learner": experiment.learner.state_dict(),
        "dataset": experiment.dataset.state_dict(),
        "run": {
            "seed": experiment.run_seed,
            "epoch": experiment.epoch,
            "phase": place[0],
            "step": place[1],
            "record_step": experiment.record.local.step if experiment.ranks.is_main else 0,
            "score": experiment.latest_score,
            "num_ranks": experiment.ranks.world_size,
        },
        **{f"rank{rank}": part for rank, part in enumerate(by_rank)},
    }


def _part_of_this_rank(experiment: Experiment) -> dict[str, Any]:
    return {
        "frames": dict(frames(experiment)),
        "randomness": experiment.randomness.state_dict(),
        "train_envs": experiment.train_envs.state_dict(),
        "memory": memory_state(experiment.hidden_state),
        "val_episodes": experiment.val_envs.episodes(),
    }


def frames(experiment: Experiment) -> Counter[str]:
    """Frames this rank has collected, by environment name, since the run began."""
    counted = Counter(experiment.frames_before_resume)
    for counts in experiment.train_envs.statistics.frames_by_env_name:
        counted.update(counts)
    return counted


# ----------------------------------------------------------------------------------- loading


def load(experiment: Experiment, path: str | Path) -> None:
    """Restore what `save` gathered; `learn` then goes on from there.

    Raises:
        CheckpointError: there is no such state, it is damaged, or it is another run's.
    """
    try:
        parts = run_state.load_state(path)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error} {_saved_instead(path)} Weights alone load with "
            f"load_checkpoint(epoch, resume_training_state=False)."
        ) from error
    _adopt_seed(experiment, parts["run"]["seed"])
    _scatter(experiment, parts)


def _saved_instead(path: str | Path) -> str:
    parent = os.path.dirname(path)
    found = sorted(os.listdir(parent)) if os.path.isdir(parent) else []
    return f"Saved ones: {', '.join(found)}." if found else f"None were saved in {parent}."


def _adopt_seed(experiment: Experiment, seed: int) -> None:
    """Go on with the random streams of the saved run, which may have drawn its seed."""
    if seed == experiment.run_seed:
        return
    if experiment.seed is not None:
        amago_warning(
            f"the state was saved by a run with seed {seed}; it goes on with that seed, not with "
            f"seed={experiment.seed}."
        )
    experiment.reseed(seed)


def _scatter(experiment: Experiment, parts: dict[str, Any]) -> None:
    experiment.policy.load_state_dict(parts["policy"], strict=True)
    experiment.optimizer.load_state_dict(parts["optimizer"])
    experiment.lr_schedule.load_state_dict(parts["lr_schedule"])
    experiment.learner.load_state_dict(parts["learner"])
    experiment.grad_update_counter = experiment.learner.updates
    run = parts["run"]
    experiment.epoch = run["epoch"]
    experiment.cursor = Cursor(run["phase"], run["step"])
    experiment.latest_score = run["score"]
    if experiment.ranks.is_main:
        experiment.record.local.resume_at(run["record_step"])
    experiment.dataset.load_state_dict(parts["dataset"])
    _restore_rank(experiment, parts)


def _restore_rank(experiment: Experiment, parts: dict[str, Any]) -> None:
    """What this rank alone had: its environments, what the policy remembers of them, its streams.

    The environments come first, because bringing them back may draw from the global streams.
    """
    num_ranks = parts["run"]["num_ranks"]
    rank = experiment.ranks.rank
    if num_ranks != experiment.ranks.world_size:
        amago_warning(
            f"the state was saved by {num_ranks} process(es), and {experiment.ranks.world_size} "
            f"go on: the run is not the one that it would have been."
        )
    if rank >= num_ranks:
        return
    part = parts[f"rank{rank}"]
    experiment.frames_before_resume = part["frames"]
    began_anew = experiment.train_envs.load_state_dict(part["train_envs"])
    experiment.val_envs.set_episodes(part["val_episodes"])
    experiment.hidden_state = _restored_memory(experiment, part["memory"], began_anew)
    experiment.randomness.load_state_dict(part["randomness"])


def _restored_memory(experiment: Experiment, state: Any, began_anew: Any) -> Any:
    if state is None or began_anew.all():
        return None
    fresh = experiment.policy.init_hidden_state(experiment.train_envs.num_envs, experiment.DEVICE)
    memory = restore_memory(fresh, state)
    if began_anew.any():
        memory = experiment.policy.reset_hidden_state(memory, began_anew)
    return memory


# -------------------------------------------------------------------------------- evaluation


def before_evaluation(experiment: Experiment) -> tuple[list[int], dict[str, Any]]:
    """What an evaluation is about to change, for `undo_evaluation`."""
    return experiment.val_envs.episodes(), experiment.randomness.state_dict()


def undo_evaluation(experiment: Experiment, before: tuple[list[int], dict[str, Any]]) -> None:
    """Forget an evaluation that was cut short: the resumed run evaluates again, the same way."""
    episodes, streams = before
    experiment.val_envs.set_episodes(episodes)
    experiment.randomness.load_state_dict(streams)


# -------------------------------------------------------------------------------- divergence


def keep_evidence(experiment: Experiment, error: DivergedError) -> None:
    """Keep the batch and the weights with which training diverged, and say where."""
    path = os.path.join(experiment.run_dir, f"diverged-rank{experiment.ranks.rank}")
    try:
        run_state.save_state(
            path, {"batch": vars(error.batch), "policy": experiment.policy.state_dict()}
        )
    except CheckpointError as refused:
        error.add_note(f"The batch could not be kept: {refused}")
    else:
        error.add_note(f"The batch and the weights are in {path} (amago.checkpoint.load_state).")
