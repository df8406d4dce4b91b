"""T-maze: remember one bit for as long as the corridor is.

    python examples/tmaze.py --corridor 50 --run_name tmaze --buffer_dir /tmp/amago --no_log

`val/Average Success` goes to 1 with `--traj_encoder transformer` or `rnn`, and stays at 0.5 with
`ff`, which cannot remember. With `--active` the bit lies one step behind the start, and the agent
has to learn to go and look first.
"""

from functools import partial

import numpy as np

from amago.cli_utils import *
from amago.envs import AMAGOEnv
from amago.envs.builtin.batched_tmaze import BatchedTMazeAltActive, BatchedTMazeAltPassive
from amago.envs.builtin.tmaze import RIGHT, TMazeAltActive, TMazeAltPassive


class WalkForward(EpsilonGreedy):
    """Random actions that help: forward in the corridor, either side at the junction.

    One random action in the corridor would spoil the whole episode, which has no step to spare.
    """

    def __init__(self, amago_env: AMAGOEnv) -> None:
        super().__init__(amago_env)
        self.look = amago_env.get_wrapper_attr("oracle_length")  # steps in which it may turn back
        self.junction = amago_env.get_wrapper_attr("episode_length") - 1

    def add_exploration_noise(self, action: np.ndarray, local_step: np.ndarray) -> np.ndarray:
        """Actions `[N, 1]`, some of them exchanged."""
        explores = self.rng.random(len(action)) < self.current_eps(local_step)
        walked = np.where(explores[:, None], RIGHT, action)
        turned = super().add_exploration_noise(action, local_step)
        is_in_corridor = (self.look <= local_step) & (local_step < self.junction)
        return np.where(is_in_corridor[:, None], walked, turned).astype(action.dtype)


def make_maze(corridor: int, is_active: bool = False, rows: int | None = None) -> AMAGOEnv:
    """A maze that fines every detour, one corridor of them by 1 in all.

    With `rows`, that many mazes in one environment.
    """
    maze = {"corridor_length": corridor, "penalty": -1.0 / corridor}
    name = f"{'TMazeActive' if is_active else 'TMazePassive'}-{corridor}"
    if rows is None:
        kind = TMazeAltActive if is_active else TMazeAltPassive
        return AMAGOEnv(kind(**maze), env_name=name)
    batch = BatchedTMazeAltActive if is_active else BatchedTMazeAltPassive
    return AMAGOEnv(batch(rows, **maze), env_name=name, batched_envs=rows)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    add_common_cli(parser)
    parser.add_argument("--corridor", type=int, default=50, help="steps to the junction")
    parser.add_argument("--active", action="store_true", help="the cue has to be looked for")
    parser.add_argument("--eval_timesteps", type=int, default=1_000, help="steps of each actor")
    args = parser.parse_args()

    config = {
        "Agent.gamma": 0.9999,
        "Agent.reward_multiplier": 100.0,
        "EpsilonGreedy.steps_anneal": 50_000,
        "EpsilonGreedy.randomize_eps": False,
    }
    agent_type = switch_agent(config, args.agent_type)
    tstep_encoder_type = switch_tstep_encoder(config, "ff", n_layers=2, d_hidden=128, d_output=64)
    traj_encoder_type = switch_traj_encoder(
        config, args.traj_encoder, args.memory_size, args.memory_layers
    )
    use_config(config, args.configs)

    rows = args.parallel_actors if args.env_mode == "already_vectorized" else None
    make_env = partial(make_maze, args.corridor, args.active, rows)
    for trial in range(args.trials):
        experiment = create_experiment_from_cli(
            args,
            make_train_env=make_env,
            make_val_env=make_env,
            max_seq_len=make_env().unwrapped.episode_length,
            group_name=args.run_name,
            run_name=f"{args.run_name}_trial_{trial}",
            agent_type=agent_type,
            tstep_encoder_type=tstep_encoder_type,
            traj_encoder_type=traj_encoder_type,
            exploration_wrapper_type=WalkForward,
            sample_actions_train=False,
            sample_actions_val=False,
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
