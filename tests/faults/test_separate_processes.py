"""Learners and collectors that are killed, started again, and started in any order."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amago.checkpoint.weights import read_published
from amago.core.npz import load_npz
from amago.experiment.heartbeats import Collectors, Heartbeat, read_heartbeat
from amago.tracking.reader import Row, read_rows

PROGRAM = Path(__file__).with_name("half_of_a_run.py")
FOREVER = 1_000_000

pytestmark = pytest.mark.slow


class Half:
    """One process of the run; `heard` reads what it says."""

    def __init__(self, folder: Path, mode: str, epochs: int) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(folder), mode, str(epochs)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self._lines = self.process.stdout
        self.said: list[str] = []

    def wait_until(self, word: str, times: int = 1) -> None:
        """Read its output until so many more lines have begun with the word."""
        for line in self._lines:
            self.said.append(line)
            times -= line.startswith(word)
            if times == 0:
                return
        pytest.fail(f"it ended without saying '{word}':\n{''.join(self.said)}")

    def kill(self) -> None:
        self.process.kill()
        self._read_to_the_end()

    def stop(self) -> int:
        """Ask it to leave; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._read_to_the_end()

    def finish(self) -> int:
        """Let it run to its end; returns its exit code."""
        return self._read_to_the_end()

    def _read_to_the_end(self) -> int:
        self.said.extend(self._lines)
        return self.process.wait()

    @property
    def heartbeat(self) -> Heartbeat:
        """Its last one, if it is a collector."""
        for path in (self.folder / "split" / "collectors").glob("*/heartbeat.json"):
            heartbeat = read_heartbeat(path)
            if heartbeat is not None and heartbeat.pid == self.process.pid:
                return heartbeat
        pytest.fail("this collector wrote no heartbeat")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Half]]:
    """A function that starts a process; none is left behind."""
    started: list[Half] = []

    def start(mode: str, epochs: int = FOREVER) -> Half:
        started.append(Half(tmp_path, mode, epochs))
        return started[-1]

    yield start
    for half in started:
        half.process.kill()
        half.process.wait()
        half._lines.close()


def learner_rows(folder: Path) -> list[Row]:
    return [row for row in read_rows(folder / "split") if row.writer == "learner"]


def collected(folder: Path) -> dict[str, bytes]:
    """Each trajectory file and what was seen in it; all of them must be whole."""
    files = (folder / "data" / "buffer" / "fifo").glob("*.npz")
    return {file.name: load_npz(str(file))["_OBS_KEY_observation"].tobytes() for file in files}


def test_a_collector_killed_while_it_acts_is_counted_once_and_replaced(
    tmp_path: Path, start: Callable[..., Half]
):
    killed = start("collect")
    killed.wait_until("act", times=100)
    killed.kill()
    files_of_the_killed = collected(tmp_path)
    successor = start("collect")
    successor.wait_until("act", times=100)
    assert successor.stop() == 75
    assert successor.heartbeat.ended
    assert not killed.heartbeat.ended

    learner = start("learn", epochs=2)
    assert learner.finish() == 0, learner.said
    frames = Counter(killed.heartbeat.frames) + Counter(successor.heartbeat.frames)
    assert learner_rows(tmp_path)[-1].axes["total_frames"] == frames.total()
    # 25 of the 100 observations were of the evaluation in epoch 0; the last was not acted on yet.
    assert killed.heartbeat.frames["CartPole"] >= 3 * 74
    assert files_of_the_killed
    assert files_of_the_killed.keys() < collected(tmp_path).keys()


def test_two_collectors_with_one_seed_collect_different_episodes(
    tmp_path: Path, start: Callable[..., Half]
):
    pair = [start("collect"), start("collect")]
    for collector in pair:
        collector.wait_until("act", times=120)
    for collector in pair:
        assert collector.stop() == 75
    contents = collected(tmp_path)
    writers = {name.split("_")[1].split("-")[1] for name in contents}
    assert len(writers) == 2
    assert len(set(contents.values())) == len(contents)


def test_a_learner_that_starts_first_waits(tmp_path: Path, start: Callable[..., Half]):
    learner = start("learn", epochs=2)
    learner.wait_until("Waiting for data")
    collector = start("collect")
    assert learner.finish() == 0, learner.said
    assert learner_rows(tmp_path)[-1].axes["gradient_steps"] == 6
    assert learner_rows(tmp_path)[-1].axes["Epoch"] == 1
    assert collector.stop() == 75


def test_a_killed_learner_is_replaced_and_its_collectors_go_on(
    tmp_path: Path, start: Callable[..., Half]
):
    run_dir = tmp_path / "split"
    collector = start("collect")
    first = start("learn")
    first.wait_until("train", times=20)
    first.kill()
    published = read_published(run_dir / "ckpts")
    assert published is not None
    assert published.version >= 3
    assert (run_dir / "learner.lock").exists()
    rows = learner_rows(tmp_path)

    collector.wait_until("act", times=100)  # nobody leads; it goes on
    second = start("learn")
    second.wait_until("train", times=20)
    while collector.heartbeat.policy_version <= published.version:
        collector.wait_until("act")
    assert second.stop() == 75
    assert collector.stop() == 75

    axes = [row.axes for row in learner_rows(tmp_path)]
    assert axes[-1]["gradient_steps"] > rows[-1].axes["gradient_steps"]
    for name in ("total_frames", "Epoch", "gradient_steps"):
        values = [a[name] for a in axes]
        assert values == sorted(values), name
    collectors = Collectors(run_dir)
    assert axes[-1]["total_frames"] <= collectors.frames().total()


def test_every_axis_of_the_one_run_advances_in_both_processes(
    tmp_path: Path, start: Callable[..., Half]
):
    collector = start("collect")
    learner = start("learn", epochs=8)
    assert learner.finish() == 0, learner.said
    published = read_published(tmp_path / "split" / "ckpts")
    assert published is not None
    while collector.heartbeat.policy_version < published.version:
        collector.wait_until("act")
    collector.wait_until("Average Return", times=2)  # evaluations that know of the learner
    assert collector.stop() == 75

    rows = list(read_rows(tmp_path / "split"))
    writers = {row.writer for row in rows}
    assert writers == {"learner", f"collector-{collector.heartbeat.id}"}
    names = {"total_frames", "total_frames-CartPole", "Epoch", "gradient_steps"}
    for writer in writers:
        own = [row.axes for row in rows if row.writer == writer]
        for name in names:
            values = [axes[name] for axes in own]
            assert values == sorted(values), (writer, name)
            assert values[-1] > values[0], (writer, name)
    assert all(set(row.axes) == names for row in rows)
    evaluated = {row.writer for row in rows if "val/Env FPS (per_process)" in row.data}
    assert evaluated == writers - {"learner"}  # who acts, evaluates; its rows are the run's


def test_a_second_learner_is_refused_while_collectors_are_welcome(start: Callable[..., Half]):
    collector = start("collect")
    first = start("learn")
    first.wait_until("train")
    second = start("learn")
    assert second.finish() == 1
    assert any("another learner is active" in line for line in second.said)
    another = start("collect")
    another.wait_until("act")
    first.wait_until("train")
    assert os.waitpid(collector.process.pid, os.WNOHANG) == (0, 0)
