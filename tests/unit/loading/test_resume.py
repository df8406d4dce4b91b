"""A run that dies at any moment and goes on from its checkpoint sees what it would have seen."""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from amago.core.errors import AmagoWarning
from amago.core.npz import write_npz
from amago.loading import DiskTrajDataset
from amago.loading.filenames import file_stem, next_sequence

EPOCHS = 8
MOMENTS = ("collecting", "collected", "listed", "trained", "state taken", "committed", "saved")
OWN, OTHER = 0xAA, 0xBB


class Died(Exception):
    """In place of `kill -9`."""


@dataclass
class Run:
    """What an experiment does with a dataset, epoch by epoch, and what it saw."""

    root: str
    ckpt_every: int
    files_per_epoch: list[int]
    dies: set[tuple[int, str]]
    seen: dict[int, tuple] = field(default_factory=dict)
    checkpoint: str | None = None
    clock: count = field(default_factory=lambda: count(1000))

    def __post_init__(self):
        self.settings = SimpleNamespace(
            ckpt_interval=self.ckpt_every, own_writers={f"{OWN:08x}"}, accelerator=None
        )

    def to_the_end(self):
        while True:
            try:
                return self.go_on()
            except Died:
                continue

    def go_on(self):
        dset = DiskTrajDataset(self.root, "d", dset_max_size=5)
        dset.configure(10, 3, "both", has_edit_rights=True, seed=3)
        first = 0
        if self.checkpoint is not None:
            state = json.loads(self.checkpoint)
            dset.load_state_dict(state)
            first = state["epoch"] + 1
        dset.on_learning_begins(self.settings)
        for epoch in range(first, EPOCHS):
            self.one_epoch(dset, epoch)

    def one_epoch(self, dset, epoch):
        for k in range(self.files_per_epoch[epoch]):
            self.write(dset, epoch, k)
            self.perhaps_die(epoch, "collecting")
        self.perhaps_die(epoch, "collected")
        metrics = dset.on_end_of_collection(self.settings)
        self.perhaps_die(epoch, "listed")
        dset.set_epoch(epoch)
        items = [dset[i].rl2s.numpy().tobytes() for i in range(len(dset))] if dset._keys else []
        self.seen[epoch] = ([key.rpartition("_")[0] for key in dset._keys], items, metrics)
        self.perhaps_die(epoch, "trained")
        if epoch % self.ckpt_every == 0:
            state = json.dumps(dset.state_dict())
            self.perhaps_die(epoch, "state taken")
            self.checkpoint = state
            self.perhaps_die(epoch, "committed")
            dset.on_checkpoint_saved()
            self.perhaps_die(epoch, "saved")

    def write(self, dset, epoch, k):
        sequence = next_sequence(os.listdir(dset.fifo_path))
        time = next(self.clock)
        stem = file_stem("toy", sequence, OWN, 7, length=6, unix_time=time)
        write_npz(f"{dset.fifo_path}/{stem}.npz", numbered(10 * epoch + k))

    def perhaps_die(self, epoch, moment):
        if self.checkpoint is not None and (epoch, moment) in self.dies:
            self.dies.discard((epoch, moment))
            raise Died


def numbered(tag, length=5):
    t = np.arange(length + 1, dtype=np.float32)[:, None] + 100 * tag
    return {
        "_OBS_KEY_x": t,
        "rl2s": np.hstack((t, -t)),
        "time_idxs": np.arange(length + 1)[:, None],
        "rews": t[1:],
        "dones": np.zeros((length, 1), bool),
        "actions": -t[1:],
    }


def result(ckpt_every, files_per_epoch, dies):
    root = tempfile.mkdtemp()
    try:
        run = Run(root, ckpt_every, files_per_epoch, set(dies))
        run.to_the_end()
        left = {kind: sorted(os.listdir(f"{root}/d/buffer/{kind}")) for kind in ("fifo",)}
        aside = f"{root}/d/buffer/set_aside"
        num_aside = len(os.listdir(aside)) if os.path.isdir(aside) else 0
        names = [name.rpartition("_")[0] for name in left["fifo"]]
        return run.seen, names, num_aside
    finally:
        shutil.rmtree(root)


deaths = st.lists(
    st.tuples(st.integers(0, EPOCHS - 1), st.sampled_from(MOMENTS)), min_size=1, max_size=5
)


