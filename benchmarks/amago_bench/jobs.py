"""Whole runs, each in a process of its own. What they print last is a JSON object of numbers."""

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from amago_bench.cases.train import QUICK, TRAININGS, quick, updates
from amago_bench.flops import Shape
from amago_bench.registry import Context
from amago_bench.watch import PEAK, peak_rss_mb

CARTPOLE = Shape(obs=4, actions=2, discrete=True, encoder="ff", layers=1, width=256)
SMALL_CARTPOLE = Shape(
    obs=4,
    actions=2,
    discrete=True,
    encoder="ff",
    layers=1,
    width=64,
    tstep_hidden=128,
    tstep_out=64,
    heads_hidden=128,
)
SMALL_TMAZE = Shape(
    obs=2, actions=4, discrete=True, encoder="transformer", layers=2, width=64, heads=4,
    tstep_hidden=128, tstep_out=64, heads_hidden=64,
)  # fmt: skip
CORRIDOR = 20


class Reached(Exception):
    """The score is reached: ends `learn`."""


def main(job: str, seed: int = 0, quick: bool = False) -> None:
    """Run a job by its name, and print its numbers."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        context = Context(Path(folder), torch.get_num_threads(), quick, (seed,))
        numbers = JOBS[job](context)
    print(json.dumps(numbers | {PEAK: peak_rss_mb()}))


def first_update(context: Context) -> dict[str, float]:
    """One gradient step of a new experiment; the buffer is not filled."""
    training = TRAININGS["lunar_tf"]
    with updates(context, quick(training) if context.quick else training) as update:
        update()
    return {}


def cartpole_ff(context: Context) -> dict[str, float]:
    """3 epochs of 8 actors x 300 frames and 30 updates."""
    from amago_bench import experiments
    from amago_bench.cases.rollouts import cartpole

    small = context.quick
    shape = QUICK if small else CARTPOLE
    experiments.bind(shape)
    seconds: dict[str, float] = defaultdict(float)
    _learn(
        context,
        shape,
        64,
        experiment_type=_phases(seconds),
        make_env=cartpole(8),
        parallel_actors=2 if small else 8,
        epochs=1 if small else 3,
        train_timesteps_per_epoch=60 if small else 300,
        train_batches_per_epoch=2 if small else 30,
    )
    return dict(seconds)


def _phases(seconds: dict[str, float]) -> type:
    """An Experiment that adds up where the wall time of its `learn` goes."""
    import amago

    @contextmanager
    def timed(phase: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds[f"{phase}_s"] += time.perf_counter() - began

    class Phased(amago.Experiment):
        """What is left of `learn_s` is loading, and what surrounds an epoch."""

        def learn(self) -> None:
            with timed("learn"):
                super().learn()

        def collect_new_training_data(self) -> None:
            with timed("collect"):
                super().collect_new_training_data()

        def train_step(self, batch: Any, log_step: bool) -> Any:
            with timed("update"):
                return super().train_step(batch, log_step)

        def log(self, metrics_dict: dict[str, Any], key: str) -> None:
            with timed("log"):
                super().log(metrics_dict, key)

    return Phased


def cartpole_score(context: Context) -> dict[str, float]:
    """Until the mean return of validation is 400."""
    from amago_bench import experiments
    from amago_bench.cases.rollouts import cartpole

    experiments.bind(
        SMALL_CARTPOLE,
        Agent__gamma=0.99,
        Agent__n_step=10,
        Agent__reward_multiplier=1.0,
        Agent__tau=0.005,
        Multigammas__discrete=[0.8, 0.95],
        EpsilonGreedy__steps_anneal=30_000,
        Discrete__clip_prob_low=1e-6,
        Discrete__clip_prob_high=1.0,
    )
    return _until(
        400.0,
        context,
        SMALL_CARTPOLE,
        32,
        make_env=cartpole(20),
        parallel_actors=20,
        batch_size=64,
        learning_rate=3e-4,
        lr_warmup_steps=100,
        traj_save_len=100,
        padded_sampling="both",  # else the fall at a long file's end is hardly ever drawn
        sample_actions_val=False,
        train_timesteps_per_epoch=300,
        train_batches_per_epoch=100,
        val_timesteps_per_epoch=500,
    )


def tmaze_score(context: Context) -> dict[str, float]:
    """Until 95 % of validation episodes turn to the side that the first observation showed."""
    import numpy as np

    from amago.envs import AMAGOEnv
    from amago.envs.builtin.tmaze import TMazeAltPassive
    from amago.envs.exploration import EpsilonGreedy
    from amago_bench import experiments

    class WalkForward(EpsilonGreedy):
        """Random actions that do not spoil an episode: forward, or any at the junction."""

        def add_exploration_noise(self, action: Any, local_step: Any) -> Any:
            random = super().add_exploration_noise(action, local_step)
            in_corridor = (np.asarray(local_step) < CORRIDOR).reshape(-1, *[1] * (random.ndim - 1))
            return np.where(in_corridor & (random != action), 0, random).astype(random.dtype)

    def make_env() -> AMAGOEnv:
        maze = TMazeAltPassive(corridor_length=CORRIDOR, penalty=-1.0 / CORRIDOR)
        return AMAGOEnv(maze, env_name="tmaze")

    experiments.bind(
        SMALL_TMAZE,
        Agent__gamma=0.9999,
        Agent__tau=0.01,
        Multigammas__discrete=[0.9, 0.97],
        EpsilonGreedy__steps_anneal=2000,
        EpsilonGreedy__randomize_eps=False,
    )
    return _until(
        0.95,
        context,
        SMALL_TMAZE,
        CORRIDOR + 1,
        make_env=make_env,
        exploration_wrapper_type=WalkForward,
        parallel_actors=20,
        learning_rate=5e-4,
        lr_warmup_steps=100,
        sample_actions_train=False,
        sample_actions_val=False,
        train_timesteps_per_epoch=2 * (CORRIDOR + 1),
        train_batches_per_epoch=50,
        val_timesteps_per_epoch=5 * (CORRIDOR + 1),
    )


def _until(score: float, context: Context, *args: Any, **fields: Any) -> dict[str, float]:
    """Learn until validation, of every epoch, has a mean return of `score`; or for 60 epochs."""
    import amago

    reached: dict[str, float] = {"epochs": 0, "reached": 0}

    class Validated(amago.Experiment):
        """Ends when it is good enough."""

        def policy_metrics(self, returns: Any, specials: Any) -> dict[str, float]:
            metrics = super().policy_metrics(returns, specials)
            reached["epochs"] = self.epoch
            if metrics.get("Average Total Return (Across All Env Names)", -1e9) >= score:
                reached["reached"] = 1
                raise Reached
            return metrics

    began = time.perf_counter()
    epochs = 2 if context.quick else 60
    fields |= {"experiment_type": Validated, "val_interval": 1, "epochs": epochs}
    with suppress(Reached):
        _learn(context, *args, **fields)
    return reached | {"learning_s": time.perf_counter() - began}


def _learn(context: Context, shape: Shape, max_seq_len: int, **fields: Any) -> None:
    """Start, learn, close; trajectories go to disk as usual."""
    from amago.loading import DiskTrajDataset
    from amago_bench import experiments

    dataset = DiskTrajDataset(str(context.folder), "buffer", dset_max_size=2000)
    fields = {"dataset": dataset, **fields}
    with experiments.experiment(context, shape, max_seq_len, **fields) as experiment:
        experiment.learn()


JOBS: dict[str, Callable[[Context], dict[str, float]]] = {
    "first_update": first_update,
    "cartpole_ff": cartpole_ff,
    "cartpole_score": cartpole_score,
    "tmaze_score": tmaze_score,
}
