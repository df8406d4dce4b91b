"""Meta-World: several attempts at a manipulation task whose goal has to be found by trying.

    python examples/metaworld.py --benchmark ml45 --k 3 --run_name ml45 --buffer_dir /tmp/amago
    python examples/metaworld.py --benchmark reach-v3 ...     # ML1: one task; or ml10

Each actor keeps to one task, so that every evaluation has all of them: 272 metrics for ML45 with
`--k 3`. Needs `pip install 'amago[metaworld]'`.
"""

import os
import sys

if os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
    del sys.path[0]  # this folder: `metaworld` is to be the package, and not this script

from argparse import BooleanOptionalAction
from functools import partial

from amago.cli_utils import *
from amago.envs.builtin.metaworld_ml import Metaworld, pinned_tasks


def make_envs(args, split: str):
    """A function for each actor, in turn for each task; or one, for actors that draw their task."""
    settings = (args.benchmark, split, args.k, args.max_episode_length)
    if args.pin_tasks:
        return pinned_tasks(*settings, actors=args.parallel_actors)
    return partial(Metaworld, *settings)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    add_common_cli(parser)
    parser.set_defaults(parallel_actors=45, agent_type="multitask", traj_encoder="transformer")
    parser.add_argument("--benchmark", required=True, help="ml10, ml45, or a task such as reach-v3")
    parser.add_argument("--k", type=int, default=3, help="attempts at each task")
    parser.add_argument("--max_episode_length", type=int, default=500, help="steps of an attempt")
    parser.add_argument("--max_seq_len", type=int, default=256, help="steps it can look back")
    parser.add_argument("--eval_timesteps", type=int, help="steps of each actor (one rollout)")
    parser.add_argument(
        "--pin_tasks", action=BooleanOptionalAction, default=True, help="one task for each actor"
    )
    args = parser.parse_args()
    rollout = args.k * args.max_episode_length
    eval_timesteps = args.eval_timesteps or rollout

    config = {
        # A step pays 0 to 10.
        "NCriticsTwoHot.min_return": -100.0,
        "NCriticsTwoHot.max_return": 10.0 * rollout,
        "NCriticsTwoHot.output_bins": 96,
    }
    agent_type = switch_agent(config, args.agent_type, num_critics=4, reward_multiplier=1.0)
    tstep_encoder_type = switch_tstep_encoder(config, "ff", n_layers=2, d_hidden=256, d_output=256)
    traj_encoder_type = switch_traj_encoder(
        config, args.traj_encoder, args.memory_size, args.memory_layers
    )
    exploration_type = switch_exploration(
        config, "bilevel", steps_anneal=2_000_000, rollout_horizon=rollout
    )
    use_config(config, args.configs)

    for trial in range(args.trials):
        experiment = create_experiment_from_cli(
            args,
            make_train_env=make_envs(args, "train"),
            make_val_env=make_envs(args, "train"),
            max_seq_len=args.max_seq_len,
            traj_save_len=4 * args.max_seq_len,
            group_name=args.run_name,
            run_name=f"{args.run_name}_trial_{trial}",
            agent_type=agent_type,
            tstep_encoder_type=tstep_encoder_type,
            traj_encoder_type=traj_encoder_type,
            exploration_wrapper_type=exploration_type,
            val_timesteps_per_epoch=eval_timesteps,
            learning_rate=5e-4,
            grad_clip=2.0,
        )
        switch_async_mode(experiment, args.mode)
        experiment.start()
        if args.ckpt is not None:
            experiment.load_checkpoint(args.ckpt)
        experiment.learn()
        experiment.evaluate_test(make_envs(args, "test"), timesteps=eval_timesteps, render=False)
        experiment.delete_buffer_from_disk()
        wandb.finish()
