"""Every setting of a run: its names, types and defaults. Each is a keyword of `Experiment`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from amago.agent import BaseAgent
from amago.envs.exploration import EpsilonGreedy, ExplorationWrapper
from amago.loading import RLDataset
from amago.nets.traj_encoders import TrajEncoder
from amago.nets.tstep_encoders import TstepEncoder
from amago.tracking.base import Tracker, TrackerFactory

EnvFactories = Callable[[], Any] | Iterable[Callable[[], Any]]


@dataclass
class Settings:
    """Settings of one training run.

    Args:
        run_name: identity of the run: its folder below `ckpt_base_dir`, its name in trackers.
        ckpt_base_dir: where runs keep checkpoints and records.
        max_seq_len: longest training sequence in transitions; also how many steps a Transformer
            remembers when it acts.
        dataset: where training sequences come from, and where actors leave new ones.
        tstep_encoder_type, traj_encoder_type, agent_type: classes, built with the shapes of the
            environment; everything else about them is a default that gin may override.
        make_train_env, make_val_env: a function without arguments that returns an `AMAGOEnv`, or
            a list of `parallel_actors` such functions. Validation episodes are never stored.
        parallel_actors: environments that act side by side.
        env_mode: "async" (worker processes), "sync" (this process) or "already_vectorized" (one
            environment that is a batch).
        async_env_mp_context: how workers start ("fork", "forkserver", "spawn"); None lets the
            pool choose.
        exploration_wrapper_type: adds noise to the actions of training environments; None adds
            none.
        sample_actions_train, sample_actions_val: draw actions from the policy, rather than taking
            its best guess.
        force_reset_train_envs_every: epochs after which training environments are reset.
        traj_save_len: a trajectory is stored at the end of its episode, or after this many steps.
        has_dset_edit_rights: this process may delete old trajectories.
        stagger_traj_file_lengths: vary the length of stored pieces, so that their borders differ.
        save_trajs_as: "npz", "npz-compressed" or "trajectory" (a pickle).
        padded_sampling: how training sequences are cut out of longer trajectories: "none",
            "left", "right", "both" or "center".
        dloader_workers: processes that read trajectories; 0 reads them in this one.
        log_to_wandb, wandb_project, wandb_entity, wandb_group_name: Weights & Biases, beside the
            local record that is always kept.
        trackers: others beside them: classes that are made with a `TrackerContext` as the run
            starts, or objects; see `amago.tracking.base`.
        verbose: progress bars and a line after each evaluation.
        log_interval: batches between two rows of training metrics.
        seed: everything random in the run follows from it; None draws one and records it.
        epochs, start_learning_at_epoch, start_collecting_at_epoch: the schedule; both starts may
            be infinite.
        train_timesteps_per_epoch, val_timesteps_per_epoch: steps of *each* environment; 0 never
            collects, or never evaluates.
        train_batches_per_epoch: batches to learn from in an epoch; 0 never learns.
        val_interval, ckpt_interval: epochs between evaluations and between checkpoints; None or 0
            disables.
        always_save_latest, always_load_latest: publish the newest weights after each epoch of
            learning; fetch them before each epoch of collecting.
        batch_size: sequences in a batch, on each device.
        batches_per_update: batches whose gradients are added up before an optimiser step.
        learning_rate, lr_warmup_steps, grad_clip, l2_coeff: AdamW after a linear warm-up, global
            norm of the clipped gradient, weight decay.
        mixed_precision: "no", "bf16" or "fp16".
        compile: False, True, or a mode of `torch.compile` for the update, such as
            "reduce-overhead"; see `amago.training.compilation`.
        env_timeout_s: seconds a step of a worker's environments may take before the worker is
            replaced.
        max_env_failures: faults of one environment, without a finished episode between them, that
            end the run.
        bad_env_values: what to do about NaN, infinity or a wrong shape from an environment: "error"
            ends the run, "drop" gives up the episode, "clamp" replaces what is not finite.
        max_bad_updates: gradients in a row that are not finite, each of them skipped, that end the
            run.
        ckpt_keep_last: how many of the newest training states to keep, besides the best one; None
            keeps all. Weights files are always kept.
        ckpt_keep_every: also keep the states whose epoch is a multiple of this.
        fifo_fsync: when trajectory files are flushed to the disk, so that a power cut cannot lose
            them: "none", "epoch" (before a checkpoint that knows them) or "always".
    """

    run_name: str
    ckpt_base_dir: str
    max_seq_len: int
    dataset: RLDataset
    tstep_encoder_type: type[TstepEncoder]
    traj_encoder_type: type[TrajEncoder]
    agent_type: type[BaseAgent]
    val_timesteps_per_epoch: int

    # environments
    make_train_env: EnvFactories
    make_val_env: EnvFactories
    parallel_actors: int = 12
    env_mode: str = "async"
    async_env_mp_context: str | None = None
    exploration_wrapper_type: type[ExplorationWrapper] | None = EpsilonGreedy
    sample_actions_train: bool = True
    sample_actions_val: bool = True
    force_reset_train_envs_every: int | None = None

    # record
    log_to_wandb: bool = False
    wandb_project: str | None = None
    wandb_entity: str | None = None
    wandb_group_name: str | None = None
    trackers: Iterable[Tracker | TrackerFactory] = ()
    verbose: bool = True
    log_interval: int = 300
    seed: int | None = None

    # stored trajectories
    traj_save_len: int = 10_000_000_000
    has_dset_edit_rights: bool = True
    stagger_traj_file_lengths: bool = True
    save_trajs_as: str = "npz"
    padded_sampling: str = "none"
    dloader_workers: int = 6

    # schedule
    epochs: int = 1000
    start_learning_at_epoch: float = 0
    start_collecting_at_epoch: float = 0
    train_timesteps_per_epoch: int = 1000
    train_batches_per_epoch: int = 1000
    val_interval: int | None = 20
    ckpt_interval: int | None = 50
    always_save_latest: bool = True
    always_load_latest: bool = False

    # optimisation
    batch_size: int = 24
    batches_per_update: int = 1
    learning_rate: float = 1e-4
    lr_warmup_steps: int = 500
    grad_clip: float = 1.0
    l2_coeff: float = 1e-3
    mixed_precision: str = "no"
    compile: bool | str = False

    # what happens when something fails
    env_timeout_s: float = 600.0
    max_env_failures: int = 3
    bad_env_values: str = "error"
    max_bad_updates: int = 10
    ckpt_keep_last: int | None = None
    ckpt_keep_every: int | None = None
    fifo_fsync: str = "epoch"
