import io
import os
import stat
import struct
import tempfile
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from amago.core.errors import TrajectoryError
from amago.core.npz import encode, identity_of, load_npz, read_rows, read_table, write_npz

DTYPES = [np.bool_, np.uint8, np.int64, np.uint16, np.float16, np.float32, np.float64]

arrays = hnp.arrays(
    dtype=st.sampled_from(DTYPES), shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)
)
names = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00/\\"), min_size=1
)


def small():
    return {"a": np.arange(12, dtype=np.float32).reshape(4, 3), "flag": np.array([[True], [False]])}


def read_in_place(path):
    """Every array of a file by `read_table` and `read_rows`; None if it cannot be read so."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        members = read_table(descriptor).members
        if members is None:
            return None
        found = {}
        for key, member in members.items():
            found[key] = np.empty(member.shape, member.dtype)
            if found[key].ndim:
                read_rows(descriptor, member.offset, 0, found[key])
        return found
    finally:
        os.close(descriptor)


def same(got, wanted):
    return got.keys() == wanted.keys() and all(
        got[k].dtype == wanted[k].dtype
        and got[k].shape == wanted[k].shape
        and got[k].tobytes() == np.ascontiguousarray(wanted[k]).tobytes()
        for k in wanted
    )


@given(st.dictionaries(names.filter(lambda n: n != "file"), arrays, max_size=4))
def test_what_is_written_is_read_back_by_numpy_and_by_us(contents):
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/x.npz"
        size = write_npz(path, contents)
        assert os.path.getsize(path) == size
        with np.load(path, allow_pickle=False) as loaded:
            assert same({key: loaded[key] for key in loaded.files}, contents)
        assert same(load_npz(path), contents)
        assert read_in_place(path).keys() == contents.keys()


def test_arrays_begin_at_multiples_of_64_bytes(tmp_path):
    path = str(tmp_path / "x.npz")
    write_npz(path, {"a": np.zeros(3, np.uint8), "some_longer_name": np.zeros((5, 7))})
    descriptor = os.open(path, os.O_RDONLY)
    offsets = [m.offset for m in read_table(descriptor).members.values()]
    os.close(descriptor)
    assert all(offset % 64 == 0 for offset in offsets)


def test_a_transposed_array_is_written_as_it_looks(tmp_path):
    path = str(tmp_path / "x.npz")
    array = np.arange(6).reshape(2, 3).T
    write_npz(path, {"a": array})
    np.testing.assert_array_equal(np.load(path)["a"], array)


def test_python_objects_are_not_written(tmp_path):
    with pytest.raises(TypeError, match="Python objects"):
        write_npz(str(tmp_path / "x.npz"), {"a": np.array([{}])})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("dtype", [np.complex64, np.longdouble, "U3", "M8[s]"])
@pytest.mark.parametrize("compressed", [False, True])
def test_what_would_not_be_read_back_is_not_written(tmp_path, dtype, compressed):
    with pytest.raises(TypeError, match=r"'a' is .* at most 64 bits"):
        write_npz(str(tmp_path / "x.npz"), {"a": np.zeros(3, dtype)}, compressed=compressed)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("compressed", [False, True])
def test_big_endian_arrays_are_written_little_endian(tmp_path, compressed):
    path = str(tmp_path / "x.npz")
    write_npz(path, {"a": np.arange(3, dtype=">f8")}, compressed=compressed)
    assert same(load_npz(path), {"a": np.arange(3, dtype="<f8")})


def test_a_trajectory_of_over_4_gib_is_refused(tmp_path):
    huge = np.broadcast_to(np.zeros(1), (2**29,))
    with pytest.raises(TrajectoryError, match=r"4\.0 GiB does not fit"):
        write_npz(str(tmp_path / "x.npz"), {"a": huge})


def test_what_could_not_be_read_whole_is_not_compressed(tmp_path, monkeypatch):
    monkeypatch.setattr("amago.core.npz.MAX_UNPACKED", 10)
    path = str(tmp_path / "x.npz")
    write_npz(path, small(), compressed=True)
    assert same(read_in_place(path), small())


def test_numpys_own_plain_files_are_read_in_place(tmp_path):
    np.savez(tmp_path / "x.npz", **small())
    assert same(read_in_place(tmp_path / "x.npz"), small())


def test_rows_are_the_slice(tmp_path):
    path = str(tmp_path / "x.npz")
    array = np.random.default_rng(0).normal(size=(50, 3, 2))
    write_npz(path, {"pad": np.zeros(7, np.uint8), "a": array})
    descriptor = os.open(path, os.O_RDONLY)
    offset = read_table(descriptor).members["a"].offset
    for start, stop in ((0, 50), (0, 1), (49, 50), (13, 31), (20, 20)):
        out = np.empty((stop - start, 3, 2))
        read_rows(descriptor, offset, start, out)
        np.testing.assert_array_equal(out, array[start:stop])
    os.close(descriptor)


def test_short_reads_are_continued(tmp_path, monkeypatch):
    path = str(tmp_path / "x.npz")
    write_npz(path, small())
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, outs, at: real(fd, [outs[0].cast("B")[:5]], at))
    assert same(read_in_place(path), small())


def test_short_reads_of_what_is_examined_are_continued(tmp_path, monkeypatch):
    path = str(tmp_path / "x.npz")
    write_npz(path, small())
    whole, real = os.path.getsize(path), os.pread
    monkeypatch.setattr(
        os, "pread", lambda fd, size, at: real(fd, min(size, 50) if size < whole else size, at)
    )
    assert same(read_in_place(path), small())
    assert same(load_npz(path), small())


def test_a_file_cut_while_it_is_read_is_an_error(tmp_path):
    path = str(tmp_path / "x.npz")
    write_npz(path, small())
    descriptor = os.open(path, os.O_RDONLY)
    member = read_table(descriptor).members["a"]
    os.truncate(path, member.offset + 5)
    with pytest.raises(TrajectoryError, match="shorter"):
        read_rows(descriptor, member.offset, 0, np.empty((4, 3), np.float32))
    os.close(descriptor)


@pytest.mark.parametrize("compressed", [False, True])
def test_every_truncation_is_rejected(tmp_path, compressed):
    path = tmp_path / "x.npz"
    write_npz(str(path), small(), compressed=compressed)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(TrajectoryError):
            load_npz(str(path))
        with pytest.raises(TrajectoryError):
            read_in_place(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_flipped_bits_are_rejected_or_harmless(tmp_path, compressed):
    path = tmp_path / "x.npz"
    write_npz(str(path), small(), compressed=compressed)
    whole = path.read_bytes()
    num_rejected = 0
    for i in range(0, 8 * len(whole), 5):
        flipped = bytearray(whole)
        flipped[i // 8] ^= 1 << i % 8
        path.write_bytes(flipped)
        for read in (load_npz, read_in_place):
            try:
                found = read(str(path))
            except TrajectoryError:
                num_rejected += 1
            else:
                assert found is None or same(found, small()), f"bit {i}"
    assert num_rejected > len(whole)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_rejected(data):
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        file.write(data)
        file.flush()
        with pytest.raises(TrajectoryError):
            load_npz(file.name)
        with pytest.raises(TrajectoryError):
            read_in_place(file.name)


def zip_of(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)


def npy(array, **kwargs):
    buffer = io.BytesIO()
    np.save(buffer, array, **kwargs)
    return buffer.getvalue()


def hostile_members():
    good = npy(np.zeros(3))
    huge = npy(np.zeros(3)).replace(b"(3,), }", b"(1099511627776,), }").replace(b" " * 13, b"", 1)
    vast = npy(np.zeros((0, 1, 1))).replace(b"(0, 1, 1), }", b"(0, 99999999999999, 9), }")
    vast = vast.replace(b" " * 14, b"", 1)
    deep = npy(np.zeros((1,) * 32)).replace(b"(1, ", b"(1, 1, ").replace(b" " * 3, b"", 1)
    return {
        "pickled objects": [("a.npy", npy(np.array([{}]), allow_pickle=True))],
        "text": [("a.npy", npy(np.array(["text"])))],
        "big-endian": [("a.npy", npy(np.zeros(3, ">f8")))],
        "no array": [("a.npy", b"hello")],
        "empty member": [("a.npy", b"")],
        "strange name": [("a.txt", good)],
        "more bytes than declared": [("a.npy", good + b"\x00")],
        "fewer bytes than declared": [("a.npy", good[:-1])],
        "a header that claims terabytes": [("a.npy", huge)],
        "code in the header": [("a.npy", good.replace(b"False", b"exit("))],
        "wide floats": [("a.npy", npy(np.zeros(3, np.longdouble)))],
        "no elements, and dimensions beyond all memory": [("a.npy", vast)],
        "more dimensions than numpy has": [("a.npy", deep)],
    }


@pytest.mark.parametrize("kind", hostile_members())
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_hostile_members_are_rejected(tmp_path, kind, method):
    path = str(tmp_path / "x.npz")
    zip_of(path, hostile_members()[kind], method)
    with pytest.raises(TrajectoryError):
        load_npz(path)
    if method == zipfile.ZIP_STORED:
        with pytest.raises(TrajectoryError):
            read_in_place(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_rejected(tmp_path):
    path = str(tmp_path / "x.npz")
    zip_of(path, [("a.npy", npy(np.zeros(3))), ("a.npy", npy(np.ones(3)))])
    for read in (load_npz, read_in_place):
        with pytest.raises(TrajectoryError, match="the same name"):
            read(path)


def test_overlapping_members_are_rejected(tmp_path):
    path = tmp_path / "x.npz"
    pieces = [bytes(piece) for piece in encode({"a": np.zeros(3), "b": np.zeros(3)})]
    second = pieces[-1].rindex(b"PK\x01\x02") + 42
    directory = pieces[-1][:second] + bytes(4) + pieces[-1][second + 4 :]
    path.write_bytes(b"".join([*pieces[:-1], directory]))
    with pytest.raises(TrajectoryError, match="overlap"):
        read_in_place(path)


def test_a_compressed_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = str(tmp_path / "x.npz")
    np.savez_compressed(path, a=np.zeros(2_000_000, np.uint8))
    assert os.path.getsize(path) < 10_000
    with pytest.raises(TrajectoryError, match="the limit is 1000000"):
        load_npz(path, max_bytes=1_000_000)


def test_a_compressed_member_that_lies_about_its_size_stops_being_inflated_there(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros(30_000_000, np.uint8))
    whole, size = path.read_bytes(), 30_000_128
    path.write_bytes(whole.replace(size.to_bytes(4, "little"), (500).to_bytes(4, "little")))
    tracemalloc.start()
    try:
        with pytest.raises(TrajectoryError, match="not of the size that the directory says"):
            load_npz(str(path))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [2**20 + 1, 2**40])
def test_a_file_that_claims_much_and_occupies_little_costs_little(tmp_path, size):
    path = tmp_path / "x.npz"
    write_npz(str(path), small())
    whole = path.read_bytes()
    path.write_bytes(b"")
    os.truncate(path, size)
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(whole)
    for read in (load_npz, read_in_place):
        with pytest.raises(TrajectoryError):
            read(str(path))


def test_a_directory_of_any_length_is_not_read(tmp_path):
    path = tmp_path / "x.npz"
    length = 2**31
    path.touch()
    os.truncate(path, length)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, length, 0, 0)
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(end)
    with pytest.raises(TrajectoryError, match="directory has 2147483648 bytes"):
        read_in_place(path)


def test_a_64_bit_zip_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    path = str(tmp_path / "x.npz")
    np.savez(path, **small())
    with pytest.raises(TrajectoryError, match="directory is not where"):
        load_npz(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_numpy_does_not_use_are_refused(tmp_path, method):
    path = str(tmp_path / "x.npz")
    zip_of(path, [("a.npy", npy(np.zeros(30)))], method)
    with pytest.raises(TrajectoryError, match=r"not read|no array"):
        load_npz(path)


@pytest.mark.parametrize("kind", ["directory", "pipe", "socket", "circle of links"])
def test_what_is_no_file_is_rejected_and_not_waited_for(tmp_path, kind):
    path = tmp_path / "x.npz"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
    else:
        path.symlink_to(path)
    with pytest.raises(TrajectoryError, match="is no file"):
        load_npz(str(path))


def test_a_change_of_the_file_changes_its_identity(tmp_path):
    path = tmp_path / "x.npz"
    write_npz(str(path), small())
    descriptor = os.open(path, os.O_RDONLY)
    before = identity_of(descriptor)
    assert identity_of(descriptor) == before
    os.utime(path, ns=(1, 1))
    changed = identity_of(descriptor)
    os.close(descriptor)
    assert changed != before


def test_column_major_arrays_are_not_read_in_place_but_are_read(tmp_path):
    path = str(tmp_path / "x.npz")
    array = np.asfortranarray(np.arange(6).reshape(2, 3))
    np.savez(path, a=array)
    assert read_in_place(path) is None
    np.testing.assert_array_equal(load_npz(path)["a"], array)
    assert load_npz(path)["a"].flags.c_contiguous
