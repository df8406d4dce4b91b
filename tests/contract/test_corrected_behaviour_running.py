"""How runs behave where AMAGO 3.x surprises: see `test_corrected_behaviour.py`."""

import copy
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import amago
from amago.core.config import bind
from amago.envs import AMAGOEnv, SequenceWrapper
from amago.loading import DiskTrajDataset
from amago.nets.traj_encoders import FFTrajEncoder
from amago.nets.tstep_encoders import FFTstepEncoder
from amago.tracking.reader import read_rows

SMALL = {"FFTstepEncoder.d_hidden": 8, "FFTrajEncoder.d_model": 8, "Multigammas.discrete": [0.9]}


class Count(gym.Env):
    """Three steps, then a terminal state or the end of time."""

    observation_space = gym.spaces.Box(0.0, 3.0, (1,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, terminates: bool = True) -> None:
        self.terminates = terminates

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int):
        self.t += 1
        end = self.t == 3
        return np.full(1, self.t, np.float32), 1.0, end and self.terminates, end, {}


@pytest.fixture
def make_experiment(tmp_path: Path) -> Iterator[Callable[..., amago.Experiment]]:
    """A function that makes a tiny experiment; keywords override its settings."""
    made = []

    def make(**overrides: Any) -> amago.Experiment:
        bind(SMALL)
        settings: dict[str, Any] = {
            "run_name": "tiny",
            "ckpt_base_dir": str(tmp_path),
            "max_seq_len": 3,
            "dataset": DiskTrajDataset(str(tmp_path), "data", dset_max_size=100),
            "tstep_encoder_type": FFTstepEncoder,
            "traj_encoder_type": FFTrajEncoder,
            "agent_type": amago.Agent,
            "make_train_env": lambda: AMAGOEnv(Count(), "count"),
            "make_val_env": lambda: AMAGOEnv(Count(), "count"),
            "env_mode": "sync",
            "parallel_actors": 2,
            "epochs": 2,
            "train_timesteps_per_epoch": 12,
            "train_batches_per_epoch": 2,
            "val_timesteps_per_epoch": 6,
            "val_interval": 1,
            "batch_size": 2,
            "dloader_workers": 0,
            "log_interval": 1,
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


def test_the_default_length_of_a_stored_trajectory_is_an_integer():
    """Item 19.2."""
    default = inspect.signature(amago.Experiment).parameters["traj_save_len"].default
    assert type(default) is int
    assert default == 1e10


def test_a_length_of_a_stored_trajectory_may_be_a_float(make_experiment, tmp_path):
    """Item 19.2: scripts pass `1e10`, and `(1e10, 1e10)` to the wrapper."""
    experiment = make_experiment(traj_save_len=1e10, epochs=1)
    experiment.start()
    experiment.learn()
    assert list((tmp_path / "data" / "buffer" / "fifo").iterdir())
    wrapper = SequenceWrapper(AMAGOEnv(Count(), "count"), None, save_every=(1e10, 1e10))
    assert wrapper.random_traj_length() == 10**10


def test_every_row_of_an_epoch_carries_that_epoch(make_experiment, tmp_path):
    """Item 19.4."""
    experiment = make_experiment()
    experiment.start()
    experiment.learn()
    experiment.record.flush()
    rows = list(read_rows(tmp_path / "tiny"))
    for section in ("val", "dataset", "train"):
        epochs = [
            row.axes["Epoch"] for row in rows if any(k.startswith(f"{section}/") for k in row.data)
        ]
        assert sorted(set(epochs)) == [0, 1], section


def test_a_test_reports_the_results_of_all_processes(make_experiment, monkeypatch):
    """Item 19.11: as if another process had found twice the return in as many episodes."""
    experiment = make_experiment()
    experiment.start()

    def gather(self, own):
        theirs = copy.deepcopy(own[0])
        for history in theirs:
            history.data = {name: [2 * x for x in xs] for name, xs in history.data.items()}
        return [own, (theirs, [])]

    monkeypatch.setattr(type(experiment.ranks), "gather", gather)
    metrics = experiment.evaluate_test(lambda: AMAGOEnv(Count(), "held out"), timesteps=6)
    assert metrics["Average Total Return in held out"] == pytest.approx(1.5 * 3.0)


@pytest.mark.parametrize("is_main", [True, False])
def test_only_the_main_process_publishes_weights(make_experiment, monkeypatch, tmp_path, is_main):
    """Item 19.13."""
    experiment = make_experiment()
    experiment.start()
    monkeypatch.setattr(type(experiment.ranks), "is_main", is_main)
    experiment.write_latest_policy()
    assert (tmp_path / "tiny" / "ckpts" / "latest" / "policy.pt").exists() == is_main


def test_the_summary_of_a_run_names_the_version_that_runs(make_experiment, capsys):
    """Item 19.14."""
    experiment = make_experiment(verbose=True)
    experiment.start()
    assert f"amago {amago.__version__}" in capsys.readouterr().out


@pytest.mark.parametrize("terminates", [True, False])
def test_only_a_terminal_state_is_stored_as_done(tmp_path, terminates):
    """Item 21.25: time that runs out does not mean that nothing follows."""
    env = SequenceWrapper(AMAGOEnv(Count(terminates), "count"), save_trajs_to=str(tmp_path))
    env.reset()
    for _ in range(3):
        env.step(np.zeros(1, np.uint8))
    env.save_finished_trajs()
    (file,) = tmp_path.iterdir()
    with np.load(file) as stored:
        assert stored["dones"].ravel().tolist() == [False, False, terminates]
        assert stored["rews"].ravel().tolist() == [1.0, 1.0, 1.0]
