"""Collectors' heartbeats: every frame is counted once, whatever happens to the processes."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from amago.core.names import slug
from amago.experiment.heartbeats import (
    Collectors,
    Heartbeat,
    folder,
    new_id,
    rank_id,
    read_heartbeat,
    write_heartbeat,
)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def beat(run_dir: Path, collector: str, number: int, **changes: Any) -> Heartbeat:
    """Write one heartbeat; returns it."""
    said: dict[str, Any] = {"ended": False, "frames": {}, "episodes": {}, "policy_version": 0}
    heartbeat = Heartbeat(id=collector, beat=number, **(said | changes))
    write_heartbeat(run_dir, heartbeat)
    return heartbeat


def frames_now(collectors: Collectors) -> Counter[str]:
    collectors.refresh()
    return collectors.frames()


def test_a_heartbeat_comes_back(tmp_path: Path):
    written = beat(tmp_path, "a", 3, frames={"maze": 5}, policy_version=2)
    assert read_heartbeat(folder(tmp_path, "a") / "heartbeat.json") == written


def test_a_field_that_is_not_known_yet_is_skipped(tmp_path: Path):
    written = beat(tmp_path, "a", 3)
    path = folder(tmp_path, "a") / "heartbeat.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mood": "good"}))
    assert read_heartbeat(path) == written


def test_names_of_collectors_differ_and_are_names_of_records():
    names = {new_id() for _ in range(100)}
    assert len(names) == 100
    for name in names:
        writer = f"collector-{rank_id(name, 12)}"
        assert slug(writer) == writer


def test_frames_of_all_collectors_are_added_up_dead_or_alive(tmp_path: Path):
    beat(tmp_path, "a", 1, frames={"maze": 5, "pole": 1}, ended=True)
    beat(tmp_path, "b", 1, frames={"maze": 7})
    assert frames_now(Collectors(tmp_path)) == {"maze": 12, "pole": 1}


def test_no_collectors_have_no_frames(tmp_path: Path):
    assert frames_now(Collectors(tmp_path)) == {}


def test_a_collector_and_its_ranks_can_be_left_out(tmp_path: Path):
    for collector in ("a", "a-rank1", "ab"):
        beat(tmp_path, collector, 1, frames={"maze": 1})
    collectors = Collectors(tmp_path)
    assert collectors.frames(without="a") == {"maze": 1}
    assert collectors.frames() == {"maze": 3}


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[1, 2]",
        lambda text: text.replace('"schema": 1', '"schema": 2'),
        lambda text: text.replace('"id": "a"', '"id": "b"'),
        lambda text: text.replace('"maze": 5', '"maze": "5"'),
        lambda text: text.replace('"maze": 5', '"maze": 4'),
    ],
)
def test_what_a_torn_or_foreign_file_says_takes_nothing_away(tmp_path: Path, damage: Any):
    beat(tmp_path, "a", 1, frames={"maze": 5})
    collectors = Collectors(tmp_path)
    assert frames_now(collectors) == {"maze": 5}
    path = folder(tmp_path, "a") / "heartbeat.json"
    path.write_text(damage(path.read_text()))
    assert frames_now(collectors) == {"maze": 5}
    path.unlink()
    assert frames_now(collectors) == {"maze": 5}


def test_an_older_heartbeat_is_not_believed(tmp_path: Path):
    collectors = Collectors(tmp_path)
    for number, version in ((1, 4), (3, 6), (2, 5)):
        beat(tmp_path, "a", number, policy_version=version)
        collectors.refresh()
    assert collectors.live_versions() == [6]


def test_files_are_read_again_only_after_a_while(tmp_path: Path):
    clock = Clock()
    collectors = Collectors(tmp_path, clock, reread_after_s=1.0)
    beat(tmp_path, "a", 1, frames={"maze": 1})
    assert collectors.frames() == {"maze": 1}
    beat(tmp_path, "a", 2, frames={"maze": 2})
    clock.now += 0.9
    assert collectors.frames() == {"maze": 1}
    clock.now += 0.2
    assert collectors.frames() == {"maze": 2}


def test_a_collector_is_alive_while_its_beats_are_seen_to_come(tmp_path: Path):
    clock = Clock()
    collectors = Collectors(tmp_path, clock, live_for_s=60.0)

    def versions() -> list[int]:
        collectors.refresh()
        return collectors.live_versions()

    beat(tmp_path, "gone", 9, policy_version=1)
    beat(tmp_path, "here", 1, policy_version=2)
    assert versions() == []  # a file alone may be that of a collector killed long ago
    beat(tmp_path, "here", 2, policy_version=3)
    assert versions() == [3]
    clock.now += 61
    assert versions() == []
    beat(tmp_path, "here", 3, policy_version=3)
    assert versions() == [3]
    beat(tmp_path, "here", 4, policy_version=3, ended=True)
    assert versions() == []
