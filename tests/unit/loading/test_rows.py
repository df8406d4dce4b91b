import pickle
import random
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amago.core.npz import write_npz
from amago.hindsight import FrozenTraj, Relabeler
from amago.loading.batch import RLData_pad_collate
from amago.loading.rows import BatchRows, Blocks, SchemaMismatchError
from amago.loading.windows import schema_of

FIELDS = ("rl2s", "rews", "dones", "actions", "time_idxs")
MEGABYTE = 1 << 20


def traj(length, tag):
    t = 1000.0 * tag + np.arange(length + 1, dtype=np.float32)[:, None]
    obs = {"image": np.broadcast_to(t[..., None] % 251, (length + 1, 3, 2)).astype(np.uint8)}
    dones = np.arange(1, length + 1)[:, None] == length
    return FrozenTraj(obs, np.hstack((t, t)), t.astype(np.int64), t[1:], dones, t[1:])


def put(rows, k, stored):
    schema, length = schema_of(stored.to_dict())
    flat = stored.to_dict()
    for field, array in zip(schema, rows.row(k, schema, length), strict=True):
        array[...] = flat[field.key]


def filled(lengths, blocks):
    rows = BatchRows(len(lengths), blocks)
    for k, length in enumerate(lengths):
        put(rows, k, traj(length, k))
    return rows


def assert_same(batch, expected):
    assert batch.obs.keys() == expected.obs.keys()
    pairs = [(batch.obs[key], expected.obs[key]) for key in batch.obs]
    pairs += [(getattr(batch, name), getattr(expected, name)) for name in FIELDS]
    for ours, theirs in pairs:
        assert ours.dtype == theirs.dtype
        assert ours.stride() == theirs.stride()
        assert torch.equal(ours, theirs)


lengths = st.lists(st.integers(1, 20), min_size=1, max_size=6)


@given(batches=st.lists(lengths, min_size=1, max_size=4))
def test_batches_are_those_of_sequences_stacked_and_padded(batches):
    blocks = Blocks()
    for each in batches:
        plain = RLData_pad_collate([filled([n], Blocks())[0] for n in each])  # tag 0 in each
        rows = BatchRows(len(each), blocks)
        for k, n in enumerate(each):
            put(rows, k, traj(n, 0))
        assert_same(RLData_pad_collate(rows), plain)


def test_a_sequence_of_a_batch_can_be_looked_at():
    rows = filled([3, 5], Blocks())
    assert [len(data) for data in rows] == [3, 5]
    assert rows[-1].rews[:, 0].tolist() == [1001, 1002, 1003, 1004, 1005]
    assert [len(data) for data in rows[:1]] == [3]
    with pytest.raises(IndexError):
        rows[2]


def test_rows_written_before_the_batch_grew_are_kept():
    rows = filled([2, 9, 4], Blocks())
    assert rows[0].rews[:, 0].tolist() == [1, 2]
    assert rows[2].rews[:, 0].tolist() == [2001, 2002, 2003, 2004]


def test_sequences_of_other_arrays_are_refused():
    rows = filled([2, 3], Blocks())
    other = traj(3, 0)
    other.obs = {"vector": other.rl2s}
    with pytest.raises(SchemaMismatchError):
        put(rows, 1, other)


# ------------------------------------------------------------------------------- memory


def array(blocks, fill):
    made = blocks.array((MEGABYTE, 1), np.dtype(np.uint8))
    made[:] = fill
    return made


@pytest.mark.parametrize(
    "hold",
    [
        lambda a: a,
        lambda a: a[5:7],
        torch.from_numpy,
        lambda a: torch.from_numpy(a[3:])[10:20].view(-1),
        lambda a: torch.from_numpy(a).numpy()[1:],
        memoryview,
    ],
)
def test_memory_is_used_again_only_when_nothing_refers_to_it(hold):
    blocks = Blocks()
    held = hold(array(blocks, 7))
    address = np.asarray(held).ctypes.data
    for fill in range(20):
        array(blocks, fill)
        assert np.asarray(held).max() == np.asarray(held).min() == 7
    del held
    addresses = {array(blocks, 9).ctypes.data + offset for offset in range(20) for _ in range(3)}
    assert address in addresses


def test_a_loop_that_keeps_one_batch_needs_the_memory_of_two():
    blocks = Blocks()
    addresses, kept = set(), None
    for fill in range(30):
        kept = array(blocks, fill)
        addresses.add(kept.ctypes.data)
    assert len(addresses) == 2


def test_who_keeps_every_batch_gets_new_memory_for_each():
    blocks = Blocks()
    kept = [array(blocks, fill) for fill in range(30)]
    assert [int(one[0, 0]) for one in kept] == [*range(30)]
    assert len(blocks._blocks) == 8


