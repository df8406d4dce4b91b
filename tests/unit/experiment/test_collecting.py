"""A learner and its collectors: separate experiments that share nothing but a folder.

They take turns in one process here; `tests/faults/test_separate_processes.py` starts them apart.
"""

import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import amago
from amago.checkpoint import weights
from amago.cli_utils import switch_async_mode
from amago.core.errors import AmagoWarning
from amago.experiment import collecting, heartbeats
from amago.experiment.collecting import STALENESS, CollectorLink, LearnerWatch, wait_for_data
from amago.experiment.heartbeats import Collectors, read_heartbeat
from amago.tracking.reader import read_rows

pytestmark = pytest.mark.slow  # whole runs

FRAMES_A_TURN = 40 * 3


@pytest.fixture
def make_half(make_tiny: Any) -> Any:
    """A function that makes and starts one half of a run: a "learn" or a "collect" process."""

    def make(mode: str, *, started: bool = True, **overrides: Any) -> amago.Experiment:
        experiment = switch_async_mode(make_tiny(**overrides), mode)
        experiment.epochs = 0
        if started:
            experiment.start()
        return experiment

    return make


def turn(experiment: amago.Experiment) -> None:
    """One more epoch of this process."""
    experiment.epochs += 1
    experiment.learn()


def collect_unled(collector: amago.Experiment) -> None:
    """A turn of a collector that finds no learner."""
    with pytest.warns(AmagoWarning, match="no learner has published"):
        turn(collector)


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def total_frames(experiment: amago.Experiment) -> int:
    experiment.link.collectors.refresh()
    return experiment.x_axis_metrics()["total_frames"]


def assert_same_policy(a: amago.Experiment, b: amago.Experiment) -> None:
    others = b.policy.state_dict()
    for name, value in a.policy.state_dict().items():
        assert torch.equal(value, others[name]), name


# --------------------------------------------------------------------------------- counting


def test_every_axis_advances_in_both_halves_and_never_decreases(make_half: Any, tmp_path: Path):
    collectors = [make_half("collect"), make_half("collect")]
    learner = make_half("learn")
    collect_unled(collectors[0])
    collect_unled(collectors[1])
    turn(learner)
    for _ in range(2):
        turn(collectors[0])
        turn(collectors[1])
        turn(learner)
    for experiment in (learner, *collectors):
        experiment.record.flush()
    rows = [row for row in read_rows(tmp_path / "tiny") if row.axes["total_frames"] > 0]
    assert len({row.writer for row in rows}) == 3
    names = {"total_frames", "total_frames-CartPole", "Epoch", "gradient_steps"}
    assert all(set(row.axes) == names for row in rows)
    for writer in {row.writer for row in rows}:
        for name in names:
            values = [row.axes[name] for row in rows if row.writer == writer]
            assert values == sorted(values)
            assert values[-1] > values[0] or writer != "learner"
    assert total_frames(learner) == 2 * 3 * FRAMES_A_TURN
    assert learner.grad_update_counter == 3 * 3


def test_a_collectors_rows_say_how_far_the_learner_is(make_half: Any, tmp_path: Path):
    collector, learner = make_half("collect"), make_half("learn")
    collect_unled(collector)
    turn(learner)
    turn(learner)
    assert collector.x_axis_metrics() == {
        "total_frames": FRAMES_A_TURN,
        "total_frames-CartPole": FRAMES_A_TURN,
        "Epoch": 1,
        "gradient_steps": 6,
    }
    weights.publish_latest(collector.ckpt_dir, {}, epoch=0, gradient_steps=3)  # it was resumed
    axes = collector.x_axis_metrics()
    assert (axes["Epoch"], axes["gradient_steps"]) == (1, 6)


def test_frames_of_a_learner_that_collects_too_are_counted_by_all(make_tiny: Any, make_half: Any):
    both, collector = make_tiny(epochs=1), make_half("collect")
    both.start()
    both.learn()
    turn(collector)
    assert total_frames(both) == total_frames(collector) == 2 * FRAMES_A_TURN


