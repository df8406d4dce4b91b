"""What a training script needs: the common command line, and the way from it to an `Experiment`.

Scripts write `from amago.cli_utils import *`, and expect `gin`, `wandb`, `os` and the common base
classes to come along: `__all__` is that list.

    parser = ArgumentParser()
    add_common_cli(parser)
    args = parser.parse_args()
    config = {}
    agent_type = switch_agent(config, args.agent_type)
    ...
    use_config(config, args.configs)
    experiment = create_experiment_from_cli(args, ...)
    switch_async_mode(experiment, args.mode)
    experiment.start()
    experiment.learn()
"""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any, Optional, TypeVar

import amago
from amago.agent import Agent, get_agent_cls, list_registered_agents
from amago.core import config as _config
from amago.core.errors import ConfigError, amago_warning
from amago.core.names import nearest
from amago.envs.exploration import (
    BilevelEpsilonGreedy,
    EpsilonGreedy,
    ExplorationWrapper,
    get_exploration_cls,
    list_registered_explorations,
)
from amago.experiment import Experiment
from amago.loading import DiskTrajDataset, RLDataset
from amago.nets import (
    TrajEncoder,
    TstepEncoder,
    get_traj_encoder_cls,
    get_tstep_encoder_cls,
    list_registered_traj_encoders,
    list_registered_tstep_encoders,
)

gin = _config.gin
"""The gin module, for scripts that speak to it directly."""

E = TypeVar("E", bound=Experiment)


class _LazyWandb:
    """Stands for the `wandb` module, which is imported when something of it is used.

    A script may end in `wandb.finish()` whether or not it logged to W&B.
    """

    def __getattr__(self, name: str) -> Any:
        if name == "finish" and "wandb" not in sys.modules:
            return _nothing_to_finish
        return getattr(import_module("wandb"), name)


def _nothing_to_finish(*args: Any, **kwargs: Any) -> None:
    """`wandb.finish` in a process that never used W&B."""


wandb = _LazyWandb()

__all__ = [
    "add_common_cli",
    "create_experiment_from_cli",
    "make_experiment_collect_only",
    "make_experiment_learn_only",
    "switch_agent",
    "switch_async_mode",
    "switch_exploration",
    "switch_traj_encoder",
    "switch_tstep_encoder",
    "turn_off_goal_conditioning",
    "use_config",
    # what scripts expect to come along
    "Agent",
    "ArgumentParser",
    "BilevelEpsilonGreedy",
    "DiskTrajDataset",
    "EpsilonGreedy",
    "ExplorationWrapper",
    "Optional",
    "RLDataset",
    "TrajEncoder",
    "TstepEncoder",
    "amago",
    "get_agent_cls",
    "get_exploration_cls",
    "get_traj_encoder_cls",
    "get_tstep_encoder_cls",
    "gin",
    "list_registered_agents",
    "list_registered_explorations",
    "list_registered_traj_encoders",
    "list_registered_tstep_encoders",
    "os",
    "wandb",
]

# -------------------------------------------------------------------------------- command line

_MODES = {
    "both": "both",
    "learn": "learn",
    "train": "learn",
    "learner": "learn",
    "collect": "collect",
    "collector": "collect",
}


class _RegisteredNames:
    """Choices that are looked up when they are needed, so that a script may still register some."""

    def __init__(self, names: Callable[[], list[str]]) -> None:
        self._names = names

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())


def add_common_cli(parser: ArgumentParser) -> ArgumentParser:
    """Add the command line shared by all example scripts; returns the parser.

    The list is frozen. A setting without a flag is a keyword of `Experiment`, or a line in a gin
    file given to `--configs`.
    """
    _add_run_flags(parser)
    _add_model_flags(parser)
    _add_schedule_flags(parser)
    return parser


