"""How the learning runs are set up, scored and written down."""

import json
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

import amago
from amago.core import config
from amago.envs import AMAGOEnv
from amago.loading import DiskTrajDataset
from amago.nets.tstep_encoders import FFTstepEncoder
from amago.tracking.run import open_run

SEEDS = (1, 2, 3)
"""Chosen before the first run."""


class ScoredExperiment(amago.Experiment):
    """An experiment whose score is the mean return of whole episodes, as many from every actor."""

    def policy_metrics(self, returns, specials):
        """The usual metrics; keeps the returns of the single episodes."""
        self.finished = [list(chain(*history.data.values())) for history in returns]
        return super().policy_metrics(returns, specials)

    def score(self, episodes: int, longest_episode: int) -> float:
        """Mean return of `episodes` test episodes: the first ones each actor finishes."""
        per_actor = episodes // self.parallel_actors
        self.evaluate_test(self.make_val_env, timesteps=per_actor * longest_episode)
        return self._mean_of_first(per_actor)

    def validate(self, episodes: int, longest_episode: int) -> float:
        """The same of validation episodes, which are others than those of the test."""
        per_actor = episodes // self.parallel_actors
        self.val_timesteps_per_epoch = per_actor * longest_episode
        self.evaluate_val()
        return self._mean_of_first(per_actor)

    def _mean_of_first(self, per_actor: int) -> float:
        assert min(len(returns) for returns in self.finished) >= per_actor
        return float(np.mean([returns[:per_actor] for returns in self.finished]))


def make_experiment(
    run_dir: Path,
    make_env: Callable[[], AMAGOEnv],
    bindings: dict[str, Any],
    *,
    seed: int,
    buffer_size: int,
    agent_type: type[amago.Agent] = amago.Agent,
    **settings: Any,
) -> ScoredExperiment:
    """An experiment in `make_env`, started; `bindings` are gin's, `settings` its keywords."""
    config.clear()
    config.bind(bindings)
    experiment = ScoredExperiment(
        run_name=f"seed{seed}",
        ckpt_base_dir=str(run_dir),
        dataset=DiskTrajDataset(str(run_dir), "buffer", dset_max_size=buffer_size),
        tstep_encoder_type=FFTstepEncoder,
        agent_type=agent_type,
        make_train_env=make_env,
        make_val_env=make_env,
        env_mode="sync",
        dloader_workers=0,
        seed=seed,
        val_timesteps_per_epoch=0,
        val_interval=None,
        ckpt_interval=None,
        always_save_latest=False,
        verbose=False,
        **settings,
    )
    experiment.start()
    return experiment


def learn(experiment: amago.Experiment) -> float:
    """Train to the end; returns how many seconds it took."""
    began = time.monotonic()
    experiment.learn()
    return time.monotonic() - began


def report(
    path: Path,
    experiment: amago.Experiment,
    seconds: float,
    *,
    curve: str | None = None,
    **numbers: Any,
) -> None:
    """Write what a run came to as JSON, for `dev/LOG.md`.

    Args:
        curve: a metric whose values, `[updates, value]`, are written too.
    """
    numbers |= {
        "seed": experiment.seed,
        "frames": experiment.x_axis_metrics()["total_frames"],
        "updates": experiment.grad_update_counter,
        "training_s": round(seconds, 1),
    }
    if curve is not None:
        numbers["curve"] = _curve(experiment, curve)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(numbers, indent=1) + "\n")


def _curve(experiment: amago.Experiment, metric: str) -> dict[str, Any]:
    with open_run(Path(experiment.ckpt_base_dir) / experiment.run_name) as run:
        points = run.values(metric, "gradient_steps")
    return {"metric": metric, "points": [[int(x), float(f"{y:.4g}")] for x, y in points]}