def test_a_killed_collector_stays_counted_and_its_successor_is_somebody_else(make_half: Any):
    learner, killed, successor = make_half("learn"), make_half("collect"), make_half("collect")
    collect_unled(killed)
    collect_unled(successor)
    assert total_frames(learner) == 2 * FRAMES_A_TURN
    assert killed.link.id != successor.link.id


def test_a_new_learner_counts_what_was_collected_before_once(make_half: Any):
    collector, first = make_half("collect"), make_half("learn")
    collect_unled(collector)
    turn(first)
    turn(collector)
    second = make_half("learn")
    assert second.resume()
    assert total_frames(second) == 2 * FRAMES_A_TURN
    second.epochs = 2
    second.learn()
    assert total_frames(second) == 2 * FRAMES_A_TURN
    assert second.grad_update_counter == 6


def test_loading_a_checkpoint_into_a_collector_adds_no_frames(make_tiny: Any, make_half: Any):
    both = make_tiny(epochs=1)
    both.start()
    both.learn()
    collector = make_half("collect")
    collector.load_checkpoint(0)
    assert_same_policy(both, collector)
    assert total_frames(collector) == FRAMES_A_TURN


def test_a_heartbeat_tells_frames_episodes_and_the_version(make_half: Any):
    collector, learner = make_half("collect"), make_half("learn")
    collect_unled(collector)
    turn(learner)
    turn(collector)
    heartbeat = read_heartbeat(collector.link.folder / "heartbeat.json")
    published = weights.read_published(learner.ckpt_dir)
    assert heartbeat is not None
    assert published is not None
    assert heartbeat.frames == {"CartPole": 2 * FRAMES_A_TURN}
    assert heartbeat.episodes["CartPole"] >= 2 * FRAMES_A_TURN // 20 - 3
    assert heartbeat.policy_version == published.version >= 1
    assert (heartbeat.pid, heartbeat.ended) == (os.getpid(), True)


# ---------------------------------------------------------------------------- who writes what


def test_two_collectors_with_one_seed_collect_different_data(make_half: Any, tmp_path: Path):
    contents = []
    for _ in range(2):
        before = files_of(tmp_path / "data")
        collect_unled(make_half("collect"))
        new = files_of(tmp_path / "data") - before
        contents.append(
            {
                np.load(tmp_path / "data" / name)["_OBS_KEY_observation"].tobytes(): name
                for name in new
            }
        )
    assert all(contents)
    assert not contents[0].keys() & contents[1].keys()
    writers = [{n.split("_")[1].split("-")[1] for n in c.values()} for c in contents]
    assert len(writers[0]) == len(writers[1]) == 1
    assert writers[0] != writers[1]


def test_a_collector_writes_only_what_is_its_own(make_half: Any, tmp_path: Path):
    collector = make_half("collect")
    collect_unled(collector)
    collector.record.flush()
    name = collector.link.id
    written = {file for file in files_of(tmp_path / "tiny") if not file.endswith(".lock")}
    assert written == {
        f"collectors/{name}/heartbeat.json",
        f"tracking/collector-{name}.jsonl",
    }


def test_nothing_is_written_before_collecting_or_after(make_half: Any, tmp_path: Path):
    collector = make_half("collect")
    assert not (tmp_path / "tiny").exists()
    collect_unled(collector)
    path = collector.link.folder / "heartbeat.json"
    last = path.read_bytes()
    collector.evaluate_test(collector.make_val_env, timesteps=5)
    assert path.read_bytes() == last


def test_a_collector_deletes_no_trajectories(make_half: Any, tmp_path: Path):
    dataset = amago.loading.DiskTrajDataset(str(tmp_path), "data", dset_max_size=2)
    collect_unled(make_half("collect", dataset=dataset))
    assert len(files_of(tmp_path / "data")) > 2


