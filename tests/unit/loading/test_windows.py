import os
import pickle
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amago.core import npz
from amago.core.errors import ConfigError, TrajectoryError
from amago.core.npz import write_npz
from amago.hindsight import FrozenTraj, Timestep, Trajectory
from amago.loading.windows import WindowReader, load_traj_from_disk, schema_of, to_rl_data


def assert_is_window(window, traj, start, stop):
    for key, value in traj.obs.items():
        np.testing.assert_array_equal(window.obs[key], value[start : stop + 1])
    np.testing.assert_array_equal(window.rl2s, traj.rl2s[start : stop + 1])
    np.testing.assert_array_equal(window.time_idxs, traj.time_idxs[start : stop + 1])
    np.testing.assert_array_equal(window.rews, traj.rews[start:stop])
    np.testing.assert_array_equal(window.dones, traj.dones[start:stop])
    np.testing.assert_array_equal(window.actions, traj.actions[start:stop])
    assert window.dones.dtype == torch.bool
    assert window.time_idxs.dtype == torch.int64


@pytest.fixture(params=["ours", "numpy", "compressed"])
def stored(request, tmp_path, make_traj):
    traj, path = make_traj(40, tag=3), str(tmp_path / "t.npz")
    if request.param == "numpy":
        np.savez(path, **traj.to_dict())
    else:
        write_npz(path, traj.to_dict(), compressed=request.param == "compressed")
    return path, traj


def test_a_window_is_the_slice_of_the_whole(stored):
    path, traj = stored
    reader = WindowReader()
    rng = np.random.default_rng(0)
    for _ in range(50):
        start = int(rng.integers(40))
        stop = int(rng.integers(start + 1, 41))
        assert_is_window(reader.read(path, lambda n: (start, stop)), traj, start, stop)  # noqa: B023


def test_the_whole_is_what_is_stored_in_the_order_of_the_file(stored):
    path, traj = stored
    reader = WindowReader(must_agree=False)
    for _ in range(2):
        flat, expected = reader.read_all(path).to_dict(), load_traj_from_disk(path).to_dict()
        assert [*flat] == [*expected]
        assert [*traj.obs] == [*reader.read_all(path).obs] == ["x", "n"]  # not sorted
        for key, value in expected.items():
            np.testing.assert_array_equal(flat[key], value)
            assert flat[key].dtype == value.dtype
            assert flat[key].flags.writeable


def test_the_window_is_picked_by_the_number_of_transitions(stored):
    seen = []
    WindowReader().read(stored[0], lambda n: seen.append(n) or (0, n))
    assert seen == [40]


def test_no_descriptor_stays_open(stored):
    reader = WindowReader()
    before = len(os.listdir("/proc/self/fd"))
    windows = [reader.read(stored[0], lambda n: (0, n)) for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(windows) == 20


def test_a_replaced_file_is_examined_again(tmp_path, make_traj):
    path, reader = str(tmp_path / "t.npz"), WindowReader()
    for length in (10, 20):
        traj = make_traj(length, tag=length)
        write_npz(path, traj.to_dict())
        assert_is_window(reader.read(path, lambda n: (n - 5, n)), traj, length - 5, length)


def test_damage_is_found_at_first_touch(tmp_path, make_traj):
    path = tmp_path / "t.npz"
    write_npz(str(path), make_traj(50).to_dict())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrajectoryError, match="checksum"):
        WindowReader().read(str(path), lambda n: (0, 1))


def first_read(tmp_path, traj, compressed=False):
    """Write `traj` and read all of it; returns the path and the reader, which knows the file."""
    path, reader = str(tmp_path / "t.npz"), WindowReader()
    write_npz(path, traj.to_dict(), compressed=compressed)
    reader.read(path, lambda n: (0, n))
    return path, reader


