import json
import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from amago.core import config
from amago.core.errors import AmagoWarning, TrajectoryError
from amago.core.npz import write_npz
from amago.hindsight import NoOpRelabeler, Relabeler
from amago.loading import DiskTrajDataset, RLData_pad_collate, get_path_to_trajs
from amago.loading.filenames import file_stem

NOBODY = 65534


def origin(item):
    """Which file an item came from, where its window starts, and how long it is."""
    return int(item.obs["x"][0, 0]) // 1000, int(item.time_idxs[0]), len(item)


def origins(dset, n=64):
    return [origin(dset[i]) for i in range(n)]


def ours(sequence, unix_time):
    return file_stem("toy", sequence, 1, 2, length=4, unix_time=unix_time) + ".npz"


def add(dset, traj, name, kind="fifo"):
    path = os.path.join(dset.buffer_path, kind, name)
    write_npz(path, traj.to_dict())
    return path


# ------------------------------------------------------------------------------- directories


def test_the_directories_are_those_of_earlier_versions(tmp_path):
    dset = DiskTrajDataset(str(tmp_path), "d", 10)
    assert get_path_to_trajs("root", "d", fifo=True) == os.path.join("root", "d", "buffer", "fifo")
    assert dset.save_new_trajs_to == str(tmp_path / "d" / "buffer" / "fifo")
    assert (tmp_path / "d" / "buffer" / "protected").is_dir()


def test_it_is_ready_with_the_smallest_number_of_files(make_disk):
    assert make_disk([6, 6], dset_min_size=2).ready_for_training
    assert not make_disk([], dset_min_size=3).ready_for_training


def test_gin_binds_its_parameters_under_the_public_name(tmp_path):
    config.bind({"amago.loading.DiskTrajDataset.dset_min_size": 5})
    assert DiskTrajDataset(str(tmp_path), "d", 10).dset_min_size == 5
    assert DiskTrajDataset.__module__ == "amago.loading"


def test_foreign_files_are_ignored(make_disk, make_traj, experiment):
    dset = make_disk([6])
    for name in ("README", "notes.txt", ".tmp-1-host-aa", ".hidden.npz"):
        open(os.path.join(dset.fifo_path, name), "w").close()
    add(dset, make_traj(6), "no fields at all.npz")
    metrics = dset.on_end_of_collection(experiment)
    assert metrics["Total Trajectory Files in Replay Buffer"] == 2


# ---------------------------------------------------------------------------------- sampling


def test_items_are_windows_of_random_files(make_disk):
    seen = origins(make_disk([20, 30, 3]))
    assert {tag for tag, _, _ in seen} == {0, 1, 2}
    assert all(length == (3 if tag == 2 else 5) for tag, _, length in seen)
    assert len({start for tag, start, _ in seen if tag == 1}) > 8


@pytest.mark.parametrize("compressed", [False, True])
def test_a_window_is_the_slice_of_the_file(make_disk, make_traj, compressed):
    dset = make_disk([40], compressed=compressed, sampling="both")
    traj = make_traj(40, 0)
    for i in range(20):
        item = dset[i]
        start, stop = int(item.time_idxs[0]), int(item.time_idxs[-1])
        np.testing.assert_array_equal(item.obs["n"], traj.obs["n"][start : stop + 1])
        np.testing.assert_array_equal(item.rl2s, traj.rl2s[start : stop + 1])
        np.testing.assert_array_equal(item.dones, traj.dones[start:stop])


def test_no_limit_gives_whole_trajectories(make_disk):
    assert {origin(make_disk([7, 9], max_seq_len=None)[i]) for i in range(20)} == {
        (0, 0, 7),
        (1, 0, 9),
    }


def test_items_are_pure_in_seed_epoch_and_index(make_disk):
    first, second = make_disk([20, 30]), make_disk([20, 30])
    second[11]
    np.random.random(), torch.rand(1)
    assert origins(first) == origins(second)
    second.set_epoch(1)
    assert origins(first) != origins(second)


def test_batches_do_not_depend_on_the_number_of_loader_workers(make_disk):
    dset = make_disk([20, 30, 4], sampling="both")

    def batches(workers):
        loader = DataLoader(dset, 8, num_workers=workers, collate_fn=RLData_pad_collate)
        return [batch.rl2s for batch in loader]

    for here, elsewhere in zip(batches(0), batches(2), strict=True):
        assert torch.equal(here, elsewhere)


def test_a_copy_for_another_process_gives_the_same_items(make_disk):
    dset = make_disk([20, 30])
    expected = origins(dset)
    assert origins(pickle.loads(pickle.dumps(dset))) == expected