@settings(max_examples=10)
@given(st.integers(1, 4), st.lists(st.integers(0, 3), min_size=EPOCHS, max_size=EPOCHS), deaths)
@example(3, [3] * EPOCHS, [(5, "trained")])  # evicted between checkpoint and death
@example(1, [2] * EPOCHS, [(4, "committed"), (6, "state taken")])
@example(4, [2] * EPOCHS, [(3, "collecting"), (5, "collecting"), (7, "collected")])
def test_epochs_are_the_same_whenever_the_run_dies(ckpt_every, files_per_epoch, dies):
    seen, names, _ = result(ckpt_every, files_per_epoch, [])
    seen_again, names_again, num_aside = result(ckpt_every, files_per_epoch, dies)
    assert seen_again == seen
    assert names_again == names
    if ckpt_every == 1:
        assert num_aside == 0  # deleted by the next checkpoint


# ------------------------------------------------------------------------------- the two steps


@pytest.fixture
def run(tmp_path):
    """A run with a checkpoint every other epoch, and its dataset of at most 2 files."""
    one = Run(str(tmp_path), 2, [0] * EPOCHS, set())
    dset = DiskTrajDataset(str(tmp_path), "d", dset_max_size=2)
    dset.configure(24, 3, "none", has_edit_rights=True, seed=3)
    return one, dset


def stored(dset, kind="fifo"):
    path = os.path.join(dset.buffer_path, kind)
    return len(os.listdir(path)) if os.path.isdir(path) else 0


def write(run, dset, n, epoch=0):
    for k in range(n):
        run.write(dset, epoch, k)