@pytest.mark.parametrize("size", [1, 1000, 2 * MEGABYTE])
def test_memory_is_aligned_as_that_of_torch(size):
    blocks = Blocks()
    for _ in range(3):
        assert blocks.array((size,), np.dtype(np.uint8)).ctypes.data % 64 == 0


def test_memory_is_not_sent_to_other_processes():
    blocks = Blocks()
    array(blocks, 1)
    assert len(pickle.dumps(blocks)) < 1000
    assert pickle.loads(pickle.dumps(blocks))._blocks == []


# ------------------------------------------------------------------------------- datasets


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("sampling", ["none", "left", "right", "both", "center"])
def test_a_batch_of_a_dataset_is_its_items_stacked_and_padded(make_disk, compressed, sampling):
    dset = make_disk([1, 3, 8, 40], compressed=compressed, max_seq_len=6, sampling=sampling)
    for indices in ([0, 1, 2, 3, 4, 5], [60, 7], [8]):
        rows = dset.__getitems__(indices)
        assert isinstance(rows, BatchRows)
        assert_same(RLData_pad_collate(rows), RLData_pad_collate([dset[i] for i in indices]))


def test_a_batch_of_whole_trajectories_is_their_stack(make_disk):
    dset = make_disk([1, 3, 8, 40], max_seq_len=None)
    batch = RLData_pad_collate(dset.__getitems__([*range(10)]))
    assert_same(batch, RLData_pad_collate([dset[i] for i in range(10)]))


def test_a_damaged_file_leaves_the_rest_of_its_batch_as_it_was(make_disk):
    whole = make_disk([5] * 6)
    before = RLData_pad_collate([whole[i] for i in range(32)])
    victim = f"{whole.fifo_path}/toy_2_2.npz"
    with open(victim, "r+b") as file:
        file.truncate(300)
    dset = make_disk(max_seq_len=5)
    with pytest.warns(UserWarning, match=r"toy_2_2.npz"):
        batch = RLData_pad_collate(dset.__getitems__([*range(32)]))
    hit = before.rews[:, 0, 0] == 2001
    assert 0 < hit.sum() < 32
    assert torch.equal(batch.rews[~hit], before.rews[~hit])
    assert not (batch.rews[:, 0, 0] == 2001).any()


class Shaken(Relabeler):
    """Draws from every global generator; needs files with other arrays to become alike."""

    def relabel(self, traj):
        noise = random.random() + np.random.rand() + float(torch.rand(1))
        traj.rews = traj.rews + np.float32(noise)
        traj.obs = {"x": traj.obs["x"].astype(np.float32)}
        return traj


def global_draws():
    return random.random(), np.random.rand(), float(torch.rand(1))


def test_a_batch_of_relabelled_trajectories_is_its_items(make_disk, make_traj):
    dset = make_disk([1, 3, 8, 40], relabeler=Shaken())
    other = make_traj(9, 7)
    other.obs = {"x": other.obs["x"].astype(np.float64), "z": other.rl2s}
    write_npz(f"{dset.fifo_path}/toy_8_8.npz", other.to_dict())
    dset = make_disk(relabeler=Shaken())
    plain = RLData_pad_collate([dset[i] for i in range(30)])
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = global_draws()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    batch = RLData_pad_collate(dset.__getitems__([*range(30)]))
    assert global_draws() == expected
    assert_same(batch, plain)
    assert (plain.obs["x"][:, 0, 0] // 1000 == 7).any()


def test_items_that_a_subclass_makes_itself_are_used(make_disk):
    dset = make_disk([5, 6])
    cls = type(dset)
    doubled = type("Doubled", (cls,), {"__getitem__": lambda self, i: cls.__getitem__(self, 2 * i)})
    dset.__class__ = doubled
    batch = RLData_pad_collate(dset.__getitems__([3, 4]))
    dset.__class__ = cls
    assert_same(batch, RLData_pad_collate([dset[6], dset[8]]))


def test_batches_of_the_loader_are_not_written_to_while_somebody_holds_them(tmp_path, make_disk):
    images = traj(40, 1)
    images.obs = {"image": np.zeros((41, 64, 64, 3), np.uint8)}
    dset = make_disk()
    for i in range(5):
        images.obs["image"][...] = i
        write_npz(f"{dset.fifo_path}/image_{i}_{i}.npz", images.to_dict())
    dset = make_disk(max_seq_len=20)
    load = partial(torch.utils.data.DataLoader, dset, batch_size=4, collate_fn=RLData_pad_collate)
    kept = list(load())
    for batch, again in zip(kept, load(), strict=True):
        assert_same(batch, again)
