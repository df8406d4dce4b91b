"""Any gymnasium environment with a flat observation, as a one-episode problem.

    python examples/gym.py --env CartPole-v1 --run_name cartpole --buffer_dir /tmp/amago --no_log
    python examples/gym.py --env Pendulum-v1 --traj_encoder identity ...

These tasks show all there is to see, so an encoder without memory ("ff", "identity") does well.
"""

import os
import sys

if os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
    del sys.path[0]  # this folder: should anything ask for the old `gym`, it is not this script

from functools import partial

import gymnasium

from amago.cli_utils import *
from amago.envs import AMAGOEnv


def make_gym(env: str) -> AMAGOEnv:
    """The environment registered as `env`."""
    return AMAGOEnv(gymnasium.make(env), env_name=env)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    add_common_cli(parser)
    parser.add_argument("--env", type=str, required=True, help="id of the environment")
    parser.add_argument("--max_seq_len", type=int, default=128, help="steps it can look back")
    parser.add_argument("--eval_timesteps", type=int, default=1_000, help="steps of each actor")
    args = parser.parse_args()

    config = {
        "Agent.reward_multiplier": 1.0,
        # Let a policy become deterministic: these tasks need no exploration forever.
        "Discrete.clip_prob_high": 1.0,
        "Discrete.clip_prob_low": 1e-6,
    }
    agent_type = switch_agent(config, args.agent_type)
    tstep_encoder_type = switch_tstep_encoder(config, "ff", n_layers=2, d_hidden=128, d_output=64)
    traj_encoder_type = switch_traj_encoder(
        config, args.traj_encoder, args.memory_size, args.memory_layers
    )
    exploration_type = switch_exploration(config, "egreedy", steps_anneal=100_000)
    use_config(config, args.configs)

    make_env = partial(make_gym, args.env)
    for trial in range(args.trials):
        experiment = create_experiment_from_cli(
            args,
            make_train_env=make_env,
            make_val_env=make_env,
            max_seq_len=args.max_seq_len,
            traj_save_len=8 * args.max_seq_len,
            group_name=args.run_name,
            run_name=f"{args.run_name}_trial_{trial}",
            agent_type=agent_type,
            tstep_encoder_type=tstep_encoder_type,
            traj_encoder_type=traj_encoder_type,
            exploration_wrapper_type=exploration_type,
            val_timesteps_per_epoch=args.eval_timesteps,
        )
        switch_async_mode(experiment, args.mode)
        experiment.start()
        if args.ckpt is not None:
            experiment.load_checkpoint(args.ckpt)
        experiment.learn()
        experiment.evaluate_test(make_env, timesteps=args.eval_timesteps, render=False)
        experiment.delete_buffer_from_disk()
        wandb.finish()
