"""Trajectories with numbers that tell where they came from."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from amago.core.npz import write_npz
from amago.hindsight import FrozenTraj
from amago.loading import DiskTrajDataset


@pytest.fixture
def make_traj() -> Callable[..., FrozenTraj]:
    """`make_traj(T, tag)`: observation, reward and action at `t` are functions of `tag` and `t`."""

    def make(num_transitions: int, tag: int = 0) -> FrozenTraj:
        t = np.arange(num_transitions + 1)
        value = (1000.0 * tag + t).astype(np.float32)
        after = np.stack((value, -value), axis=1)
        rl2s = np.concatenate((value[:, None], after), axis=1)
        return FrozenTraj(
            obs={"x": np.stack((value, 2 * value), axis=1), "n": (t % 200).astype(np.uint8)},
            rl2s=rl2s,
            time_idxs=t[:, None].astype(np.int64),
            rews=rl2s[1:, :1].copy(),
            dones=(t[1:] == num_transitions)[:, None],
            actions=rl2s[1:, 1:].copy(),
        )

    return make


@pytest.fixture
def make_disk(tmp_path, make_traj) -> Callable[..., DiskTrajDataset]:
    """`make_disk(lengths)`: a configured dataset of fifo files `toy_{i}_{i}.npz`."""

    def make(lengths=(), compressed=False, max_seq_len=5, sampling="none", **kwargs):
        kwargs = {"dset_max_size": 100, **kwargs}
        dset = DiskTrajDataset(dset_root=str(tmp_path), dset_name="d", **kwargs)
        for i, length in enumerate(lengths):
            path = f"{dset.fifo_path}/toy_{i}_{i}.npz"
            write_npz(path, make_traj(length, i).to_dict(), compressed=compressed)
        dset.configure(64, max_seq_len, sampling, has_edit_rights=True, seed=3)
        return dset

    return make


@pytest.fixture
def experiment() -> SimpleNamespace:
    """The attributes of an experiment that datasets read."""
    return SimpleNamespace(
        accelerator=SimpleNamespace(num_processes=1),
        train_batches_per_epoch=3,
        batch_size=4,
        max_seq_len=5,
        padded_sampling="none",
        has_dset_edit_rights=True,
        seed=7,
        epoch=0,
    )