def _add_run_flags(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--run_name", type=str, required=True, help="name of the run and of its folder")
    add("--buffer_dir", type=str, required=True, help="root of trajectories, checkpoints and logs")
    add("--configs", type=str, nargs="*", help="gin files; a later one wins over an earlier one")
    add("--trials", type=int, default=1, help="how often to repeat the run")
    add("--no_log", action="store_true", help="do not log to Weights & Biases")
    add("--ckpt", type=int, default=None, help="epoch of a checkpoint to go on from")
    add(
        "--mode",
        type=lambda mode: _MODES.get(mode, mode),
        choices=("both", "learn", "collect"),
        default="both",
        help="both in one process, or this process's half (also: train, learner, collector)",
    )


def _add_model_flags(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--agent_type",
        choices=_RegisteredNames(list_registered_agents),
        metavar="NAME",
        default="agent",
        help="a registered agent",
    )
    add(
        "--traj_encoder",
        choices=_RegisteredNames(list_registered_traj_encoders),
        metavar="NAME",
        default="transformer",
        help="a registered trajectory encoder",
    )
    add("--memory_size", type=int, default=256, help="width of the trajectory encoder")
    add("--memory_layers", type=int, default=3, help="layers of the trajectory encoder")
    add("--mixed_precision", choices=("no", "bf16"), default="no", help="precision of training")


def _add_schedule_flags(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--epochs", type=int, default=1000, help="epochs of collecting, then learning")
    add("--batches_per_epoch", type=int, default=1000, help="training batches per epoch")
    add("--timesteps_per_epoch", type=int, default=1000, help="steps per actor and epoch")
    add("--val_interval", type=int, default=20, help="epochs between evaluations")
    add("--ckpt_interval", type=int, default=50, help="epochs between checkpoints")
    add("--start_learning_at_epoch", type=int, default=0, help="epochs of collecting only")
    add("--parallel_actors", type=int, default=12, help="environments stepped side by side")
    add(
        "--env_mode",
        choices=("async", "sync", "already_vectorized"),
        default="async",
        help="environments in processes, in this process, or one that batches by itself",
    )
    add("--dset_max_size", type=int, default=20_000, help="trajectory files kept in the buffer")
    add("--dloader_workers", type=int, default=8, help="processes that load batches")
    add("--batch_size", type=int, default=24, help="sequences per batch and GPU")


# ------------------------------------------------------------------------------- configuration


def switch_tstep_encoder(config: dict[str, Any], arch: str, **kwargs: Any) -> type[TstepEncoder]:
    """The timestep encoder registered as `arch`; `kwargs` become bindings in `config`."""
    return _switch(config, get_tstep_encoder_cls(arch), kwargs)


def switch_traj_encoder(
    config: dict[str, Any], arch: str, memory_size: int, layers: int, **kwargs: Any
) -> type[TrajEncoder]:
    """The trajectory encoder registered as `arch`, sized; `kwargs` win over the sizes.

    `memory_size` and `layers` are translated into the parameters of the built-in encoders; another
    encoder gets them as `memory_size` and `n_layers`.
    """
    sizes: dict[str, int]
    if arch == "transformer":
        sizes = {"d_model": memory_size, "d_ff": 4 * memory_size, "n_layers": layers}
    elif arch == "rnn":
        sizes = {"d_hidden": memory_size, "d_output": memory_size, "n_layers": layers}
    elif arch in ("ff", "mamba"):
        sizes = {"d_model": memory_size, "n_layers": layers}
    elif arch == "identity":
        sizes = {}
    else:
        sizes = {"memory_size": memory_size, "n_layers": layers}
    return _switch(config, get_traj_encoder_cls(arch), sizes | kwargs)


def switch_agent(config: dict[str, Any], agent: str, **kwargs: Any) -> type[Agent]:
    """The agent registered as `agent`; `kwargs` become bindings in `config`."""
    return _switch(config, get_agent_cls(agent), kwargs)


def switch_exploration(
    config: dict[str, Any], strategy: str, **kwargs: Any
) -> type[ExplorationWrapper]:
    """The exploration registered as `strategy`; `kwargs` become bindings in `config`."""
    return _switch(config, get_exploration_cls(strategy), kwargs)


def _switch(config: dict[str, Any], cls: type, bindings: dict[str, Any]) -> type:
    config.update({f"{cls.__module__}.{cls.__name__}.{key}": v for key, v in bindings.items()})
    return cls


def turn_off_goal_conditioning(config: dict[str, Any]) -> None:
    """Nothing: agents of this version have goals only as observations. Kept for old scripts."""
    amago_warning(
        "turn_off_goal_conditioning() can be deleted: goals are ordinary observations now.",
        category=DeprecationWarning,
    )


def use_config(
    custom_params: dict[str, Any],
    gin_configs: Iterable[str] | None = None,
    finalize: bool = True,
) -> None:
    """Bind a dict, then gin files in order (later wins), then lock the configuration.

    May be called again, e.g. for the next trial of a script: new bindings are added to the old.

    Args:
        custom_params: `{"amago.agent.Agent.gamma": 0.99}`; any unambiguous suffix will do.
        finalize: whether to lock it. A script that binds in several places locks in the last.

    Raises:
        ConfigError: a name that does not exist, with the nearest that does; or an unreadable file.
    """
    with gin.unlock_config():
        _config.bind(custom_params)
        _config.parse_files(gin_configs or ())
    if finalize:
        _config.finalize()


# ---------------------------------------------------------------------------------- experiment


def create_experiment_from_cli(
    command_line_args: Namespace,
    make_train_env: Callable | Iterable[Callable],
    make_val_env: Callable | Iterable[Callable],
    max_seq_len: int,
    group_name: str,
    run_name: str,
    agent_type: type[Agent],
    tstep_encoder_type: type[TstepEncoder],
    traj_encoder_type: type[TrajEncoder],
    traj_save_len: int | None = None,
    exploration_wrapper_type: type[ExplorationWrapper] | None = EpsilonGreedy,
    experiment_type: type[E] = Experiment,
    dataset: RLDataset | None = None,
    **extra_experiment_kwargs: Any,
) -> E:
    """An experiment with the settings of the common command line. Nothing is started.

    Args:
        command_line_args: what a parser with `add_common_cli` returned.
        group_name: runs of one group are averaged by trackers that can.
        traj_save_len: timesteps per trajectory file; None writes a file only when a rollout ends.
        dataset: None makes a `DiskTrajDataset` in `buffer_dir`, named after the run.
        extra_experiment_kwargs: further fields of the experiment; they win over the command line.
    """
    cli = command_line_args
    if dataset is None:
        dataset = DiskTrajDataset(
            dset_root=cli.buffer_dir, dset_name=run_name, dset_max_size=cli.dset_max_size
        )
    settings: dict[str, Any] = {
        "run_name": run_name,
        "ckpt_base_dir": cli.buffer_dir,
        "max_seq_len": max_seq_len,
        "dataset": dataset,
        "tstep_encoder_type": tstep_encoder_type,
        "traj_encoder_type": traj_encoder_type,
        "agent_type": agent_type,
        "make_train_env": make_train_env,
        "make_val_env": make_val_env,
        "parallel_actors": cli.parallel_actors,
        "env_mode": cli.env_mode,
        "exploration_wrapper_type": exploration_wrapper_type,
        "log_to_wandb": not cli.no_log,
        "wandb_group_name": group_name,
        "traj_save_len": 10_000_000_000 if traj_save_len is None else traj_save_len,
        "dloader_workers": cli.dloader_workers,
        "epochs": cli.epochs,
        "start_learning_at_epoch": cli.start_learning_at_epoch,
        "train_timesteps_per_epoch": cli.timesteps_per_epoch,
        "train_batches_per_epoch": cli.batches_per_epoch,
        "val_interval": cli.val_interval,
        "ckpt_interval": cli.ckpt_interval,
        "batch_size": cli.batch_size,
        "mixed_precision": cli.mixed_precision,
    }
    return experiment_type(**(settings | extra_experiment_kwargs))


def make_experiment_learn_only(experiment: E) -> E:
    """Change an experiment that has not started into the learner of a pair; returns it.

    It never collects nor evaluates, waits for data, and publishes its weights every epoch.
    """
    experiment.role = "learn"
    experiment.start_collecting_at_epoch = float("inf")
    experiment.train_timesteps_per_epoch = 0
    experiment.val_timesteps_per_epoch = 0
    experiment.val_interval = 10
    experiment.parallel_actors = 1
    experiment.always_save_latest = True
    experiment.always_load_latest = False
    return experiment


def make_experiment_collect_only(experiment: E) -> E:
    """Change an experiment that has not started into a collector; returns it.

    It never learns, fetches the latest weights every epoch, deletes no file of the buffer, and goes
    on until it is stopped, or has been without a learner for long. Collectors can be added at any
    time, also several with the same seed.
    """
    experiment.role = "collect"
    experiment.start_learning_at_epoch = float("inf")
    experiment.train_batches_per_epoch = 0
    experiment.ckpt_interval = None
    experiment.always_save_latest = False
    experiment.always_load_latest = True
    experiment.epochs = max(experiment.epochs, 1_000_000)
    experiment.has_dset_edit_rights = False
    experiment.init_dsets()  # the dataset is told that it lost its right to delete
    return experiment


def switch_async_mode(experiment: E, mode: str) -> E:
    """Leave the experiment whole ("both"), or change it into a learner or a collector.

    Its attribute `role` says which it is.

    Raises:
        ConfigError: another mode. The aliases of `--mode` are accepted.
    """
    role = _MODES.get(mode)
    if role is None:
        known = ", ".join(_MODES)
        raise ConfigError(f"no mode is named '{mode}'{nearest(mode, _MODES)} There are: {known}.")
    if role == "learn":
        return make_experiment_learn_only(experiment)
    if role == "collect":
        return make_experiment_collect_only(experiment)
    return experiment
