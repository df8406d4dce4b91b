"""What a run says about itself: its settings in full, its rows, its start-up summary.

Nothing is written until there is something to say: the first row of metrics, or the start of
`learn`. An experiment that only loads or acts leaves no trace.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

import amago
from amago.core import config as gin_config
from amago.tracking.base import FanOut, Tracker, TrackerContext, make_trackers
from amago.tracking.config_files import write_config, write_text
from amago.tracking.forecast import Forecast, forecast, timestep_bytes
from amago.tracking.sections import is_axis
from amago.tracking.store import LocalRecord
from amago.tracking.system import SystemMonitor
from amago.tracking.transcript import Transcript
from amago.tracking.wandb_tracker import WandbTracker

if TYPE_CHECKING:
    from amago.experiment.assembly import Assembly

AVERAGE_RETURN = "Average Total Return (Across All Env Names)"
FPS = "Env FPS (per_process)"


class RunRecord:
    """The trackers of a run, opened at the first row. Made and owned by the experiment's rank 0.

    What is logged outside of `learn`, by an evaluation of what has been learnt, goes to a writer of
    its own: it is no part of the training that a resume repeats, so a resume does not supersede it,
    and evaluating an old checkpoint supersedes nothing.

    A collector keeps a record of its own in the run's folder; the settings are the learner's.

    Attributes:
        local: the record of the training. A checkpoint keeps its step.
    """

    def __init__(self, experiment: Assembly) -> None:
        self._experiment = experiment
        self.local = self._record_of(experiment.link.writer)
        self._records = _ByPhase(self.local, self._record_of(experiment.link.evaluation_writer))
        self._transcript: Transcript | None = None
        self._system = SystemMonitor(experiment.ckpt_base_dir)
        self._trackers: FanOut | None = None

    def _record_of(self, writer: str) -> LocalRecord:
        experiment = self._experiment
        return LocalRecord(
            experiment.run_dir,
            writer=writer,
            facts={"seed": experiment.run_seed},
            warn=experiment.console.warn,
        )

    @contextlib.contextmanager
    def learning(self) -> Iterator[None]:
        """Around `learn`: rows belong to the training, and the run shows before its first row."""
        self._records.is_learning = True
        try:
            self._open()
            self.local.begin()
            self._tell_what_changed()
            yield
        finally:
            self._records.is_learning = False

    def log(self, row: dict[str, Any]) -> None:
        """Record one row."""
        trackers = self._open()
        trackers.log(row)
        if self._experiment.role != "collect" and self._system.is_due():
            axes = {name: value for name, value in row.items() if is_axis(name)}
            sample = {f"System/{name}": value for name, value in self._system.sample().items()}
            trackers.log(axes | sample)

    def flush(self) -> None:
        """Wait until every row so far is in the local record, safe from a kill."""
        self._records.flush()

    def finish(self, status: str) -> None:
        """Close every tracker; a later row opens the record again."""
        if self._trackers is not None:
            self._trackers.finish(status)
        if self._transcript is not None:
            self._transcript.end()
            self._transcript = None

    def _open(self) -> FanOut:
        """The trackers, made by the first call, which writes the settings too."""
        experiment = self._experiment
        if self._trackers is None:
            settings = describe(experiment)
            if experiment.role != "collect" and self._may_write_settings():
                gin_text = gin_config.operative_text()
                write_config(experiment.run_dir, settings, gin_text)
                write_text(Path(experiment.ckpt_dir) / "config.txt", gin_text)
            context = _context(experiment)
            trackers: list[Tracker] = [self._records]
            if experiment.log_to_wandb:
                trackers.append(_wandb(experiment, context))
            trackers += make_trackers(experiment.trackers, context)
            self._trackers = FanOut(trackers, warn=experiment.console.warn)
            self._trackers.config(settings)
        if self._transcript is None:
            self._transcript = Transcript(self.local.path.with_suffix(".log"))
            self._transcript.begin(before=experiment.console.said)
            experiment.console.said.clear()
        return self._trackers

    def _may_write_settings(self) -> bool:
        """An evaluation leaves the settings of the training as they are."""
        has_settings = (Path(self._experiment.run_dir) / "config.json").exists()
        return self._records.is_learning or not has_settings

    def _tell_what_changed(self) -> None:
        changed = {
            name: f"{old} -> {new}" for name, (old, new) in self.local.config_changes.items()
        }
        if changed:
            self._experiment.console.summary("Changed since the run was last started", changed)


class _ByPhase:
    """The local records of a run as one tracker: the row's phase decides whose it is."""

    def __init__(self, training: LocalRecord, evaluation: LocalRecord) -> None:
        self.is_learning = False
        self._training, self._evaluation = training, evaluation

    def config(self, config: Mapping[str, Any]) -> None:
        self._training.config(config)
        self._evaluation.config(config)

    def log(self, row: Mapping[str, Any]) -> None:
        (self._training if self.is_learning else self._evaluation).log(row)

    def flush(self) -> None:
        self._training.flush()
        self._evaluation.flush()

    def finish(self, status: str) -> None:
        self._training.finish(status)
        self._evaluation.finish(status)