def test_a_file_cut_after_it_was_examined_is_rejected_and_never_read_as_something_else(
    tmp_path, make_traj
):
    path, reader = first_read(tmp_path, make_traj(50))
    size = os.path.getsize(path)
    for length in range(size - 1, 0, -size // 40):
        os.truncate(path, length)
        with pytest.raises(TrajectoryError):
            reader.read(path, lambda n: (0, n))


def test_a_file_cut_between_the_look_and_the_read_is_rejected(tmp_path, make_traj, monkeypatch):
    path, reader = first_read(tmp_path, make_traj(50))

    def pick_while_it_is_cut(n):
        os.truncate(path, os.path.getsize(path) // 2)
        return 0, n

    with pytest.raises(TrajectoryError, match="became shorter while it was read"):
        reader.read(path, pick_while_it_is_cut)


def test_a_file_written_to_between_the_look_and_the_read_is_rejected(tmp_path, make_traj):
    path, reader = first_read(tmp_path, make_traj(50))
    os.utime(path, ns=(0, 0))
    reader.read(path, lambda n: (0, n))

    def pick_while_it_is_written(n):
        with open(path, "r+b") as file:
            file.seek(-40, os.SEEK_END)
            file.write(b"?")
        return 0, n

    with pytest.raises(TrajectoryError, match="written to while it was read"):
        reader.read(path, pick_while_it_is_written)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("key", "value"),
    [("rews", np.nan), ("rl2s", np.inf), ("actions", -np.inf), ("_OBS_KEY_x", np.nan)],
)
def test_a_number_that_is_not_finite_is_found_at_first_touch(
    tmp_path, make_traj, key, value, compressed
):
    flat = make_traj(50).to_dict()
    flat[key][40, 0] = value
    path = str(tmp_path / "t.npz")
    write_npz(path, flat, compressed=compressed)
    for read in (
        lambda: WindowReader().read(path, lambda n: (0, 1)),
        lambda: load_traj_from_disk(path),
    ):
        with pytest.raises(TrajectoryError, match=rf"'{key}' holds .* not finite \({value}\)"):
            read()


def test_a_boolean_that_is_neither_0_nor_1_is_found(tmp_path, make_traj):
    flat = make_traj(5).to_dict()
    flat["dones"].view(np.uint8)[3] = 2
    path = str(tmp_path / "t.npz")
    write_npz(path, flat)
    with pytest.raises(TrajectoryError, match="'dones' holds a boolean"):
        WindowReader().read(path, lambda n: (0, n))


def test_large_arrays_are_looked_through_in_blocks(tmp_path, make_traj, monkeypatch):
    monkeypatch.setattr("amago.loading.windows._BLOCK", 64)
    traj = make_traj(50, tag=2)
    path, reader = first_read(tmp_path, traj)
    assert_is_window(reader.read(path, lambda n: (3, 9)), traj, 3, 9)
    flat = traj.to_dict()
    flat["_OBS_KEY_x"][50, 1] = np.nan
    write_npz(path, flat)
    with pytest.raises(TrajectoryError, match="not finite"):
        reader.read(path, lambda n: (0, 1))


def test_what_is_implausible_but_harmless_is_read(tmp_path, make_traj):
    traj = make_traj(5)
    traj.actions = traj.actions * 1e6
    traj.time_idxs = traj.time_idxs[::-1].copy()
    path, reader = first_read(tmp_path, traj)
    data = reader.read(path, lambda n: (0, n))
    assert np.array_equal(data.actions, traj.actions)
    assert np.array_equal(data.time_idxs, traj.time_idxs)


def test_files_are_forgotten_beyond_the_limit_and_examined_again(tmp_path, make_traj, monkeypatch):
    examined = []
    crc32 = zlib.crc32
    monkeypatch.setattr("zlib.crc32", lambda data, crc=0: examined.append(1) or crc32(data, crc))
    reader = WindowReader(max_layouts=2)

    def is_examined(i):
        examined.clear()
        reader.read(str(tmp_path / f"{i}.npz"), lambda n: (0, n))
        return bool(examined)

    for i in range(5):
        write_npz(str(tmp_path / f"{i}.npz"), make_traj(3, i).to_dict())
    assert [is_examined(i) for i in range(5)] == [True] * 5
    assert [is_examined(i) for i in (3, 4)] == [False] * 2
    assert [is_examined(i) for i in (0, 4, 1)] == [True, False, True]
    assert len(reader._known) == 2


def read_alike(tmp_path, make_traj, monkeypatch, flats):
    """Write `flats`, which have one form, and read them with one reader; how many were parsed."""
    parsed = []
    read_table = npz.read_table
    monkeypatch.setattr(npz, "read_table", lambda fd: parsed.append(1) or read_table(fd))
    reader = WindowReader()
    for i, flat in enumerate(flats):
        write_npz(str(tmp_path / f"{i}.npz"), flat)
        data = reader.read(str(tmp_path / f"{i}.npz"), lambda n: (2, 5))
        np.testing.assert_array_equal(data.rews, flat["rews"][2:5])
        np.testing.assert_array_equal(data.obs["x"], flat["_OBS_KEY_x"][2:6])
    return len(parsed)


def test_only_the_first_two_of_many_like_files_are_parsed(tmp_path, make_traj, monkeypatch):
    flats = [make_traj(9, tag).to_dict() for tag in range(6)]
    assert read_alike(tmp_path, make_traj, monkeypatch, flats) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [("rews", np.nan), ("rl2s", np.inf), ("actions", -np.inf), ("_OBS_KEY_x", np.nan)],
)
@pytest.mark.parametrize("row", [0, 8])
def test_a_number_that_is_not_finite_is_found_without_parsing(
    tmp_path, make_traj, monkeypatch, key, value, row
):
    flats = [make_traj(9, tag).to_dict() for tag in range(6)]
    flats[5][key][row, -1] = value
    with pytest.raises(TrajectoryError, match=rf"'{key}' holds .* not finite \({value}\)"):
        read_alike(tmp_path, make_traj, monkeypatch, flats)