def test_a_heartbeat_that_cannot_be_written_is_said_once_and_ends_nothing(
    make_half: Any, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*args: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(heartbeats, "write_heartbeat", refuse)
    collector = make_half("collect")
    with pytest.warns(AmagoWarning) as warned:
        turn(collector)
    assert len([w for w in warned if "no space left" in str(w.message)]) == 1
    assert collector.x_axis_metrics()["total_frames"] == FRAMES_A_TURN


# ----------------------------------------------------------------------------------- weights


def test_a_collector_acts_with_what_was_published_last(make_half: Any):
    collector, learner = make_half("collect"), make_half("learn")
    collect_unled(collector)
    turn(learner)
    turn(collector)
    assert_same_policy(learner, collector)


def test_weights_are_read_again_only_when_they_were_published_again(
    make_half: Any, monkeypatch: pytest.MonkeyPatch
):
    collector, learner = make_half("collect"), make_half("learn")
    collect_unled(collector)
    turn(learner)
    loaded = []
    monkeypatch.setattr(collector.policy, "load_state_dict", lambda *a, **k: loaded.append(a))
    turn(collector)
    turn(collector)
    assert len(loaded) == 1
    turn(learner)
    turn(collector)
    assert len(loaded) == 2


def test_weights_of_a_learner_without_versions_are_read(make_half: Any):
    collector, other = make_half("collect"), make_half("learn", seed=7)
    weights.save_policy(weights.latest_path(collector.ckpt_dir), other.policy.state_dict())
    turn(collector)
    assert_same_policy(collector, other)
    assert collector.x_axis_metrics()["gradient_steps"] == 0


def test_damaged_weights_are_a_warning_and_the_old_ones_stay(make_half: Any):
    collector = make_half("collect")
    path = weights.latest_path(collector.ckpt_dir)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no weights")
    with pytest.warns(AmagoWarning, match="was not loaded.*not a file of weights"):
        turn(collector)


def test_nothing_published_is_said_once(make_half: Any, recwarn: pytest.WarningsRecorder):
    collector = make_half("collect")
    collect_unled(collector)
    turn(collector)
    assert len(recwarn) == 0  # of the second turn: the first one's was taken


def test_staleness_is_how_many_publications_the_slowest_live_collector_is_behind(make_half: Any):
    learner = make_half("learn")
    link = make_half("collect", started=False).link
    assert link.metrics() == learner.link.metrics() == {}
    weights.publish_latest(learner.ckpt_dir, {})
    weights.publish_latest(learner.ckpt_dir, {})
    for number in (1, 2):
        for name, version in (("slow", 1), ("quick", 2)):
            heartbeats.write_heartbeat(
                learner.run_dir,
                heartbeats.Heartbeat(
                    id=name,
                    beat=number,
                    ended=False,
                    frames={},
                    episodes={},
                    policy_version=version,
                ),
            )
        metrics = learner.link.metrics()
    assert metrics == {STALENESS: 1}
    weights.publish_latest(learner.ckpt_dir, {})
    assert learner.link.metrics() == {STALENESS: 2}


# ----------------------------------------------------------------------- waiting and leaving


def test_a_learner_that_starts_first_waits_for_data(
    make_half: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    learner, collector = make_half("learn", verbose=True), make_half("collect")
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            collect_unled(collector)

    monkeypatch.setattr(
        "amago.experiment.experiment.wait_for_data", partial(wait_for_data, wait=wait)
    )
    turn(learner)
    assert waits == [1.0, 1.0, 1.0]
    assert capsys.readouterr().out.count("Waiting for data") == 1
    assert learner.grad_update_counter == 3
    assert total_frames(learner) == FRAMES_A_TURN


def test_waiting_ends_when_the_run_is_to_stop(make_half: Any):
    waits = []
    learner = make_half("learn")
    assert not wait_for_data(learner, should_stop=lambda: len(waits) == 2, wait=waits.append)
    assert len(waits) == 2


def test_only_a_learner_waits(make_tiny: Any, make_half: Any):
    both = make_tiny()
    both.start()
    for experiment in (both, make_half("collect")):
        assert not wait_for_data(experiment, wait=pytest.fail)


class Clock:
    """Seconds that pass with every question."""

    def __init__(self, each: float) -> None:
        self.now, self.each = 0.0, each

    def __call__(self) -> float:
        self.now += self.each
        return self.now


def test_a_collector_that_lost_its_learner_stops_and_says_so(
    make_half: Any, capsys: pytest.CaptureFixture
):
    collector, learner = make_half("collect", started=False), make_half("learn")
    collector.link = CollectorLink(collector, patience_s=1000.0, clock=Clock(each=1.0))
    collector.start()
    collect_unled(collector)
    turn(learner)
    turn(collector)
    assert not collector.link.is_abandoned
    collector.epochs = 1_000_000
    collector.learn()
    assert collector.link.is_abandoned
    assert collector.epoch < 100
    assert "this collector stops" in capsys.readouterr().out
    heartbeat = read_heartbeat(collector.link.folder / "heartbeat.json")
    assert heartbeat is not None
    assert heartbeat.ended
    assert heartbeat.frames == {"CartPole": total_frames(collector)}


def test_a_collector_that_never_saw_a_learner_goes_on(make_half: Any):
    collector = make_half("collect", started=False)
    collector.link = CollectorLink(collector, patience_s=10.0, clock=Clock(each=1000.0))
    collector.start()
    collect_unled(collector)
    turn(collector)
    assert not collector.link.is_abandoned
    assert total_frames(collector) == 2 * FRAMES_A_TURN


def test_only_signs_of_life_count_as_life(tmp_path: Path):
    clock = Clock(each=0.0)
    lock = tmp_path / "learner.lock"
    lock.touch()  # left by a learner that was killed
    watch = LearnerWatch([lock, tmp_path / "policy.pt"], clock)
    clock.now += 100
    assert watch.silence_s() == 0.0
    os.utime(lock, (1, 1))  # touched by a machine whose clock is wrong
    assert watch.silence_s() == 0.0
    clock.now += 100
    assert watch.silence_s() == 100.0
    lock.unlink()
    assert watch.silence_s() == 100.0
    (tmp_path / "policy.pt").touch()
    assert watch.silence_s() == 0.0


def test_the_patience_can_be_bound(make_half: Any):
    collector = make_half("collect", started=False)
    amago.core.config.bind({"CollectorLink.patience_s": 7.0})
    assert collecting.make_link(collector)._patience_s == 7.0  # type: ignore[attr-defined]


def test_a_heartbeat_counts_the_phase_that_is_running(make_half: Any):
    collector = make_half("collect", started=False)
    collector.link = CollectorLink(collector, beat_every_s=0.0)
    collector.start()
    seen: list[int] = []
    collector.on_interact_step = lambda obs: seen.append(
        Collectors(collector.run_dir).frames().total()
    )
    collector.val_interval = None
    collect_unled(collector)
    assert seen == [3 * step for step in range(40)]


def test_a_step_makes_no_heartbeat_while_the_last_is_young(make_half: Any):
    collector = make_half("collect", started=False)
    collector.link = CollectorLink(collector, beat_every_s=5.0, clock=Clock(each=0.0))
    collector.start()
    collect_unled(collector)
    heartbeat = read_heartbeat(collector.link.folder / "heartbeat.json")
    assert heartbeat is not None
    assert heartbeat.beat == 3  # at the beginning, after collecting, at the end


def test_the_processes_of_one_collector_are_counted_once(tmp_path: Path):
    """Started by `accelerate launch`, each beats for itself; a row adds up what all have."""

    def link(rank: int) -> CollectorLink:
        ranks = SimpleNamespace(rank=rank, world_size=2, broadcast=lambda value: "host-1-abcd")
        return CollectorLink(
            SimpleNamespace(
                run_dir=str(tmp_path), ckpt_dir=str(tmp_path / "ckpts"), run_seed=0, ranks=ranks
            )  # type: ignore[arg-type]
        )

    for collector in ("host-1-abcd", "host-1-abcd-rank1", "another-1-abcd"):
        heartbeats.write_heartbeat(
            tmp_path,
            heartbeats.Heartbeat(
                id=collector, beat=1, ended=False, frames={"a": 5}, episodes={}, policy_version=0
            ),
        )
    for rank in (0, 1):
        assert link(rank).counts({"a": 10}, 0, 0).frames == {"a": 15}
    assert link(0).seed == link(1).seed
    assert link(0).folder != link(1).folder
