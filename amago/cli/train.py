"""`amago train`: one command from the name of an environment to a trained agent and its record."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from amago.agent import Agent
from amago.cli.overrides import Overrides, parse_overrides
from amago.cli.worlds import BUILT_IN, World, world
from amago.cli_utils import (
    add_common_cli,
    create_experiment_from_cli,
    switch_agent,
    switch_async_mode,
    switch_exploration,
    switch_traj_encoder,
    switch_tstep_encoder,
    use_config,
)
from amago.core.errors import ConfigError
from amago.envs.exploration import ExplorationWrapper
from amago.experiment import Experiment
from amago.loading import DiskTrajDataset, RLDataset
from amago.nets import TrajEncoder, TstepEncoder

_LAPTOP: dict[str, Any] = {
    "env_mode": "sync",
    "dloader_workers": 0,
    "memory_size": 64,
    "memory_layers": 2,
    "epochs": 40,
    "timesteps_per_epoch": 250,
    "batches_per_epoch": 100,
    "val_interval": 4,
    "ckpt_interval": 10,
}
"""Defaults that differ from those of a training script: minutes on two cores, no waiting."""

_PROJECT_VARIABLES = ("AMAGO_WANDB_PROJECT", "WANDB_PROJECT")


def add_arguments(parser: ArgumentParser) -> None:
    """The command line of `amago train`: that of every training script, and a few more."""
    add_common_cli(parser)
    parser.set_defaults(**_LAPTOP)
    add = parser.add_argument
    add("--env", required=True, help=f"{', '.join(BUILT_IN)}, or a gymnasium id")
    add(
        "--set",
        action="append",
        default=[],
        dest="assignments",
        metavar="NAME=VALUE",
        help="any other setting, again and again: a setting of Experiment (seed=3), a gin "
        "selector (Agent.gamma=0.99), an argument of the environment (env.size=4)",
    )
    add("--max_seq_len", type=int, default=None, help="steps it can look back (default: by env)")
    add("--eval_timesteps", type=int, default=None, help="steps of each actor (default: by env)")
    add("--wandb", action="store_true", help="log to W&B, also where no project is configured")
    add("--resume", action="store_true", help="go on with the run of this name, if there is one")
    add("--dashboard", action="store_true", help="show it in the browser as long as it trains")


def run(args: Namespace) -> int:
    """Train, then test; returns the exit status.

    Raises:
        ConfigError: something that cannot work. Nothing has been written then.
    """
    plan = _prepare(args)
    with _page(args):
        for trial in range(args.trials):
            _train(args, plan, trial)
    return 0


@dataclass(frozen=True)
class _Plan:
    """What to train, with every name looked up."""

    world: World
    overrides: Overrides
    max_seq_len: int
    eval_timesteps: int
    agent_type: type[Agent]
    tstep_encoder_type: type[TstepEncoder]
    traj_encoder_type: type[TrajEncoder]
    exploration_type: type[ExplorationWrapper]


def _prepare(args: Namespace) -> _Plan:
    if args.resume and args.ckpt is not None:
        raise ConfigError("--resume goes on from the newest checkpoint, --ckpt from one: give one.")
    if args.trials < 1:
        raise ConfigError(f"--trials {args.trials}: a run happens at least once.")
    overrides = parse_overrides(args.assignments)
    _refuse_existing(args)
    where = world(args.env, overrides.env, _rows(args, overrides))
    config = dict(where.bindings)
    encoder = ("cnn", {}) if where.has_images else ("ff", {"d_hidden": 128, "d_output": 64})
    plan = _Plan(
        world=where,
        overrides=overrides,
        max_seq_len=args.max_seq_len or where.max_seq_len,
        eval_timesteps=args.eval_timesteps or 2 * where.rollout,
        agent_type=switch_agent(config, args.agent_type),
        tstep_encoder_type=switch_tstep_encoder(config, encoder[0], **encoder[1]),
        traj_encoder_type=switch_traj_encoder(
            config, args.traj_encoder, args.memory_size, args.memory_layers
        ),
        exploration_type=switch_exploration(
            config, "egreedy", steps_anneal=args.epochs * args.timesteps_per_epoch // 2
        ),
    )
    use_config(config, args.configs, finalize=False)
    overrides.bind()
    use_config({})
    with TemporaryDirectory() as scratch:  # a dataset of files makes its folder at once
        _experiment(args, plan, trial=0, dataset=DiskTrajDataset(scratch, "none", 1)).check()
    return plan


def _rows(args: Namespace, overrides: Overrides) -> int | None:
    """How many tasks one environment carries; None if it carries one."""
    chosen = vars(args) | overrides.experiment
    return chosen["parallel_actors"] if chosen["env_mode"] == "already_vectorized" else None


def _refuse_existing(args: Namespace) -> None:
    """A second start would mix two runs in one record, unless it goes on with the first."""
    if args.resume or args.ckpt is not None or args.mode == "collect":
        return
    for trial in range(args.trials):
        folder = Path(args.buffer_dir) / _run_name(args, trial)
        if (folder / "tracking" / "learner.jsonl").exists():
            raise ConfigError(
                f"there is a run in {folder}. Add --resume to go on with it; to start afresh, "
                f"choose another --run_name or remove the folder."
            )


def _run_name(args: Namespace, trial: int) -> str:
    return args.run_name if args.trials == 1 else f"{args.run_name}_trial_{trial}"


def _experiment(
    args: Namespace, plan: _Plan, trial: int, dataset: RLDataset | None = None
) -> Experiment:
    settings: dict[str, Any] = {
        "log_to_wandb": _wants_wandb(args, plan.overrides),
        "val_timesteps_per_epoch": plan.eval_timesteps,
        "traj_save_len": 8 * plan.max_seq_len,
        **plan.overrides.experiment,
    }
    if settings.get("seed") is not None:
        settings["seed"] += trial  # trials are repeats, not copies
    return create_experiment_from_cli(
        args,
        make_train_env=plan.world.make,
        make_val_env=plan.world.make,
        max_seq_len=plan.max_seq_len,
        group_name=args.run_name,
        run_name=_run_name(args, trial),
        agent_type=plan.agent_type,
        tstep_encoder_type=plan.tstep_encoder_type,
        traj_encoder_type=plan.traj_encoder_type,
        exploration_wrapper_type=plan.exploration_type,
        dataset=dataset,
        **settings,
    )


def _wants_wandb(args: Namespace, overrides: Overrides) -> bool:
    is_configured = any(os.environ.get(name) for name in _PROJECT_VARIABLES)
    is_configured |= "wandb_project" in overrides.experiment
    return not args.no_log and (args.wandb or is_configured)


def _train(args: Namespace, plan: _Plan, trial: int) -> None:
    experiment = switch_async_mode(_experiment(args, plan, trial), args.mode)
    experiment.start()
    if args.ckpt is not None:
        experiment.load_checkpoint(args.ckpt)
    elif args.resume:
        experiment.resume()
    experiment.learn()
    if experiment.role != "collect":
        experiment.evaluate_test(plan.world.make, timesteps=plan.eval_timesteps)
    experiment.close()


@contextmanager
def _page(args: Namespace) -> Iterator[None]:
    """The dashboard, as long as this lasts, if it was asked for."""
    if not args.dashboard:
        yield  # the summary of the run says how to see it
        return
    from amago.dashboard.background import serve_in_background

    os.makedirs(args.buffer_dir, exist_ok=True)
    with closing(serve_in_background([args.buffer_dir])) as page:
        sys.stdout.write(f"Dashboard: {page.url}\n")
        sys.stdout.flush()
        yield