def test_a_whole_random_trajectory_comes_from_the_global_generator(make_disk):
    dset = make_disk([20, 30])
    assert {len(dset.sample_random_trajectory()) for _ in range(20)} == {20, 30}


def test_a_dataset_without_files_says_so(make_disk):
    with pytest.raises(TrajectoryError, match="0 files are listed"):
        make_disk([])[0]


# ----------------------------------------------------------------------- relabelling and hooks


class Negate(Relabeler):
    """Looks at the whole trajectory, drops an observation and the second half."""

    def __init__(self):
        self.lengths = []

    def relabel(self, traj):
        self.lengths.append(len(traj.rews))
        del traj.obs["n"]
        half = len(traj.rews) // 2
        traj.obs["x"] = -traj.obs["x"][: half + 1]
        traj.rl2s, traj.time_idxs = traj.rl2s[: half + 1], traj.time_idxs[: half + 1]
        traj.rews, traj.dones, traj.actions = (
            array[:half] for array in (traj.rews, traj.dones, traj.actions)
        )
        return traj


def test_a_relabeler_sees_whole_trajectories(make_disk):
    relabeler = Negate()
    items = [make_disk([20], relabeler=relabeler)[i] for i in range(16)]
    assert relabeler.lengths == [20] * 16
    assert all(list(item.obs) == ["x"] and (item.obs["x"] <= 0).all() for item in items)
    assert {int(item.time_idxs[0]) for item in items} == set(range(6))


def test_a_relabeler_that_does_nothing_costs_nothing(make_disk):
    assert origins(make_disk([20], relabeler=NoOpRelabeler())) == origins(make_disk([20]))


class Doubled(DiskTrajDataset):
    def _traj_to_rl_data(self, traj):
        data = super()._traj_to_rl_data(traj)
        data.rews = 2 * data.rews
        return data


def test_an_overridden_conversion_is_used(make_disk, tmp_path):
    make_disk([20])
    dset = Doubled(str(tmp_path), "d", 10)
    dset.configure(8, 5, "none", has_edit_rights=False)
    item = dset[0]
    assert torch.equal(item.rews, 2 * item.rl2s[1:, :1])


# ---------------------------------------------------------------------------------- eviction


def test_the_oldest_files_go_even_if_the_clock_steps_back(make_disk, make_traj, experiment):
    dset = make_disk([], dset_max_size=2)
    for sequence, unix_time in ((1, 500.0), (2, 400.0), (3, 300.0), (4, 200.0)):
        add(dset, make_traj(6), ours(sequence, unix_time))
    metrics = dset.on_end_of_collection(experiment)
    assert sorted(os.listdir(dset.fifo_path)) == [ours(3, 300.0), ours(4, 200.0)]
    assert metrics["Trajectory Files Deleted"] == 2
    assert metrics["Trajectory Files Saved in FIFO Replay Buffer"] == 2


def test_protected_files_are_sampled_and_never_deleted(make_disk, make_traj, experiment):
    dset = make_disk([6, 6, 6], dset_max_size=1)
    for i in range(4):
        add(dset, make_traj(6, tag=10 + i), f"demo_{i}.npz", kind="protected")
    metrics = dset.on_end_of_collection(experiment)
    assert metrics["Trajectory Files Saved in Protected Replay Buffer"] == 4
    assert metrics["Trajectory Files Deleted"] == 2
    assert {tag for tag, _, _ in origins(dset)} == {2, 10, 11, 12, 13}
    dset.delete()
    assert os.listdir(dset.fifo_path) == []
    assert len(os.listdir(dset.protected_path)) == 4
    dset.delete(delete_protected=True)
    assert os.listdir(dset.protected_path) == []


def test_metrics_count_files_and_gigabytes(make_disk, experiment):
    dset = make_disk([6, 60])
    size = sum(os.path.getsize(os.path.join(dset.fifo_path, f)) for f in os.listdir(dset.fifo_path))
    assert dset.on_end_of_collection(experiment) == {
        "Trajectory Files Saved in FIFO Replay Buffer": 2,
        "Trajectory Files Saved in Protected Replay Buffer": 0,
        "Total Trajectory Files in Replay Buffer": 2,
        "Trajectory Files Deleted": 0,
        "Buffer Disk Space (GB)": pytest.approx(size * 1e-9),
    }


def test_without_edit_rights_it_only_lists_again(make_disk, make_traj, experiment):
    dset = make_disk([6], dset_max_size=1)
    dset.configure(8, 5, "none", has_edit_rights=False)
    add(dset, make_traj(6, tag=5), "new_0_9.npz")
    assert dset.on_end_of_collection(experiment) == {}
    assert {tag for tag, _, _ in origins(dset)} == {0, 5}