def _context(experiment: Assembly) -> TrackerContext:
    is_collector = experiment.role == "collect"  # a run of its own for trackers, in the same group
    writer = experiment.link.writer
    return TrackerContext(
        run_name=f"{experiment.run_name}-{writer}" if is_collector else experiment.run_name,
        run_dir=Path(experiment.link.folder),
        default_axis="total_frames" if _collects(experiment) else "gradient_steps",
        say=experiment.console.line,
        warn=experiment.console.warn,
        group=experiment.wandb_group_name,
    )


def _wandb(experiment: Assembly, context: TrackerContext) -> WandbTracker:
    return WandbTracker(
        run_name=context.run_name,
        run_dir=context.run_dir,
        project=experiment.wandb_project,
        entity=experiment.wandb_entity,
        group=context.group,
        default_axis=context.default_axis,
        say=context.say,
        warn=context.warn,
    )


def _collects(experiment: Assembly) -> bool:
    """Whether frames will advance at all: an offline run has its points over gradient steps."""
    epochs_to_collect = experiment.epochs - experiment.start_collecting_at_epoch
    return experiment.train_timesteps_per_epoch > 0 and epochs_to_collect > 0


def describe(experiment: Assembly) -> dict[str, Any]:
    """Every setting of the run, as it was resolved."""
    trained, total = _parameter_counts(experiment)
    return {
        "experiment": {field.name: getattr(experiment, field.name) for field in fields(experiment)}
        | {"seed": experiment.run_seed},
        "gin": gin_config.bindings() | gin_config.operative(),
        "dataset": {
            "type": type(experiment.dataset),
            "description": experiment.dataset.get_description(),
        },
        "environment": {
            "description": experiment.train_envs.description,
            "observation_space": str(experiment.rl2_space["obs"]),
            "action_space": str(experiment.train_envs.single_action_space),
        },
        "model": {"trainable_parameters": trained, "parameters": total},
        "device": str(experiment.DEVICE),
        "processes": experiment.ranks.world_size,
        "torch_threads": torch.get_num_threads(),
    }


# --------------------------------------------------------------------------------- the summary


def summary(experiment: Assembly, env_summary: str) -> tuple[str, dict[str, Any]]:
    """Title and facts of the start-up summary."""
    policy = experiment.policy
    trained, _ = _parameter_counts(experiment)
    exploration = experiment.exploration_wrapper_type
    facts = {
        "Run": experiment.run_name,
        "Agent": type(policy).__name__,
        "Sequence length": experiment.max_seq_len,
        "Encoders": f"{type(policy.tstep_encoder).__name__}, {type(policy.traj_encoder).__name__}",
        "Trainable parameters": f"{trained:,}",
        "Loss weights": _loss_weights(policy),
        "Environment": env_summary,
        "Exploration": "none" if exploration is None else exploration.__name__,
        "Dataset": experiment.dataset.get_description(),
        "Device": f"{experiment.DEVICE}, precision '{experiment.mixed_precision}', "
        f"{experiment.ranks.world_size} process(es), {torch.get_num_threads()} threads",
        "Seed": experiment.run_seed,
        "Run folder": experiment.run_dir,
        "To see it": f"amago dashboard {shlex.quote(str(experiment.ckpt_base_dir))}",
    }
    expected = _forecast(experiment)
    if problem := expected.problem():
        experiment.console.warn(problem)
    return f"amago {amago.__version__}", facts | expected.lines()


def _loss_weights(policy: Any) -> str:
    weights = {name: getattr(policy, f"{name}_coeff", None) for name in ("offline", "online")}
    return ", ".join(f"{name} {value:g}" for name, value in weights.items() if value is not None)


def _parameter_counts(experiment: Assembly) -> tuple[int, int]:
    trained = sum(p.numel() for p in experiment.policy.trainable_params)
    return trained, sum(p.numel() for p in experiment.policy.parameters())


def _forecast(experiment: Assembly) -> Forecast:
    trained, total = _parameter_counts(experiment)
    known_length = experiment.traj_save_len < 10**9
    per_epoch = experiment.train_timesteps_per_epoch * experiment.train_envs.num_envs
    # Files that are sampled no more stay on the disk until the next checkpoint.
    waiting = per_epoch * (experiment.ckpt_interval or 0) // int(experiment.traj_save_len)
    spaces: Any = experiment.rl2_space
    return forecast(
        per_timestep=timestep_bytes(spaces["obs"].spaces, spaces["rl2"].shape[0] - 1),
        folder=Path(experiment.dataset.save_new_trajs_to or experiment.run_dir),
        trajectories=getattr(experiment.dataset, "dset_max_size", 0) + waiting,
        trajectory_length=experiment.traj_save_len if known_length else None,
        actors=experiment.train_envs.num_envs,
        parameters=total,
        trained_parameters=trained,
        batch_size=experiment.batch_size,
        sequence_length=experiment.max_seq_len + 1,
    )
