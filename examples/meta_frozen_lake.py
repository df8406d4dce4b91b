"""Meta-Frozen-Lake: cross a lake whose holes you cannot see, several times, and remember them.

    python examples/meta_frozen_lake.py --run_name lake --buffer_dir /tmp/amago --no_log

The agent adapts if `val/Average Episode 9 Success` ends well above `... Episode 0 Success`; with
`--traj_encoder ff`, which has no memory, it cannot. `--hard_mode` asks for more exploration.
"""

from functools import partial

from amago.cli_utils import *
from amago.envs import AMAGOEnv
from amago.envs.builtin.batched_frozen_lake import BatchedMetaFrozenLake
from amago.envs.builtin.toy_gym import MetaFrozenLake


def make_lake(
    size: int, k_episodes: int, hard_mode: bool, recover_mode: bool, rows: int | None = None
) -> AMAGOEnv:
    """A new lake every rollout; with `rows`, that many lakes in one environment."""
    name = f"FrozenLake-{size}x{size}-k{k_episodes}"
    if rows is None:
        return AMAGOEnv(MetaFrozenLake(size, k_episodes, hard_mode, recover_mode), env_name=name)
    lakes = BatchedMetaFrozenLake(rows, size, k_episodes, hard_mode, recover_mode)
    return AMAGOEnv(lakes, env_name=name, batched_envs=rows)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    add_common_cli(parser)
    parser.set_defaults(env_mode="sync", parallel_actors=32, epochs=700, dset_max_size=12_500)
    parser.set_defaults(memory_size=128, memory_layers=3)
    parser.add_argument("--size", type=int, default=5, help="the lake has size x size tiles")
    parser.add_argument("--k_episodes", type=int, default=10, help="attempts at each lake")
    parser.add_argument("--hard_mode", action="store_true", help="noise, cracks, swapped axes")
    parser.add_argument("--recover_mode", action="store_true", help="step back from a hole")
    parser.add_argument("--eval_timesteps", type=int, default=2_000, help="steps of each actor")
    args = parser.parse_args()

    config = {"Agent.tau": 0.004, "FFTstepEncoder.d_hidden": 128, "FFTstepEncoder.d_output": 64}
    agent_type = switch_agent(config, args.agent_type)
    tstep_encoder_type = switch_tstep_encoder(config, "ff", n_layers=2)
    traj_encoder_type = switch_traj_encoder(
        config, args.traj_encoder, args.memory_size, args.memory_layers
    )
    exploration_type = switch_exploration(config, "egreedy", steps_anneal=1_000_000)
    use_config(config, args.configs)

    rows = args.parallel_actors if args.env_mode == "already_vectorized" else None
    lake = (args.size, args.k_episodes, args.hard_mode, args.recover_mode)
    make_env = partial(make_lake, *lake, rows)
    longest_attempt = make_env().unwrapped.max_episode_steps
    for trial in range(args.trials):
        experiment = create_experiment_from_cli(
            args,
            make_train_env=make_env,
            make_val_env=make_env,
            max_seq_len=args.k_episodes * longest_attempt,
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
