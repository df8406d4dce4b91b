"""What runs log is declared, and what is declared is logged: both ways, for both agents.

Some metrics are there only in trouble (a damaged file, an environment that raises, a gradient that
is not finite) or with special hardware: the runs here have all of it.
"""

import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import amago
from amago.agent import MultiTaskAgent
from amago.core.errors import AmagoWarning
from amago.envs import AMAGO_ENV_LOG_PREFIX, AMAGOEnv
from amago.experiment.heartbeats import Heartbeat, write_heartbeat
from amago.loading import DiskTrajDataset, MixtureOfDatasets
from amago.tracking.metrics import all_metrics, declared
from amago.tracking.reader import read_rows
from amago.tracking.system import SystemMonitor

pytestmark = pytest.mark.slow  # whole runs

DISCRETE = gym.spaces.Discrete(2)
CONTINUOUS = gym.spaces.Box(-1.0, 1.0, (1,))
TWO_HOT = {"NCriticsTwoHot.min_return": -50.0, "NCriticsTwoHot.max_return": 50.0}


class Fragile(gym.Env):
    """Episodes of ten steps, which report a success; the 25th step of all raises."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,))
    steps = 0

    def __init__(self, action_space: gym.Space, raises: bool) -> None:
        self.action_space, self.raises = action_space, raises

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        Fragile.steps += self.raises
        if self.raises and Fragile.steps == 25:
            raise RuntimeError("on purpose")
        info = {f"{AMAGO_ENV_LOG_PREFIX} Success": 1.0}
        return np.ones(2, np.float32), 1.0, self.t == 10, False, info


def make_env(space: gym.Space, raises: bool) -> AMAGOEnv:
    return AMAGOEnv(Fragile(space, raises), env_name="fragile")


def with_one_bad_gradient(cls: type) -> type:
    class Bad(cls):
        batches = 0

        def forward(self, batch: Any, log_step: bool) -> torch.Tensor:
            self.batches += 1
            return super().forward(batch, log_step) * (torch.nan if self.batches == 1 else 1.0)

    return Bad


class FakeNvml:
    """One GPU that answers everything."""

    NVMLError = RuntimeError

    def __getattr__(self, name: str) -> Any:
        answers = {
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=1, total=2),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=50),
            "nvmlDeviceGetPowerUsage": 1000,
        }
        return lambda *_: answers.get(name, 0)


@pytest.fixture
def troubled(make_tiny: Any, tmp_path: Path, monkeypatch) -> Any:
    """A function that runs an agent through everything; returns the names in its record."""
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def run(cls: type, space: gym.Space, in_a_mixture: bool) -> set[str]:
        monkeypatch.setattr(Fragile, "steps", 0)
        root = tmp_path / cls.__name__
        disk = DiskTrajDataset(str(root), "disk", dset_max_size=100)
        experiment = make_tiny(
            root=root,
            agent_type=with_one_bad_gradient(cls),
            dataset=MixtureOfDatasets([disk], [1.0]) if in_a_mixture else disk,
            make_train_env=partial(make_env, space, True),
            make_val_env=partial(make_env, space, False),
            parallel_actors=1,
            batch_size=16,
            epochs=3,
        )
        amago.core.config.bind(TWO_HOT)
        experiment.start()
        experiment.record._system = SystemMonitor(root, interval_s=0.0)
        (root / "disk" / "buffer" / "protected" / "damaged.npz").write_bytes(b"no archive")
        train_epoch = experiment.train_epoch

        def lose_a_file_and_train() -> None:
            next((root / "disk" / "buffer" / "fifo").glob("*.npz")).unlink()
            train_epoch()

        experiment.train_epoch = lose_a_file_and_train
        with pytest.warns(AmagoWarning):
            experiment.learn()
        experiment.evaluate_test(partial(make_env, space, False), timesteps=20)
        hear_of_a_collector(experiment)
        experiment.record.flush()
        return {name for row in read_rows(experiment.run_dir) for name in [*row.axes, *row.data]}

    return run


def hear_of_a_collector(experiment: Any) -> None:
    """One more row of the dataset, in which a collector is seen to be alive."""
    experiment.write_latest_policy()
    for beat in (1, 2):
        heartbeat = Heartbeat(
            id="c", beat=beat, ended=False, frames={}, episodes={}, policy_version=0
        )
        write_heartbeat(experiment.run_dir, heartbeat)
        experiment.link.collectors.refresh()
    experiment.after_collecting(experiment.schedule.at(experiment.epoch))


def test_every_logged_metric_is_declared_and_every_declared_one_is_logged(troubled: Any):
    logged = troubled(amago.Agent, DISCRETE, in_a_mixture=False)
    logged |= troubled(MultiTaskAgent, CONTINUOUS, in_a_mixture=True)
    assert {name for name in logged if declared(name) is None} == set()
    found = {metric.name for name in logged if (metric := declared(name))}
    assert {metric.name for metric in all_metrics()} - found == set()
