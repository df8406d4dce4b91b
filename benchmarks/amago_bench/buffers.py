"""Buffers of stored trajectories, written the package's own way. Runs in the child process."""

import itertools
import os
import shutil
from pathlib import Path

import numpy as np

from amago.hindsight import Timestep, Trajectory
from amago.loading import get_path_to_trajs

DISTINCT = 32
"""Trajectories with contents of their own; the others are further names of the same files."""


def fill(root: Path, name: str, files: int, transitions: int, obs: int | tuple[int, ...]) -> None:
    """A buffer of `files` trajectories of one environment with 4 discrete actions.

    Beyond `DISTINCT` files they are hard links, so that a large buffer is made in seconds. What is
    listed, chosen, opened and read is the same; what the disk has to hold is not.
    """
    folder = Path(get_path_to_trajs(str(root), name, fifo=True))
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    written = [_write(rng, folder, i, transitions, obs) for i in range(min(files, DISTINCT))]
    for i, original in zip(range(len(written), files), itertools.cycle(written)):
        _duplicate(original, folder / (_stem(i) + original.suffix))


def _write(
    rng: np.random.Generator, folder: Path, i: int, transitions: int, obs: int | tuple[int, ...]
) -> Path:
    length = transitions + 1
    if isinstance(obs, tuple):
        seen = rng.integers(0, 256, (length, 1, *obs), dtype=np.uint8)
    else:
        seen = rng.standard_normal((length, 1, obs), dtype=np.float32)
    actions = np.eye(4, dtype=np.uint8)[rng.integers(4, size=(length, 1))]
    trajectory = Trajectory(
        [
            Timestep(
                obs={"observation": seen[t]},
                prev_action=actions[t] if t else np.zeros_like(actions[t]),
                reward=np.full(1, float(t > 0), np.float32),
                time_idx=np.full(1, t, np.int64),
                terminal=np.full(1, t == transitions),
                batched_envs=1,
            )
            for t in range(length)
        ]
    )
    trajectory.save_to_disk(str(folder / _stem(i)), save_as="npz")
    return folder / f"{_stem(i)}.npz"


def _stem(i: int) -> str:
    """A name that both packages can sort by age."""
    return f"world_{i:08d}_{1_600_000_000 + i}.0"


def _duplicate(original: Path, name: Path) -> None:
    try:
        os.link(original, name)
    except OSError:  # too many links of one file, or a file system without them
        shutil.copyfile(original, name)
