import os

import numpy as np
import pytest

from amago.core import npz
from amago.core.npz_forms import form_of


def arrays(tag, rows=20):
    return {
        "x": np.arange(rows * 3, dtype=np.float32).reshape(rows, 3) + tag,
        "flags": np.arange(rows)[:, None] % 2 == tag % 2,
        "one": np.array(tag),
    }


def written(path, tag=0, rows=20, pack=npz.write_npz):
    pack(str(path), arrays(tag, rows))
    return path.read_bytes()


def savez(path, members):
    np.savez(path, **members)


def form(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return form_of(descriptor, npz.read_table(descriptor))
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("pack", [npz.write_npz, savez])
def test_files_that_differ_in_their_data_have_one_form(tmp_path, pack):
    path = tmp_path / "a.npz"
    first = written(path, tag=0, pack=pack)
    found = form(path)
    second = written(tmp_path / "b.npz", tag=5, pack=pack)
    assert first != second
    assert found.fits(first)
    assert found.fits(second)
    assert found.fits(memoryview(second))
    assert form(tmp_path / "b.npz") == found


def test_files_of_another_length_type_or_name_do_not_fit(tmp_path):
    path = tmp_path / "a.npz"
    written(path)
    found = form(path)
    assert not found.fits(written(tmp_path / "b.npz", rows=21))
    for change in ({"x": np.zeros((20, 3), np.int32)}, {"x": np.zeros((3, 20), np.float32)}):
        npz.write_npz(str(tmp_path / "c.npz"), arrays(0) | change)
        assert not found.fits((tmp_path / "c.npz").read_bytes())
    renamed = {{"one": "two"}.get(key, key): value for key, value in arrays(0).items()}
    npz.write_npz(str(tmp_path / "d.npz"), renamed)
    assert len((tmp_path / "d.npz").read_bytes()) == path.stat().st_size
    assert not found.fits((tmp_path / "d.npz").read_bytes())


@pytest.mark.parametrize("pack", [npz.write_npz, savez])
def test_a_file_with_any_other_byte_does_not_fit(tmp_path, pack):
    path = tmp_path / "a.npz"
    content = bytearray(written(path, pack=pack))
    found = form(path)
    unnoticed = []
    for i in range(len(content)):
        content[i] ^= 0x10
        if found.fits(bytes(content)):
            unnoticed.append(i)
        content[i] ^= 0x10
    # The checksum in a member's own header, which repeats that of the directory.
    assert len(unnoticed) == 4 * len(arrays(0))
    descriptor = os.open(path, os.O_RDONLY)
    members = [entry for entry, _ in npz.locate(descriptor, len(content))]
    os.close(descriptor)
    assert unnoticed == [entry.offset + 14 + k for entry in members for k in range(4)]


def test_a_file_that_changed_after_it_was_parsed_has_no_form(tmp_path):
    path = tmp_path / "a.npz"
    written(path)
    descriptor = os.open(path, os.O_RDONLY)
    table = npz.read_table(descriptor)
    content = bytearray(path.read_bytes())
    content[table.members["x"].offset] ^= 1
    path.write_bytes(content)
    assert form_of(descriptor, table) is None
    os.close(descriptor)


def test_a_compressed_file_has_no_form(tmp_path):
    npz.write_npz(str(tmp_path / "a.npz"), arrays(0), compressed=True)
    assert form(tmp_path / "a.npz") is None
