"""One process of a split run: `python half_of_a_run.py FOLDER learn|collect [EPOCHS]`.

It says on its standard output what it is about to do, a word a line, so that a test can end it at
that moment: "act" before each step of the environments, "train" before each batch.
"""

import sys
from functools import partial
from typing import Any

import gymnasium as gym

import amago
from amago.cli_utils import switch_async_mode, use_config
from amago.envs import AMAGOEnv
from amago.loading import DiskTrajDataset
from amago.nets.traj_encoders import FFTrajEncoder
from amago.nets.tstep_encoders import FFTstepEncoder

CONFIG = {
    "FFTstepEncoder.d_hidden": 16,
    "FFTstepEncoder.d_output": 8,
    "FFTrajEncoder.d_model": 8,
    "Actor.d_hidden": 8,
    "NCritics.d_hidden": 8,
    "Multigammas.discrete": [0.9],
    "CollectorLink.beat_every_s": 0.0,  # every step, so that a kill loses none
}


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


class Talkative(amago.Experiment):
    """Says what it does."""

    def on_interact_step(self, obs: dict[str, Any]) -> None:
        say("act")

    def train_step(self, batch: Any, log_step: bool) -> dict[str, Any]:
        say("train")
        return super().train_step(batch, log_step)


def make_cartpole() -> AMAGOEnv:
    return AMAGOEnv(gym.make("CartPole-v1", max_episode_steps=20), env_name="CartPole")


def main(folder: str, mode: str, epochs: int) -> None:
    use_config(CONFIG)
    experiment = Talkative(
        run_name="split",
        ckpt_base_dir=folder,
        max_seq_len=8,
        dataset=DiskTrajDataset(folder, "data", dset_max_size=10_000),
        tstep_encoder_type=FFTstepEncoder,
        traj_encoder_type=FFTrajEncoder,
        agent_type=amago.Agent,
        make_train_env=partial(make_cartpole),
        make_val_env=partial(make_cartpole),
        env_mode="sync",
        parallel_actors=3,
        epochs=epochs,
        train_timesteps_per_epoch=40,
        train_batches_per_epoch=3,
        val_timesteps_per_epoch=25,
        val_interval=5,
        ckpt_interval=1,
        batch_size=4,
        dloader_workers=0,
        log_interval=1,
        seed=0,
    )
    switch_async_mode(experiment, mode)
    experiment.start()
    experiment.resume()
    experiment.learn()
    experiment.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
