"""Where the wall time of a run goes: collecting, loading, learning, logging.

    python benchmarks/bench_phases.py [--threads 2] [--out benchmarks/results/phases.json]

Two configurations: a cheap environment with a memory-free policy, where overhead would show, and
the demo's Transformer on Meta-Frozen-Lake. A first epoch warms up and is not counted.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch

import amago
from amago.core import config
from amago.envs import AMAGOEnv
from amago.envs.builtin.toy_gym import MetaFrozenLake
from amago.loading import DiskTrajDataset
from amago.nets.traj_encoders import FFTrajEncoder, TformerTrajEncoder
from amago.nets.tstep_encoders import FFTstepEncoder

ACTORS = 24
EPOCHS = 4
UPDATES = 50
STEPS = 100


class TimedExperiment(amago.Experiment):
    """Adds up the seconds that each phase takes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - began

    def collect_new_training_data(self) -> None:
        with self.timed("rollout"):
            super().collect_new_training_data()

    def init_dloaders(self) -> Any:
        return self._timed_batches(super().init_dloaders())

    def _timed_batches(self, loader: Iterable[Any]) -> Iterator[Any]:
        batches = iter(loader)
        for _ in range(self.train_batches_per_epoch):
            with self.timed("load"):
                batch = next(batches)
            yield batch

    def train_step(self, batch: Any, log_step: bool) -> dict[str, Any]:
        with self.timed("update"):
            return super().train_step(batch, log_step)

    def log(self, metrics_dict: dict[str, Any], key: str) -> None:
        with self.timed("log"):
            super().log(metrics_dict, key)


def make_cartpole() -> AMAGOEnv:
    """Cheap to step, no memory needed."""
    return AMAGOEnv(gym.make("CartPole-v1"), env_name="CartPole-v1")


def make_lake() -> AMAGOEnv:
    """The demo's kind of task."""
    return AMAGOEnv(MetaFrozenLake(size=3, k_episodes=5), env_name="MetaFrozenLake")


WIDTH = {
    "FFTstepEncoder.d_hidden": 64,
    "FFTstepEncoder.d_output": 64,
    "Actor.d_hidden": 64,
    "NCritics.d_hidden": 64,
    "Multigammas.discrete": [0.9, 0.97],
}
CASES: dict[str, dict[str, Any]] = {
    "cartpole-ff": {
        "bindings": WIDTH | {"FFTrajEncoder.d_model": 64},
        "env": make_cartpole,
        "traj_encoder_type": FFTrajEncoder,
        "max_seq_len": 32,
    },
    "frozen-lake-transformer": {
        "bindings": WIDTH
        | {
            "TformerTrajEncoder.d_model": 64,
            "TformerTrajEncoder.d_ff": 256,
            "TformerTrajEncoder.n_heads": 4,
            "TformerTrajEncoder.n_layers": 2,
        },
        "env": make_lake,
        "traj_encoder_type": TformerTrajEncoder,
        "max_seq_len": 45,
    },
}


def measure(case: dict[str, Any], folder: Path) -> dict[str, float]:
    """Milliseconds per frame, batch or row of each phase, and the phases' shares of the time."""
    config.clear()
    config.bind(case["bindings"])
    experiment = TimedExperiment(
        run_name="phases",
        ckpt_base_dir=str(folder),
        dataset=DiskTrajDataset(str(folder), "data", dset_max_size=5000),
        tstep_encoder_type=FFTstepEncoder,
        traj_encoder_type=case["traj_encoder_type"],
        agent_type=amago.Agent,
        max_seq_len=case["max_seq_len"],
        make_train_env=case["env"],
        make_val_env=case["env"],
        env_mode="sync",
        parallel_actors=ACTORS,
        epochs=1,
        train_timesteps_per_epoch=STEPS,
        train_batches_per_epoch=UPDATES,
        val_timesteps_per_epoch=0,
        ckpt_interval=None,
        batch_size=32,
        dloader_workers=0,
        log_interval=10,
        verbose=False,
        seed=0,
    )
    experiment.start()
    experiment.learn()
    experiment.seconds.clear()
    experiment.epoch, experiment.epochs = 1, 1 + EPOCHS
    began = time.perf_counter()
    experiment.learn()
    total = time.perf_counter() - began
    experiment.close()
    seconds = dict(experiment.seconds)
    frames, updates = EPOCHS * STEPS * ACTORS, EPOCHS * UPDATES
    return {
        "rollout_us_per_frame": 1e6 * seconds["rollout"] / frames,
        "load_ms_per_batch": 1e3 * seconds["load"] / updates,
        "update_ms": 1e3 * seconds["update"] / updates,
        "log_ms_per_epoch": 1e3 * seconds["log"] / EPOCHS,
        **{f"{phase}_share": value / total for phase, value in seconds.items()},
        "rest_share": 1 - sum(seconds.values()) / total,
        "total_s": total,
    }


def main() -> None:
    """Measure every case; write the JSON, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/phases.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results: dict[str, Any] = {"torch": torch.__version__, "threads": args.threads}
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            results[name] = measure(case, Path(folder))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1) + "\n")
    for name in CASES:
        print(name, json.dumps({k: round(v, 3) for k, v in results[name].items()}))


if __name__ == "__main__":
    main()
