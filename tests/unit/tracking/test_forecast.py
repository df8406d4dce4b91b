from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from amago.tracking.forecast import Forecast, forecast, size, timestep_bytes


def space(shape, dtype):
    return SimpleNamespace(shape=shape, dtype=np.dtype(dtype))


def test_bytes_of_a_timestep_by_hand():
    observation = {"image": space((3, 8, 8), np.uint8), "position": space((2,), np.float32)}
    # 192 + 8 of observation; rl2s 4 * (1 + 5), time index 8, reward 4, done 1, action 4 * 5
    assert timestep_bytes(observation, action_size=5) == 200 + 24 + 8 + 4 + 1 + 20


def test_a_forecast_by_hand(tmp_path):
    result = forecast(
        per_timestep=100,
        folder=tmp_path / "not" / "yet",
        trajectories=1000,
        trajectory_length=500,
        actors=10,
        parameters=1_000_000,
        trained_parameters=600_000,
        batch_size=24,
        sequence_length=129,
    )
    assert result.buffer == 1000 * (500 * 100 + 4096)
    assert result.free > 0
    assert result.model == 4_000_000 + 7_200_000
    assert result.batch == 24 * 129 * 100
    assert result.growing == 10 * 500 * 100


def make(**changes):
    known = {"buffer": 1_200_000_000, "free": 53_000_000_000, "model": 8_000_000}
    return Forecast(**known | {"batch": 1_000_000, "growing": 0} | changes)


def test_the_lines_are_for_people():
    lines = make().lines()
    assert lines["Replay buffer"] == "up to 1.2 GB on disk (53 GB free)"
    assert lines["Process memory"].startswith("about 610 MB")
    assert make().problem() is None


def test_a_disk_that_is_too_small_is_told_before_the_start():
    problem = make(free=1_000_000_000).problem()
    assert problem is not None
    assert "1.2 GB" in problem
    assert "1.0 GB" in problem


def test_an_unknown_length_promises_nothing():
    assert "grows with the length of episodes" in make(buffer=None).lines()["Replay buffer"]
    assert make(buffer=None, free=0).problem() is None


def test_free_space_of_a_relative_folder_is_found():
    result = forecast(
        per_timestep=1,
        folder=Path("not/there/yet"),
        trajectories=1,
        trajectory_length=None,
        actors=1,
        parameters=0,
        trained_parameters=0,
        batch_size=1,
        sequence_length=1,
    )
    assert result.free > 0
    assert result.buffer is None


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345, "12 kB"), (999_600, "1.0 MB")),
        *((1.25e9, "1.2 GB"), (3e12, "3.0 TB"), (2e15, "2000 TB")),
    ],
)
def test_sizes_are_readable(count, text):
    assert size(count) == text
