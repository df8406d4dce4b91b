"""The smallest experiment that goes through every part."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import gymnasium as gym
import pytest

import amago
from amago.envs import AMAGOEnv
from amago.loading import DiskTrajDataset
from amago.nets.traj_encoders import FFTrajEncoder
from amago.nets.tstep_encoders import FFTstepEncoder

SMALL = {
    "FFTstepEncoder.d_hidden": 16,
    "FFTstepEncoder.d_output": 8,
    "FFTrajEncoder.d_model": 8,
    "Actor.d_hidden": 8,
    "NCritics.d_hidden": 8,
    "Multigammas.discrete": [0.9],
}


def make_cartpole(name: str = "CartPole") -> AMAGOEnv:
    return AMAGOEnv(gym.make("CartPole-v1", max_episode_steps=20), env_name=name)


@pytest.fixture
def make_tiny(tmp_path) -> Iterator[Any]:
    """A function that makes the experiment; keywords override its settings."""
    made = []

    def make(**overrides: Any) -> amago.Experiment:
        amago.core.config.clear()
        amago.core.config.bind(SMALL)
        root = overrides.pop("root", tmp_path)
        settings: dict[str, Any] = {
            "run_name": "tiny",
            "ckpt_base_dir": str(root),
            "max_seq_len": 8,
            "dataset": DiskTrajDataset(str(root), "data", dset_max_size=100),
            "tstep_encoder_type": FFTstepEncoder,
            "traj_encoder_type": FFTrajEncoder,
            "agent_type": amago.Agent,
            "make_train_env": partial(make_cartpole, "CartPole"),
            "make_val_env": partial(make_cartpole, "CartPole"),
            "env_mode": "sync",
            "parallel_actors": 3,
            "epochs": 2,
            "train_timesteps_per_epoch": 40,
            "train_batches_per_epoch": 3,
            "val_timesteps_per_epoch": 25,
            "val_interval": 1,
            "ckpt_interval": 1,
            "batch_size": 4,
            "dloader_workers": 0,
            "log_interval": 1,
            "lr_warmup_steps": 1,
            "verbose": False,
            "seed": 0,
        }
        experiment = amago.Experiment(**(settings | overrides))
        made.append(experiment)
        return experiment

    yield make
    for experiment in made:
        if hasattr(experiment, "train_envs"):
            experiment.close()
