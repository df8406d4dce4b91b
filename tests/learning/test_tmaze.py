"""Passive T-Maze: only an agent that remembers the first observation can choose the right arm.

The corridor is 50 steps long. A Transformer and a GRU must succeed in 95 % of episodes; the same
agent without memory is the control, and can do no better than a coin: 0.5 +- 0.1.
"""

import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from runs import SEEDS, learn, make_experiment, report

from amago.nets.traj_encoders import FFTrajEncoder, GRUTrajEncoder, TformerTrajEncoder

CORRIDOR = 50
EPISODE = CORRIDOR + 1
EPISODES = 200

NETWORKS = {
    "FFTstepEncoder.d_hidden": 128,
    "FFTstepEncoder.d_output": 64,
    "TformerTrajEncoder.d_model": 64,
    "TformerTrajEncoder.d_ff": 256,
    "TformerTrajEncoder.n_heads": 4,
    "TformerTrajEncoder.n_layers": 2,
    "GRUTrajEncoder.d_hidden": 128,
    "GRUTrajEncoder.d_output": 64,
    "GRUTrajEncoder.n_layers": 2,
    "FFTrajEncoder.d_model": 64,
    "Actor.d_hidden": 64,
    "NCritics.d_hidden": 64,
}
# Encoder, epochs of 50 updates, learning rate. The control learns for longer than the Transformer.
ENCODERS = {
    "transformer": (TformerTrajEncoder, 20, 5e-4),
    "gru": (GRUTrajEncoder, 80, 1e-3),
    "ff": (FFTrajEncoder, 40, 5e-4),
}


EXAMPLE = Path(__file__).parents[2] / "examples" / "tmaze.py"


@pytest.mark.learning
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_memory_decides_the_tmaze(encoder, seed, tmp_path, results_dir):
    traj_encoder_type, epochs, learning_rate = ENCODERS[encoder]
    example = runpy.run_path(str(EXAMPLE))
    experiment = make_experiment(
        tmp_path,
        partial(example["make_maze"], CORRIDOR),
        NETWORKS
        | {
            "Agent.gamma": 0.9999,
            "Agent.tau": 0.01,
            "Agent.reward_multiplier": 10.0,
            "Multigammas.discrete": [0.9, 0.97],
            "EpsilonGreedy.steps_anneal": 2000,
            "EpsilonGreedy.randomize_eps": False,
        },
        seed=seed,
        buffer_size=5000,
        traj_encoder_type=traj_encoder_type,
        exploration_wrapper_type=example["WalkForward"],
        max_seq_len=EPISODE,
        parallel_actors=20,
        epochs=epochs,
        train_timesteps_per_epoch=2 * EPISODE,
        train_batches_per_epoch=50,
        batch_size=24,
        learning_rate=learning_rate,
        lr_warmup_steps=100,
        sample_actions_train=False,
        sample_actions_val=False,
    )
    seconds = learn(experiment)
    mean_return = experiment.score(EPISODES, EPISODE)
    success = float(np.mean([r > 0.5 for returns in experiment.finished for r in returns]))
    report(
        results_dir / f"tmaze-{encoder}-seed{seed}.json",
        experiment,
        seconds,
        curve="train/Critic Loss",
        encoder=encoder,
        corridor=CORRIDOR,
        success=success,
        mean_return=mean_return,
        episodes=EPISODES,
    )
    if encoder == "ff":
        assert 0.4 <= success <= 0.6
    else:
        assert success >= 0.95
