"""Dark key-to-door: find an invisible key, then an invisible door; then do it again, faster.

    python examples/dark_key_door.py --run_name dark --buffer_dir /tmp/amago --no_log

The room stays for `--meta_horizon` steps. An agent that remembers it collects two points every few
steps for the rest of them.
"""

from functools import partial

from amago.cli_utils import *
from amago.envs import AMAGOEnv
from amago.envs.builtin.batched_key_door import BatchedRoomKeyDoor
from amago.envs.builtin.toy_gym import RoomKeyDoor


def make_room(
    size: int,
    episode_length: int,
    meta_horizon: int,
    randomize_actions: bool,
    rows: int | None = None,
) -> AMAGOEnv:
    """A new room every rollout; with `rows`, that many rooms in one environment."""
    room = {
        "size": size,
        "max_episode_steps": episode_length,
        "meta_rollout_horizon": meta_horizon,
        "randomize_actions": randomize_actions,
    }
    name = "Dark-Key-To-Door"
    if rows is None:
        return AMAGOEnv(RoomKeyDoor(**room), env_name=name)
    return AMAGOEnv(BatchedRoomKeyDoor(rows, **room), env_name=name, batched_envs=rows)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    add_common_cli(parser)
    parser.add_argument("--room_size", type=int, default=8, help="the room has size x size cells")
    parser.add_argument("--episode_length", type=int, default=50, help="steps of one episode")
    parser.add_argument("--meta_horizon", type=int, default=500, help="steps in the same room")
    parser.add_argument("--randomize_actions", action="store_true", help="shuffle them per room")
    parser.add_argument("--eval_timesteps", type=int, default=2_000, help="steps of each actor")
    args = parser.parse_args()

    config = {"Agent.reward_multiplier": 100.0}
    agent_type = switch_agent(config, args.agent_type)
    tstep_encoder_type = switch_tstep_encoder(config, "ff", n_layers=2, d_hidden=128, d_output=64)
    traj_encoder_type = switch_traj_encoder(
        config, args.traj_encoder, args.memory_size, args.memory_layers
    )
    exploration_type = switch_exploration(
        config, "bilevel", steps_anneal=500_000, rollout_horizon=args.meta_horizon
    )
    use_config(config, args.configs)

    rows = args.parallel_actors if args.env_mode == "already_vectorized" else None
    room = (args.room_size, args.episode_length, args.meta_horizon, args.randomize_actions)
    make_env = partial(make_room, *room, rows)
    for trial in range(args.trials):
        experiment = create_experiment_from_cli(
            args,
            make_train_env=make_env,
            make_val_env=make_env,
            max_seq_len=args.meta_horizon,
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