def tags(dset):
    return {int(dset[i].rl2s[0, 0]) // 100 for i in range(24)}


def copy_of(dset):
    other = DiskTrajDataset(dset.dset_root, "d", dset_max_size=2)
    other.configure(24, 3, "none", has_edit_rights=True, seed=3)
    return other


def test_an_evicted_file_leaves_the_index_at_once_and_the_disk_with_the_next_checkpoint(run):
    run, dset = run
    write(run, dset, 5)
    assert dset.on_end_of_collection(run.settings)["Trajectory Files Deleted"] == 3
    assert tags(dset) == {3, 4}
    assert stored(dset) == 5
    assert dset.on_end_of_collection(run.settings)["Trajectory Files Deleted"] == 0
    dset.on_checkpoint_saved()
    assert stored(dset) == 5, "no state was taken: nothing is safe"
    dset.state_dict()
    assert stored(dset) == 5
    dset.on_checkpoint_saved()
    assert stored(dset) == 2


def test_what_was_evicted_after_the_state_was_taken_outlives_that_checkpoint(run):
    run, dset = run
    write(run, dset, 3)
    dset.on_end_of_collection(run.settings)
    state = dset.state_dict()
    write(run, dset, 2, epoch=1)
    dset.on_end_of_collection(run.settings)
    dset.on_checkpoint_saved()
    assert stored(dset) == 4
    again = copy_of(dset)
    again.load_state_dict(state)
    assert tags(again) == {1, 2}


def test_the_disk_space_is_that_of_evicted_files_too_until_they_are_deleted(run):
    run, dset = run
    write(run, dset, 4)
    before = dset.on_end_of_collection(run.settings)["Buffer Disk Space (GB)"]
    dset.state_dict()
    dset.on_checkpoint_saved()
    after = dset.on_end_of_collection(run.settings)["Buffer Disk Space (GB)"]
    assert after == pytest.approx(before / 2)


@pytest.mark.parametrize("interval", [None, 0])
def test_without_checkpoints_an_evicted_file_is_deleted_at_once(run, interval):
    run, dset = run
    run.settings.ckpt_interval = interval
    write(run, dset, 5)
    dset.on_end_of_collection(run.settings)
    assert stored(dset) == 2


def test_every_rank_evicts_the_same_and_the_main_one_deletes(run):
    run, main = run
    other = copy_of(main)
    write(run, main, 5)
    for dset, is_main in ((main, True), (other, False)):
        run.settings.accelerator = SimpleNamespace(
            num_processes=2, is_main_process=is_main, wait_for_everyone=lambda: None
        )
        dset.on_end_of_collection(run.settings)
        dset.state_dict()
    assert main._keys == other._keys
    other.on_checkpoint_saved()
    assert stored(main) == 5
    main.on_checkpoint_saved()
    assert stored(main) == 2
    other.on_end_of_collection(run.settings)
    assert main._keys == other._keys


def test_files_written_in_an_unfinished_epoch_are_kept_and_join_at_its_end(run):
    run, dset = run
    write(run, dset, 1)
    dset.on_end_of_collection(run.settings)
    write(run, dset, 1, epoch=1)
    state = json.loads(json.dumps(dset.state_dict()))
    write(run, dset, 1, epoch=2)  # after the checkpoint: to be written again
    again = copy_of(dset)
    again.load_state_dict(state)
    again.on_learning_begins(run.settings)
    assert tags(again) == {0}
    again.on_end_of_collection(run.settings)
    assert tags(again) == {0, 10}


def test_files_of_other_writers_stay_and_join_later(run):
    run, dset = run
    write(run, dset, 1)
    dset.on_end_of_collection(run.settings)
    state = dset.state_dict()
    stem = file_stem("toy", 77, OTHER, 7, length=6, unix_time=5.0)
    write_npz(f"{dset.fifo_path}/{stem}.npz", numbered(8))
    write_npz(f"{dset.fifo_path}/named_by_9.5.npz", numbered(9))
    write(run, dset, 1, epoch=1)
    again = copy_of(dset)
    again.dset_max_size = 9
    again.load_state_dict(state)
    assert tags(again) == {0}
    again.on_learning_begins(run.settings)
    assert stored(again, "set_aside") == 1
    assert tags(again) == {0}
    again.on_end_of_collection(run.settings)
    assert tags(again) == {0, 8, 9}


def test_loading_moves_nothing(run):
    run, dset = run
    state = dset.state_dict()
    write(run, dset, 3)
    again = copy_of(dset)
    again.load_state_dict(state)
    again._refresh_files()
    assert again._keys == []
    assert stored(again) == 3


def test_deleting_the_buffer_takes_what_is_evicted_or_set_aside_too(run):
    run, dset = run
    write(run, dset, 4)
    dset.on_end_of_collection(run.settings)
    dset.load_state_dict({**dset.state_dict(), "keys": []})
    dset.on_learning_begins(run.settings)
    assert stored(dset, "set_aside") == 2
    dset.delete()
    assert stored(dset) == stored(dset, "set_aside") == 0


def test_a_second_call_of_learn_keeps_what_the_last_checkpoint_needs(run):
    run, dset = run
    write(run, dset, 2)
    dset.on_end_of_collection(run.settings)
    dset.state_dict()
    dset.on_checkpoint_saved()
    write(run, dset, 2, epoch=1)
    dset.on_end_of_collection(run.settings)
    dset.on_learning_begins(run.settings)
    assert stored(dset) == 4


def test_the_mixture_passes_everything_on(run):
    from amago.loading import MixtureOfDatasets

    run, dset = run
    mixed = MixtureOfDatasets([dset], [1.0])
    mixed.configure(24, 3, "none", has_edit_rights=True)
    run.settings.epoch = 0
    write(run, dset, 4)
    mixed.on_end_of_collection(run.settings)
    state = mixed.state_dict()
    mixed.on_checkpoint_saved()
    assert stored(dset) == 2
    write(run, dset, 2, epoch=1)
    mixed.load_state_dict(state)
    mixed.on_learning_begins(run.settings)
    assert stored(dset, "set_aside") == 2
    assert mixed.make_room() == 2
    assert stored(dset, "set_aside") == 0


# ------------------------------------------------------------------------------- a full disk


def test_room_is_made_of_what_is_on_its_way_out_first(run):
    run, dset = run
    write(run, dset, 5)
    dset.on_end_of_collection(run.settings)
    assert dset.make_room() == 3
    assert tags(dset) == {3, 4}


def test_room_is_made_of_the_oldest_tenth_then_and_protected_files_stay(run):
    run, dset = run
    dset.dset_max_size = 100
    write(run, dset, 30)
    write_npz(f"{dset.protected_path}/demo.npz", numbered(99))
    dset.on_end_of_collection(run.settings)
    assert dset.make_room() == 3
    assert dset.make_room() == 2
    dset.on_end_of_collection(run.settings)
    assert stored(dset) == 25
    assert stored(dset, "protected") == 1
    assert min(int(dset[i].rl2s[0, 0]) // 100 for i in range(24)) >= 5


def test_room_is_made_down_to_the_last_file(run):
    run, dset = run
    write(run, dset, 1)
    assert dset.make_room() == 1
    assert dset.make_room() == 0


def test_room_made_of_what_the_checkpoint_needs_is_told(run):
    run, dset = run
    write(run, dset, 2)
    dset.on_end_of_collection(run.settings)
    dset.state_dict()
    dset.on_checkpoint_saved()
    write(run, dset, 2, epoch=1)
    dset.on_end_of_collection(run.settings)
    with pytest.warns(AmagoWarning, match="The last checkpoint needs 2 of them"):
        assert dset.make_room() == 2


def test_without_edit_rights_no_room_is_made(run):
    run, dset = run
    dset.configure(24, 3, "none", has_edit_rights=False)
    write(run, dset, 5)
    assert dset.make_room() == 0
    assert stored(dset) == 5
