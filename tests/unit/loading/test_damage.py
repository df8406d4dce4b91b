import errno
import json
import os

import pytest
from torch.utils.data import DataLoader

from amago.core.errors import AmagoWarning, TrajectoryError
from amago.loading import RLData_pad_collate


def origins(dset, n=64):
    """For each item, which file it came from and where its window starts."""
    items = (dset[i] for i in range(n))
    return [(int(item.obs["x"][0, 0]) // 1000, int(item.time_idxs[0])) for item in items]


def test_a_file_that_vanished_gives_way_to_another(make_disk):
    dset = make_disk([20, 30, 40])
    before = origins(dset)
    os.unlink(os.path.join(dset.fifo_path, "toy_1_1.npz"))
    after = origins(dset)
    assert {tag for tag, _ in after} == {0, 2}
    assert [a for a, b in zip(after, before, strict=True) if b[0] != 1] == [
        b for b in before if b[0] != 1
    ]
    assert dset.num_vanished >= sum(tag == 1 for tag, _ in before)


def damage(dset, name, size=200):
    os.truncate(os.path.join(dset.fifo_path, name), size)


def test_a_damaged_file_goes_to_quarantine_and_the_others_are_sampled_as_before(make_disk):
    dset = make_disk([20, 30, 40])
    before = origins(dset)
    damage(dset, "toy_1_1.npz")
    fresh = make_disk([])
    with pytest.warns(AmagoWarning, match=r"toy_1_1\.npz"):
        after = origins(fresh)
    assert [a for a, b in zip(after, before, strict=True) if b[0] != 1] == [
        b for b in before if b[0] != 1
    ]
    quarantine = os.path.join(dset.buffer_path, "quarantine")
    assert sorted(os.listdir(quarantine)) == ["toy_1_1.npz", "toy_1_1.npz.reason.json"]
    with open(os.path.join(quarantine, "toy_1_1.npz.reason.json")) as file:
        assert "truncated" in json.load(file)["reason"]
    assert fresh.num_bad == 1


@pytest.mark.filterwarnings("ignore::amago.core.errors.AmagoWarning")
def test_metrics_tell_what_was_damaged_or_gone_since_the_last_ones(make_disk, experiment):
    dset = make_disk([20] * 6)
    damage(dset, "toy_1_1.npz")
    os.unlink(os.path.join(dset.fifo_path, "toy_2_2.npz"))
    origins(dset)
    vanished = dset.num_vanished
    metrics = dset.on_end_of_collection(experiment)
    assert metrics["Trajectory Files Quarantined"] == 1
    assert metrics["Trajectory Files Gone While Reading"] == vanished > 0
    origins(dset)
    metrics = dset.on_end_of_collection(experiment)
    assert not {"Trajectory Files Quarantined", "Trajectory Files Gone While Reading"} & {*metrics}


@pytest.mark.filterwarnings("ignore::amago.core.errors.AmagoWarning")
def test_what_loader_workers_meet_is_counted_as_well(make_disk, experiment):
    dset = make_disk([20] * 6)
    damage(dset, "toy_1_1.npz")
    os.unlink(os.path.join(dset.fifo_path, "toy_2_2.npz"))
    for _ in DataLoader(dset, 8, num_workers=2, collate_fn=RLData_pad_collate):
        pass
    metrics = dset.on_end_of_collection(experiment)
    assert metrics["Trajectory Files Quarantined"] == 1
    assert metrics["Trajectory Files Gone While Reading"] > 0
    assert dset.num_bad == 1


def test_what_an_earlier_run_put_into_quarantine_is_not_counted(make_disk):
    dset = make_disk([20, 30])
    damage(dset, "toy_1_1.npz")
    with pytest.warns(AmagoWarning):
        origins(dset)
    assert make_disk([]).num_bad == 0


def full_disk(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_quarantine_that_cannot_be_filled_stops_nothing(make_disk, monkeypatch):
    dset = make_disk([20, 30])
    damage(dset, "toy_1_1.npz")
    monkeypatch.setattr("amago.loading.damage.write_whole", full_disk)
    with pytest.warns(AmagoWarning, match="could not be put into quarantine: .*No space"):
        assert {tag for tag, _ in origins(dset)} == {0}


def test_without_edit_rights_a_damaged_file_stays_and_is_ignored(make_disk):
    dset = make_disk([20, 30])
    damage(dset, "toy_0_0.npz")
    dset.configure(8, 5, "none", has_edit_rights=False)
    with pytest.warns(AmagoWarning):
        assert {tag for tag, _ in origins(dset)} == {1}
    assert dset.num_bad == 1
    assert len(os.listdir(dset.fifo_path)) == 2
    dset._refresh_files()
    assert {tag for tag, _ in origins(dset)} == {1}


def test_a_damaged_protected_file_is_ignored_where_it_is(make_disk):
    dset = make_disk([20])
    path = os.path.join(dset.protected_path, "demo.npz")
    with open(path, "wb") as file:
        file.write(b"nonsense")
    dset._refresh_files()
    with pytest.warns(AmagoWarning, match="protected"):
        origins(dset)
    assert os.path.exists(path)


@pytest.mark.filterwarnings("ignore::amago.core.errors.AmagoWarning")
def test_many_damaged_files_stop_the_run(make_disk):
    dset = make_disk([20] * 8)
    for i in range(6):
        damage(dset, f"toy_{i}_{i}.npz")
    with pytest.raises(TrajectoryError, match="4 of 8 trajectory files"):
        origins(dset)
