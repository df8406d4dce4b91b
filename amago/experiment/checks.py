"""Rules about settings, checked all at once before anything is built or written."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from amago.core.errors import ConfigError
from amago.core.names import nearest

if TYPE_CHECKING:
    from amago.experiment.parts import Parts

_CHOICES = {
    "env_mode": ("async", "sync", "already_vectorized"),
    "save_trajs_as": ("npz", "npz-compressed", "trajectory", "traj"),
    "padded_sampling": ("none", "left", "right", "both", "center"),
    "mixed_precision": ("no", "fp16", "bf16"),
    "compile": (False, True, "default", "reduce-overhead", "max-autotune", "aot_eager"),
    "async_env_mp_context": (None, "fork", "forkserver", "spawn"),
    "bad_env_values": ("error", "drop", "clamp"),
    "fifo_fsync": ("none", "epoch", "always"),
}
_AT_LEAST = {
    "max_seq_len": 1,
    "parallel_actors": 1,
    "batch_size": 1,
    "batches_per_update": 1,
    "log_interval": 1,
    "epochs": 0,
    "val_timesteps_per_epoch": 0,
    "train_timesteps_per_epoch": 0,
    "train_batches_per_epoch": 0,
    "dloader_workers": 0,
    "lr_warmup_steps": 0,
    "max_env_failures": 1,
    "max_bad_updates": 1,
}

_LONGEST_NAME = 200
"""Bytes: file systems take 255, and the folders of states add to the name."""


def check_settings(experiment: Parts) -> None:
    """Raise one `ConfigError` that names every setting that cannot work."""
    problems = [*_wrong_choices(experiment), *_too_small(experiment), *_contradictions(experiment)]
    if problems:
        raise ConfigError(
            f"{len(problems)} setting(s) of this Experiment cannot work:\n"
            + "\n".join(f"  - {problem}" for problem in problems)
        )


def _wrong_choices(experiment: Parts) -> Iterator[str]:
    for field, choices in _CHOICES.items():
        value = getattr(experiment, field)
        if value not in choices:
            hint = nearest(str(value), [str(choice) for choice in choices])
            yield f"{field} is {value!r}, not one of {', '.join(map(repr, choices))}{hint}"


def _too_small(experiment: Parts) -> Iterator[str]:
    for field, lowest in _AT_LEAST.items():
        value = getattr(experiment, field)
        if not isinstance(value, int) or value < lowest:
            yield f"{field} is {value!r}; it must be a whole number of at least {lowest}."


def _contradictions(experiment: Parts) -> Iterator[str]:
    if experiment.traj_save_len < experiment.max_seq_len:
        yield (
            f"traj_save_len ({experiment.traj_save_len}) is shorter than max_seq_len "
            f"({experiment.max_seq_len}): stored trajectories could never fill a training "
            f"sequence. Raise traj_save_len or lower max_seq_len."
        )
    if experiment.learning_rate < 0 or experiment.grad_clip <= 0:
        yield (
            f"learning_rate ({experiment.learning_rate}) must not be negative and grad_clip "
            f"({experiment.grad_clip}) must be positive."
        )
    if experiment.env_timeout_s <= 0:
        yield f"env_timeout_s is {experiment.env_timeout_s}; it must be positive."
    for field in ("ckpt_keep_last", "ckpt_keep_every"):
        value = getattr(experiment, field)
        if value is not None and value < 1:
            yield f"{field} is {value}; it must be at least 1, or None."
    if problem := folder_name_problem(experiment.run_name):
        yield f"run_name is {experiment.run_name!r}; it names a folder, so it must not {problem}."


def folder_name_problem(name: str) -> str | None:
    """Why `name` cannot be that of a run's folder: the end of "it must not ...". None if it can.

    What is merely odd (quotes, marks of HTML, any script of the world) can.
    """
    if name in ("", ".", ".."):
        return "be empty, '.' or '..'"
    if "/" in name or "\\" in name:
        return "hold '/' or '\\'"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        return "hold line breaks, tabs or other control characters, or half a character"
    if len(name.encode()) > _LONGEST_NAME:
        return f"be longer than {_LONGEST_NAME} bytes ({len(name.encode())} are too many)"
    return None
