"""One made-up run: its file, its configuration, its epochs; `synthetic_runs.py` has the kinds.

Lines have the format that `amago/tracking/store.py` describes; only their times, and what happened,
are invented.
"""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amago.core.errors import amago_warning
from amago.tracking.config_files import write_config, write_text
from amago.tracking.media import MediaFolder
from amago.tracking.values import to_line

BEGAN = 1_780_300_800.0  # 1 June 2026, 08:00 UTC
VERSIONS = {"amago": "4.0.0", "torch": "2.8.0", "numpy": "2.3.1", "gymnasium": "1.2.0"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Record:
    """One writer's file: sessions of rows, at times of one's choice.

    Args:
        seconds: between two rows.
        facts: entries of the session line that differ from the usual ones, e.g. `command`.
    """

    def __init__(
        self, folder: Path, writer: str = "learner", seconds: float = 2.0, **facts: Any
    ) -> None:
        self.folder, self.writer = folder, writer
        self.time, self.step, self.generation = BEGAN, 0, -1
        self._seconds = seconds
        self._facts = facts
        self._lines: list[bytes] = []
        self._media = MediaFolder(folder / "tracking" / f"{writer}.jsonl", warn=amago_warning)

    def session(self, step: int | None = None, **settings: Any) -> None:
        """Begin a session at `step`, by default after the last row; `settings` are the config's."""
        self.generation += 1
        self.step = self.step if step is None else step
        config = a_config(self.folder.name, **settings)
        self._line("session", schema=1, writer=self.writer, **a_session(), config=config)
        self._lines[-1:] = [to_line(self._last | self._facts)]
        if self.writer == "learner":
            write_config(self.folder, config, a_gin_text(config))

    def row(self, axes: dict[str, Any], data: dict[str, Any]) -> None:
        """One call of `log`."""
        self._line("row", axes=axes, data=data)
        self.step += 1
        self.time += self._seconds

    def gap(self, rows: int) -> None:
        """Rows that could not be written."""
        last = self.step + rows - 1
        self._line("gap", first_step=self.step, last_step=last, rows=rows, reason="disk full")
        self.step += rows
        self.time += rows * self._seconds

    def finish(self, status: str = "finished") -> None:
        """End the session."""
        self._line("finish", status=status)

    def save(self, log: str = "") -> None:
        """Write the file, and a console log if there is one."""
        write_text(
            self.folder / "tracking" / f"{self.writer}.jsonl", b"".join(self._lines).decode()
        )
        if log:
            write_text(self.folder / "tracking" / f"{self.writer}.log", log)

    def _line(self, kind: str, **entries: Any) -> None:
        head = {"kind": kind, "t": self.time, "step": self.step, "gen": self.generation}
        self._last = head | entries
        self._lines.append(to_line(self._last, self._media.keep))


def a_session() -> dict[str, Any]:
    """What a session says of the machine it ran on."""
    return {
        "command": ["python", "examples/gym.py", "--env", "CartPole-v1"],
        "cwd": "/projects/amago",
        "host": "workstation",
        "pid": 4242,
        "platform": "Linux-6.8-x86_64",
        "python": "3.12.4",
        "versions": VERSIONS,
        "git": {"commit": COMMIT, "is_dirty": True},
        "environment": {"OMP_NUM_THREADS": "1"},
        "changes": {},
        "seed": 1,
    }


def a_config(name: str, **settings: Any) -> dict[str, Any]:
    """Every setting of a run, nested as a real one's; `settings` are the experiment's."""
    experiment = {
        "run_name": name,
        "max_seq_len": 128,
        "parallel_actors": 12,
        "epochs": 100,
        "batch_size": 24,
        "learning_rate": 1e-4,
        "wandb_group_name": None,
        "seed": 1,
    }
    gin = {
        "amago.agent.Agent.gamma": 0.999,
        "amago.agent.Agent.tau": 0.003,
        "amago.nets.traj_encoders.TformerTrajEncoder.d_model": 256,
        "amago.nets.traj_encoders.TformerTrajEncoder.n_layers": 3,
    }
    return {
        "experiment": experiment | settings,
        "gin": gin,
        "dataset": {"type": "DiskTrajDataset", "description": "20,000 files at most"},
        "environment": {"description": "AsyncPool(12 environments)", "action_space": "Discrete(2)"},
        "model": {"trainable_parameters": 2_345_678, "parameters": 4_691_356},
        "device": "cuda:0",
    }


def a_gin_text(config: dict[str, Any]) -> str:
    """The bindings of `config` as gin text."""
    return "".join(f"{name} = {value!r}\n" for name, value in config["gin"].items())


def rises(rng: np.random.Generator, n: int, low: float, high: float, noise: float) -> np.ndarray:
    """A learning curve, float `[n]`: from `low` towards `high`, with noise that fades."""
    progress = np.linspace(0.0, 1.0, n)
    middle, steepness = rng.uniform(0.2, 0.5), rng.uniform(8.0, 16.0)
    learnt = 1.0 / (1.0 + np.exp(-steepness * (progress - middle)))
    shake = rng.normal(size=n) * noise * (high - low) * (1.0 - 0.6 * progress)
    return low + (high - low) * learnt + shake


def falls(rng: np.random.Generator, n: int, start: float) -> np.ndarray:
    """A loss, float `[n]`: decays from `start`, always positive."""
    decay = start * np.exp(-4.0 * np.linspace(0.0, 1.0, n)) + 0.05 * start
    return decay * np.exp(rng.normal(size=n) * 0.15)


def seed_of(name: str) -> np.random.Generator:
    """A generator that depends on a name only."""
    return np.random.default_rng(zlib.crc32(name.encode()))


class Training:
    """Epochs of a made-up training run: their axes, and the usual rows of each.

    Args:
        frames: steps of one epoch in all environments; 0 for an offline run.
    """

    def __init__(
        self, record: Record, epochs: int, names: Sequence[str], frames: int = 12_000
    ) -> None:
        self.record, self.epochs, self.names = record, epochs, names
        self._frames = frames
        self._rng = seed_of(record.folder.name)
        self._curves: dict[str, np.ndarray] = {}
        self._epoch, self._updates = 0, 0

    def axes(self) -> dict[str, float]:
        """Every axis, as of now."""
        total = self._frames * self._epoch
        share = {f"total_frames-{name}": total // len(self.names) for name in self.names}
        axes: dict[str, float] = {"total_frames": total, "Epoch": self._epoch}
        return axes | {"gradient_steps": self._updates} | share

    def run(
        self,
        evaluation: Callable[[int], dict[str, Any]],
        start: int = 0,
        stop: int | None = None,
        train: Callable[[int], dict[str, Any]] | None = None,
        val_interval: int = 2,
    ) -> None:
        """Epochs `start` to `stop`: evaluate, collect, learn; a row of each."""
        for epoch in range(start, self.epochs if stop is None else stop):
            self._epoch, self._updates = epoch, epoch * 1000
            if epoch % val_interval == 0:
                self.record.row(self.axes(), evaluation(epoch))
            if self._frames:
                self.record.row(self.axes(), self.dataset())
            for _ in range(2):
                self._updates += 500
                self.record.row(self.axes(), (train or self.train)(epoch))
            if epoch % 4 == 0:
                self.record.row(self.axes(), self.system())
        self._epoch = self.epochs

    def value(self, name: str, low: float, high: float, noise: float = 0.06) -> float:
        """Value of the curve `name` in this epoch; the curve is drawn on first use."""
        if name not in self._curves:
            self._curves[name] = rises(self._rng, self.epochs + 1, low, high, noise)
        return float(self._curves[name][self._epoch])

    def train(self, epoch: int) -> dict[str, Any]:
        """A row of `train/`."""
        loss = float(falls(self._rng, self.epochs + 1, 4.0)[epoch])
        return {
            "train/Loss": loss,
            "train/Actor Loss": -self.value("actor", 0.1, 3.0),
            "train/Critic Loss": loss * 0.6,
            "train/Learning Rate": 1e-4 * min(1.0, self._updates / 2000),
            "train/Actor Grad Norm": float(self._rng.gamma(4.0, 0.2)),
            "train/Critic Grad Norm": float(self._rng.gamma(4.0, 0.5)),
            "train/Q(s, a) (global mean, rescaled) gamma=0.999": self.value("q", 0.0, 80.0),
            "train/Policy Per-timestep Entropy (test-time gamma)": self.value("h", 0.69, 0.1),
            "train/Mean Reward (in training sequences)": self.value("reward", 0.1, 1.0),
            "train/Sequence Length": 128,
        }

    def dataset(self) -> dict[str, Any]:
        """A row of `dataset/`."""
        files = 24 * (self._epoch + 1)
        return {
            "dataset/Trajectory Files Saved in FIFO Replay Buffer": files,
            "dataset/Trajectory Files Saved in Protected Replay Buffer": 0,
            "dataset/Total Trajectory Files in Replay Buffer": files,
            "dataset/Trajectory Files Deleted": 0,
            "dataset/Buffer Disk Space (GB)": files * 4e-5,
        }

    def system(self) -> dict[str, Any]:
        """A row of `System/`."""
        return {
            "System/CPU (%)": float(self._rng.uniform(40, 90)),
            "System/RAM (%)": float(self._rng.uniform(30, 35)),
            "System/Process RSS (GB)": 1.2 + 0.001 * self._epoch,
            "System/Disk Free (GB)": 812.0 - 0.01 * self._epoch,
            "System/GPU 0 Utilization (%)": float(self._rng.uniform(60, 98)),
        }