def test_only_the_main_process_deletes_and_the_others_wait(make_disk, experiment):
    dset = make_disk([6, 6, 6], dset_max_size=1)
    waits = []
    experiment.accelerator = SimpleNamespace(
        num_processes=2, is_main_process=False, wait_for_everyone=lambda: waits.append(1)
    )
    dset.on_end_of_collection(experiment)
    assert len(os.listdir(dset.fifo_path)) == 3
    assert len(waits) == 2
    experiment.accelerator.is_main_process = True
    dset.on_end_of_collection(experiment)
    assert len(os.listdir(dset.fifo_path)) == 1


# ---------------------------------------------------------------------- what is not listed


def test_a_full_disk_leaves_nothing_visible(make_disk, make_traj, monkeypatch, experiment):
    def full(*args):
        raise OSError(28, "no space left on device")

    dset = make_disk([20])
    for call in ("writev", "rename"):
        with monkeypatch.context() as patched:
            patched.setattr(os, call, full)
            with pytest.raises(OSError, match="no space"):
                add(dset, make_traj(6), "new_0_9.npz")
    metrics = dset.on_end_of_collection(experiment)
    assert metrics["Total Trajectory Files in Replay Buffer"] == 1
    assert os.listdir(dset.fifo_path) == ["toy_0_0.npz"]


def test_pickles_are_ignored_with_a_word_unless_trusted(make_disk, make_traj):
    dset = make_disk([20])
    with open(os.path.join(dset.fifo_path, "toy_9_9.traj"), "wb") as file:
        pickle.dump("anything", file)
    with pytest.warns(AmagoWarning, match="trust_pickle=True"):
        dset._refresh_files()
    assert {tag for tag, _, _ in origins(dset)} == {0}


# -------------------------------------------------------------------------------- checkpoints


def test_a_restored_dataset_samples_the_same_files(make_disk, make_traj):
    dset = make_disk([20, 30])
    dset.set_epoch(4)
    expected, state = origins(dset), json.loads(json.dumps(dset.state_dict()))
    add(dset, make_traj(20, tag=7), "new_0_9.npz")
    add(dset, make_traj(20, tag=8), "demo.npz", kind="protected")
    restored = make_disk([])
    restored.load_state_dict(state)
    assert origins(restored) == expected


def test_newer_files_are_set_aside_when_a_restored_run_goes_on(make_disk, make_traj, experiment):
    dset = make_disk([20])
    state = dset.state_dict()
    add(dset, make_traj(20, tag=7), "new_0_9.npz")
    add(dset, make_traj(20, tag=8), "demo.npz", kind="protected")
    dset.load_state_dict(state)
    dset.configure_from_experiment(experiment)
    assert sorted(os.listdir(dset.fifo_path)) == ["new_0_9.npz", "toy_0_0.npz"]
    dset.on_learning_begins(experiment)
    add(dset, make_traj(20, tag=9), "collected_0_10.npz")
    dset.on_end_of_collection(experiment)
    assert sorted(os.listdir(dset.fifo_path)) == ["collected_0_10.npz", "toy_0_0.npz"]
    assert os.listdir(os.path.join(dset.buffer_path, "set_aside")) == ["new_0_9.npz"]
    assert {tag for tag, _, _ in origins(dset)} == {0, 8, 9}


def test_without_edit_rights_newer_files_stay(make_disk, make_traj, experiment):
    dset = make_disk([20])
    state = dset.state_dict()
    add(dset, make_traj(20, tag=7), "new_0_9.npz")
    dset.configure(8, 5, "none", has_edit_rights=False)
    dset.load_state_dict(state)
    assert {tag for tag, _, _ in origins(dset)} == {0}
    dset.on_end_of_collection(experiment)
    assert {tag for tag, _, _ in origins(dset)} == {0, 7}


def test_files_of_a_checkpoint_that_are_gone_are_missed_aloud(make_disk):
    dset = make_disk([20, 30])
    state = dset.state_dict()
    os.unlink(os.path.join(dset.fifo_path, "toy_0_0.npz"))
    with pytest.warns(AmagoWarning, match="1 of 2 trajectory files"):
        dset.load_state_dict(state)
    assert {tag for tag, _, _ in origins(dset)} == {1}


def test_unfinished_files_of_dead_writers_are_swept_at_the_start(make_disk, monkeypatch):
    swept = []
    monkeypatch.setattr("amago.loading.disk.sweep_temporaries", swept.append)
    dset = make_disk([20])
    assert swept == [dset.fifo_path]
