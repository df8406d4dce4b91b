"""What evaluations report and where it goes, through a whole experiment."""

import io
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterable
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
from amago.core.values import Histogram
from amago.envs import AMAGO_ENV_LOG_PREFIX, AMAGOEnv
from amago.envs.histories import ReturnHistory, SpecialMetricHistory
from amago.tracking.console import Console
from amago.tracking.reader import Row, read_rows

OVERALL = "Average Total Return (Across All Env Names)"
FPS = "Env FPS (per_process)"


class Paying(gym.Env):
    """Pays `reward` at each of `length` steps, and reports a metric at the end."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, reward: float, length: int, metric: str = "Success") -> None:
        self.reward, self.length, self.metric = reward, length, metric

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> Any:
        self.t += 1
        is_over = self.t == self.length
        info = {f"{AMAGO_ENV_LOG_PREFIX} {self.metric}": [1.0, 0.0]} if is_over else {}
        return np.zeros(2, np.float32), self.reward, is_over, False, info


def paying(name: str, reward: float, length: int, metric: str = "Success") -> AMAGOEnv:
    return AMAGOEnv(Paying(reward, length, metric), env_name=name)


SHORT, LONG = partial(paying, "short", 1.0, 2), partial(paying, "long", 1.0, 10)


@pytest.fixture
def evaluating(make_tiny: Any) -> Any:
    """A function that makes and starts an experiment with one short and two long environments."""

    def make(**overrides: Any) -> amago.Experiment:
        factories = [SHORT, LONG, LONG]
        settings = {"make_train_env": factories, "make_val_env": factories}
        experiment = make_tiny(**(settings | {"val_timesteps_per_epoch": 10} | overrides))
        experiment.start()
        return experiment

    return make


def rows_of(experiment: Any) -> list[Row]:
    experiment.record.flush()
    return list(read_rows(experiment.run_dir))


def metric_rows_of(experiment: Any) -> list[dict[str, Any]]:
    """The metrics of each row but those of the hardware, which come when they are due."""
    rows = [row.data for row in rows_of(experiment)]
    return [row for row in rows if not any(name.startswith("System/") for name in row)]


def test_beside_val_there_is_the_mean_over_episodes(evaluating: Any):
    experiment = evaluating()
    metrics = experiment.evaluate_val()
    assert metrics.pop(FPS) > 0
    assert metrics == {
        "Average Total Return in short": 2.0,
        "Bottom Quintile Total Return in short": 2.0,
        "Average Success in short": 0.5,
        "Average Total Return in long": 10.0,
        "Bottom Quintile Total Return in long": 10.0,
        "Average Success in long": 0.5,
        OVERALL: 6.0,
    }
    val, by_episode = metric_rows_of(experiment)
    assert {f"val/{name}" for name in [*metrics, FPS]} == set(val)
    assert by_episode == {
        "val_episodes/Episodes Finished": 7,
        "val_episodes/Average Total Return (Across All Episodes)": pytest.approx(30 / 7),
    }


def test_the_test_section_has_the_same_names_without_the_speed(evaluating: Any):
    experiment = evaluating()
    metrics = experiment.evaluate_test([SHORT, SHORT, LONG], timesteps=4)
    assert set(metrics) == {
        "Average Total Return in short",
        "Bottom Quintile Total Return in short",
        "Average Success in short",
        OVERALL,
    }  # no long episode finished: no name, and no part in the average
    assert metrics[OVERALL] == 2.0
    test, by_episode = metric_rows_of(experiment)
    assert test == {f"test/{name}": value for name, value in metrics.items()}
    assert by_episode == {
        "test_episodes/Episodes Finished": 4,
        "test_episodes/Average Total Return (Across All Episodes)": 2.0,
    }


def test_the_speed_is_steps_of_all_environments_in_a_second(evaluating: Any, monkeypatch):
    experiment = evaluating()
    clock = SimpleNamespace(monotonic=iter([100.0, 102.5]).__next__)
    monkeypatch.setattr("amago.experiment.experiment.time", clock)
    assert experiment.evaluate_val()[FPS] == 10 * 3 / 2.5


def test_if_no_episode_finished_there_is_no_return_and_one_line_says_why(evaluating: Any):
    experiment = evaluating(val_timesteps_per_epoch=1)
    said = io.StringIO()
    experiment.console = Console(verbose=True, stream=said)
    assert set(experiment.evaluate_val()) == {FPS}
    assert experiment.evaluate_test([LONG] * 3, timesteps=9) == {}
    text = said.getvalue()
    assert text.count("No episode finished within 1 steps") == 1
    assert "Raise val_timesteps_per_epoch." in text
    assert "No episode finished within 9 steps" in text
    assert [set(row) for row in metric_rows_of(experiment)] == [
        *({f"val/{FPS}"}, {"val_episodes/Episodes Finished"}),
        {"test_episodes/Episodes Finished"},
    ]
    assert experiment.latest_score is None


def histories(**scores: list[float]) -> tuple[list[ReturnHistory], list[SpecialMetricHistory]]:
    history = ReturnHistory("")
    history.data = scores
    return [history], [SpecialMetricHistory("")]


class OtherProcesses(SimpleNamespace):
    """What `Ranks` does in a run of three processes, of which this one finished no episode."""

    def gather(self, value: Any) -> list[Any]:
        return [histories(a=[1.0, 1.0, 4.0]), histories(a=[8.0], b=[3.0]), value]


def test_episodes_of_all_processes_count_once_each(make_tiny: Any):
    experiment = make_tiny()
    experiment.ranks = OtherProcesses()
    assert experiment.policy_metrics(*histories()) == {
        "Average Total Return in a": 3.5,
        "Bottom Quintile Total Return in a": 1.0,
        "Average Total Return in b": 3.0,
        "Bottom Quintile Total Return in b": 3.0,
        OVERALL: 3.25,
    }


class Own(amago.Experiment):
    def policy_metrics(
        self, returns: Iterable[ReturnHistory], specials: Iterable[SpecialMetricHistory]
    ) -> dict[str, float]:
        scores = [score for history in returns for score in history.data.get("short", [])]
        return {"Own Metric": max(scores)} | super().policy_metrics(returns, specials)


def test_an_overridden_policy_metrics_is_heard(evaluating: Any, monkeypatch):
    monkeypatch.setattr(amago, "Experiment", Own)
    experiment = evaluating()
    metrics = experiment.evaluate_val()
    assert (metrics["Own Metric"], metrics[OVERALL]) == (2.0, 6.0)
    assert rows_of(experiment)[0].data["val/Own Metric"] == 2.0


# --------------------------------------------------------------------- values that are no number

TWO_HOT = {
    "NCriticsTwoHot.output_bins": 16,
    "NCriticsTwoHot.min_return": -50.0,
    "NCriticsTwoHot.max_return": 50.0,
}


def test_histograms_of_bins_are_in_the_record_with_every_prediction(make_tiny: Any):
    experiment = make_tiny(agent_type=MultiTaskAgent, epochs=1)
    amago.core.config.bind(TWO_HOT)
    experiment.start()
    experiment.learn()
    trained = [row.data for row in rows_of(experiment) if "train/Loss" in row.data]
    assert len(trained) == 3
    num_critics, num_gammas = experiment.policy.num_critics, len(experiment.policy.gammas)
    for data in trained:
        timesteps = data["train/Unmasked Batch Size (in Timesteps)"]
        for which, gammas in (("All Gammas", num_gammas), ("Target Gamma", 1)):
            histogram = data[f"train/Maximum Bin ({which})"]
            assert isinstance(histogram, Histogram)
            assert histogram.counts.shape == (16,)
            assert histogram.counts.sum() == timesteps * num_critics * gammas
            np.testing.assert_array_equal(histogram.edges, np.arange(17) - 0.5)


class WithVector(amago.Agent):
    def forward(self, batch: Any, log_step: bool) -> torch.Tensor:
        loss = super().forward(batch, log_step)
        self.update_info |= {"Vector": torch.zeros(3), "Mine": torch.tensor(2.0)}
        return loss


def test_a_tensor_that_is_no_number_is_named_and_not_dropped_in_silence(make_tiny: Any):
    experiment = make_tiny(agent_type=WithVector, epochs=1)
    experiment.start()
    with pytest.warns(AmagoWarning, match=r"'train/Vector' was not recorded.*shape \(3,\)"):
        experiment.learn()
    trained = [row.data for row in rows_of(experiment) if "train/Loss" in row.data]
    assert [data["train/Mine"] for data in trained] == [2.0] * 3


# -------------------------------------------------------------------------------- hostile names

HOSTILE = (
    "<script>alert(1)</script>",
    "\"double\" 'single' `back`",
    "../../etc/passwd",
    "..",
    "\u202egnp.exe",
    "x" * 300,
    "nul\0inside",
    "two\nlines",
    "a in b",
    "speed in m/s",
    "{name}",
)


@pytest.fixture
def hostile(make_tiny: Any, tmp_path: Path) -> Any:
    """A function that runs an experiment whose environments and metrics have these names."""

    def run(**overrides: Any) -> amago.Experiment:
        factories = [partial(paying, name, 1.0, 2, metric=name) for name in HOSTILE]
        experiment = make_tiny(
            make_train_env=factories,
            make_val_env=factories,
            parallel_actors=len(HOSTILE),
            train_timesteps_per_epoch=4,
            val_timesteps_per_epoch=4,
            epochs=1,
            root=tmp_path / "root",
            **overrides,
        )
        experiment.start()
        experiment.learn()
        return experiment

    return run


def test_hostile_names_are_kept_exactly_and_are_harmless_on_disk(hostile: Any, tmp_path: Path):
    experiment = hostile()
    folder = tmp_path / "root" / "test-trajectories"
    experiment.evaluate_test(experiment.make_val_env, timesteps=4, save_trajs_to=str(folder))
    rows = rows_of(experiment)
    for section, frames in (("val", 0), ("test", 4)):
        (row,) = [row for row in rows if f"{section}/{OVERALL}" in row.data]
        for metric in HOSTILE:
            name = metric.replace("/", "_")
            assert row.data[f"{section}/Average Total Return in {name}"] == 2.0
            assert row.data[f"{section}/Average {metric} in {name}"] == 0.5
            assert row.axes[f"total_frames-{name}"] == frames
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    stored = [path.name for path in (tmp_path / "root").rglob("*.npz")]
    assert len(stored) == 2 * 2 * len(HOSTILE)
    assert all(name.isascii() and name.isprintable() and len(name) < 255 for name in stored)


@pytest.mark.slow  # starts the real client
def test_hostile_names_reach_wandb_as_they_are(hostile: Any, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    warned: list[str] = []
    monkeypatch.setattr(Console, "warn", lambda self, text: warned.append(text))
    experiment = hostile(log_to_wandb=True)
    experiment.close()
    assert warned == []
    (file,) = (tmp_path / "root" / "tiny" / "wandb_logs").rglob("run-*.wandb")
    stored = file.read_bytes()
    for metric in HOSTILE:
        name = metric.replace("/", "_")
        assert f"val/Average {metric} in {name}".encode() in stored
        assert f"total_frames-{name}".encode() in stored


# ------------------------------------------------------------------------------- real processes

RANK = """
    import json, os, sys
    import gymnasium as gym, numpy as np, torch.distributed

    rank, folder = int(sys.argv[1]), sys.argv[2]
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")  # read, but not used
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    import amago
    from amago.core.config import bind
    from amago.envs import AMAGOEnv
    from amago.loading import DoNothingDataset
    from amago.nets.traj_encoders import FFTrajEncoder
    from amago.nets.tstep_encoders import FFTstepEncoder

    class Paying(gym.Env):
        observation_space = gym.spaces.Box(-1.0, 1.0, (2,))
        action_space = gym.spaces.Discrete(2)
        length = 4
        def reset(self, *, seed=None, options=None):
            self.t = 0
            return np.zeros(2, np.float32), {}
        def step(self, action):
            self.t += 1
            return np.zeros(2, np.float32), 1.0, self.t == self.length, False, {}

    bind({"FFTstepEncoder.d_hidden": 8, "FFTrajEncoder.d_model": 8, "Actor.d_hidden": 8})
    make_env = lambda: AMAGOEnv(Paying(), env_name="a")
    experiment = amago.Experiment(
        run_name="two", ckpt_base_dir=folder, max_seq_len=4, dataset=DoNothingDataset(),
        tstep_encoder_type=FFTstepEncoder, traj_encoder_type=FFTrajEncoder,
        agent_type=amago.Agent, make_train_env=make_env, make_val_env=make_env,
        env_mode="sync", parallel_actors=1, epochs=0, val_timesteps_per_epoch=8, verbose=False,
    )
    experiment.start()
    metrics = []
    for length_in_the_second in (2, 100):
        Paying.length = (4, length_in_the_second)[rank]
        metrics.append(experiment.evaluate_val())
        assert experiment.latest_score == metrics[-1]["Average Total Return in a"]
    experiment.close()
    with open(f"{folder}/{rank}.json", "w") as file:
        json.dump(metrics, file)
    torch.distributed.destroy_process_group()
"""


@pytest.mark.slow  # two processes that import torch
def test_two_processes_report_the_same_mean_over_the_episodes_of_both(tmp_path: Path):
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "ACCELERATE_USE_CPU": "true"}
    program = [sys.executable, "-c", textwrap.dedent(RANK)]
    processes = [
        subprocess.Popen(
            [*program, str(rank), str(tmp_path)], env=environment, stderr=subprocess.PIPE
        )
        for rank in range(2)
    ]
    for process in processes:
        with process:
            _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    # In eight steps: two episodes of four and four of two; then two of four, and none.
    expected = [(16 / 6, 6), (4.0, 2)]
    rows = [row.data for row in read_rows(tmp_path / "two")]
    averages = [row[f"val/{OVERALL}"] for row in rows if f"val/{OVERALL}" in row]
    assert averages == [pytest.approx(average) for average, _ in expected]
    assert [metrics["Average Total Return in a"] for metrics in first] == averages
    finished = "val_episodes/Episodes Finished"
    assert [row[finished] for row in rows if finished in row] == [count for _, count in expected]