def test_a_file_like_others_that_is_damaged_is_refused(tmp_path, make_traj):
    paths = [tmp_path / f"{i}.npz" for i in range(4)]
    for i, path in enumerate(paths):
        write_npz(str(path), make_traj(50, i).to_dict())
    content = bytearray(paths[3].read_bytes())
    content[len(content) // 2] ^= 1
    paths[3].write_bytes(content)
    reader = WindowReader()
    for path in paths[:3]:
        reader.read(str(path), lambda n: (0, n))
    with pytest.raises(TrajectoryError, match="checksum"):
        reader.read(str(paths[3]), lambda n: (0, 1))


@pytest.mark.parametrize("gap", [0, 1 << 20])
def test_rows_are_read_with_one_call_or_with_one_a_field(tmp_path, make_traj, monkeypatch, gap):
    monkeypatch.setattr("amago.loading.windows._GAP", gap)
    monkeypatch.setattr("amago.loading.windows._NOWHERE", memoryview(bytearray(gap)))
    flat = make_traj(40, 2).to_dict()
    members = {key: flat[key] for key in sorted(flat, reverse=True)}  # not in the order of fields
    for name, stored in (("a", flat), ("b", members)):
        write_npz(str(tmp_path / name), stored)
        data = WindowReader().read(str(tmp_path / name), lambda n: (7, 30))
        assert_is_window(data, make_traj(40, 2), 7, 30)


def test_files_must_hold_the_same_arrays(tmp_path, make_traj):
    first, other = make_traj(3), make_traj(3)
    other.obs["x"] = other.obs["x"].astype(np.float64)
    reader = WindowReader()
    for name, traj in (("a", first), ("b", other)):
        write_npz(str(tmp_path / name), traj.to_dict())
    reader.read(str(tmp_path / "a"), lambda n: (0, n))
    with pytest.raises(TrajectoryError, match=r"x float64\[2\] instead of .*x float32\[2\]"):
        reader.read(str(tmp_path / "b"), lambda n: (0, n))
    reader.read(str(tmp_path / "a"), lambda n: (0, n))


def test_a_reader_of_files_that_need_not_agree_reads_all(tmp_path, make_traj):
    reader = WindowReader(must_agree=False)
    for i in range(6):
        traj = make_traj(3, i)
        traj.obs["x"] = traj.obs["x"].astype((np.float32, np.float64, np.int32)[i % 3])
        write_npz(str(tmp_path / f"{i}"), traj.to_dict())
        found = reader.read_all(str(tmp_path / f"{i}"))
        np.testing.assert_array_equal(found.obs["x"], traj.obs["x"])
        assert found.obs["x"].dtype == traj.obs["x"].dtype
    flat = make_traj(3).to_dict() | {"actions": np.zeros((4, 2), np.float32)}
    write_npz(str(tmp_path / "wrong"), flat)
    with pytest.raises(TrajectoryError, match="do not fit"):
        reader.read_all(str(tmp_path / "wrong"))


def edited(traj, **changes):
    flat = traj.to_dict()
    for key, change in changes.items():
        flat[key] = change(flat[key]) if key in flat else change
    return {key: value for key, value in flat.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"rews": lambda x: None},
        {"_OBS_KEY_x": lambda x: None, "_OBS_KEY_n": lambda x: None},
        {"extra": np.zeros(3)},
        {"rews": lambda x: x.astype(np.float64)},
        {"dones": lambda x: x.astype(np.uint8)},
        {"time_idxs": lambda x: x.astype(np.int32)},
        {"rews": lambda x: x[:, 0]},
        {"rews": lambda x: x[:-1]},
        {"rl2s": lambda x: x[:, :-1]},
        {"rl2s": lambda x: x[:-1]},
        {"_OBS_KEY_x": lambda x: x[:-1]},
        {"_OBS_KEY_n": lambda x: np.uint8(1)},
        {"time_idxs": lambda x: np.hstack((x, x))},
    ],
)
def test_what_is_no_trajectory_is_rejected(make_traj, changes):
    with pytest.raises(TrajectoryError):
        schema_of(edited(make_traj(5), **changes))


def test_a_trajectory_without_transitions_is_rejected(make_traj):
    with pytest.raises(TrajectoryError, match="0 transitions"):
        schema_of(make_traj(0).to_dict())


@given(st.integers(1, 30))
def test_a_trajectory_needs_one_transition(length):
    t = np.arange(length + 1, dtype=np.float32)[:, None]
    flat = FrozenTraj({"x": t}, np.hstack((t, t)), t.astype(int), t[1:], t[1:] > 5, t[1:]).to_dict()
    assert schema_of(flat)[1] == length


def test_tensors_of_a_relabelled_trajectory_have_the_right_types(make_traj):
    traj = make_traj(4)
    traj.rews = traj.rews.astype(np.float64)[::-1]
    traj.dones = traj.dones.astype(np.uint8)
    traj.obs["n"] = traj.obs["n"][::-1]
    data = to_rl_data(traj)
    assert data.rews.dtype == torch.float32
    assert data.dones.dtype == torch.bool
    assert data.rews[:, 0].tolist() == [4, 3, 2, 1]
    assert data.obs["n"].tolist() == [4, 3, 2, 1, 0]


def one_step(t):
    zeros = np.zeros((1, 2), np.uint8)
    return Timestep({"x": np.ones((1, 3))}, zeros, np.ones(1), np.array([t]), np.zeros(1, bool), 1)


def test_a_pickle_is_read_only_when_trusted(tmp_path):
    Trajectory([one_step(0), one_step(1)]).save_to_disk(str(tmp_path / "t"), "trajectory")
    with pytest.raises(ConfigError, match="trust_pickle=True"):
        load_traj_from_disk(str(tmp_path / "t.traj"))
    assert len(load_traj_from_disk(str(tmp_path / "t.traj"), trust_pickle=True)) == 2


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_a_hostile_pickle_does_not_run_untrusted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.traj").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ConfigError):
        load_traj_from_disk("t.traj")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2])])
def test_a_trusted_pickle_that_is_no_trajectory_is_rejected(tmp_path, content):
    (tmp_path / "t.traj").write_bytes(content)
    with pytest.raises(TrajectoryError):
        load_traj_from_disk(str(tmp_path / "t.traj"), trust_pickle=True)


def test_another_extension_is_refused():
    with pytest.raises(ValueError, match=r"expected \.npz or \.traj"):
        load_traj_from_disk("t.hdf5")
