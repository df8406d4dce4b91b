"""A dict of arrays as an `.npz` file: written whole, read in pieces, trusted never.

The writer lays members out uncompressed, each array at a multiple of 64 bytes, in a file that
appears by rename when it is complete; `numpy.load` opens it. The reader parses where the members
lie once (`read_table`, which also checks the checksums) and then reads single rows in place
(`read_rows`), without touching the rest of the file. Compressed and column-major members cannot be
read in pieces: `load_npz` reads the whole file.

A file is untrusted input. Everything that is wrong with one raises `TrajectoryError`, and nothing
is allocated by a number that was not compared with the size of the file, or with `max_bytes`.
Nothing is mapped: a file that is cut while it is read is an error, not a SIGBUS.
"""

import errno
import io
import os
import re
import stat
import struct
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from amago.core.atomic import write_whole
from amago.core.errors import TrajectoryError
from amago.core.zip_members import (
    CENTRAL,
    CENTRAL_MAGIC,
    END,
    END_MAGIC,
    LOCAL,
    LOCAL_MAGIC,
    STORED,
    UTF8_NAMES,
    Entry,
    locate,
    read_bytes,
    unpacked,
)

_ALIGN = 64
_PADDING_ID = 0xD935  # the id zip tools use for alignment in the extra field
_JAN_1_1980 = 0x21
_IS_LITTLE_ENDIAN = sys.byteorder == "little"

MAX_BYTES = 2**32 - 2**24
"""Bytes of a file. Beyond this a zip needs 64-bit records, which are not read."""
MAX_UNPACKED = 1 << 30
"""Bytes of a file that has to be read whole."""

_NPY_MAGIC = b"\x93NUMPY"
_NPY_HEADER = re.compile(
    rb"\{'descr': '([<|](?:b1|[iu][1248]|f[248]))', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,15}, ?){0,31}(?:\d{1,15})?,?)\), \} *\n"
)
_NO_FILE = (errno.ELOOP, errno.ENXIO)  # a circle of links; a socket
_CHUNK = 1 << 20
_HEAD = 4096


# ------------------------------------------------------------------------------------- writing


def write_npz(
    path: str, arrays: Mapping[str, np.ndarray], compressed: bool = False, fsync: bool = False
) -> int:
    """Write `arrays` to `path`, which appears whole or not at all. Returns its size in bytes.

    Args:
        compressed: for files up to `MAX_UNPACKED`; larger ones could not be read in pieces.
        fsync: also survive a power cut, at about ten times the cost.

    Raises:
        TrajectoryError: they are too large for one file.
        TypeError: an array is not of booleans, integers or floats.
        OSError: nothing is left behind.
    """
    arrays = {key: _storable(key, array) for key, array in arrays.items()}
    size = sum(array.nbytes for array in arrays.values())
    if size > MAX_BYTES:
        raise TrajectoryError(
            f"a trajectory of {size / 2**30:.1f} GiB does not fit into one file "
            f"({MAX_BYTES / 2**30:.0f} GiB): limit its number of timesteps"
        )
    if not compressed or size > MAX_UNPACKED:
        return write_whole(path, encode(arrays), fsync)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return write_whole(path, [buffer.getbuffer()], fsync)


def _storable(key: str, array: np.ndarray) -> np.ndarray:
    """`array`, little-endian, if it is something that is read back."""
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(
            f"'{key}' is {array.dtype}: only booleans, integers and floats of at most 64 bits can "
            "be stored (Python objects would have to be pickled)"
        )
    if _IS_LITTLE_ENDIAN and array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def encode(arrays: Mapping[str, np.ndarray]) -> list[bytes | memoryview]:
    """The bytes of an uncompressed `.npz`, in pieces; arrays are referred to, not copied."""
    pieces: list[bytes | memoryview] = []
    directory: list[bytes] = []
    position = 0
    for key, array in arrays.items():
        array = np.asarray(array, order="C")
        name, head, head_crc = _beginning(key, array.dtype.str, array.shape)
        body = array.reshape(-1).view(np.uint8).data
        crc, size = zlib.crc32(body, head_crc), len(head) + len(body)
        common = (20, UTF8_NAMES, 0, 0, _JAN_1_1980, crc, size, size, len(name))
        extra = _padding(position + LOCAL.size + len(name))
        local = LOCAL.pack(LOCAL_MAGIC, *common, len(extra)) + name + extra
        directory.append(CENTRAL.pack(CENTRAL_MAGIC, 20, *common, 0, 0, 0, 0, 0, position) + name)
        pieces += [local, head, body]
        position += len(local) + size
    listing = b"".join(directory)
    count = len(directory)
    end = END.pack(END_MAGIC, 0, 0, count, count, len(listing), position, 0)
    return [*pieces, listing + end]


@lru_cache(maxsize=4096)  # a run writes thousands of files of a few lengths
def _beginning(key: str, dtype: str, shape: tuple[int, ...]) -> tuple[bytes, bytes, int]:
    """The name of a member, the header of its array, and the checksum of the header."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    head = buffer.getvalue()
    return f"{key}.npy".encode(), head, zlib.crc32(head)


def _padding(position: int) -> bytes:
    """An extra field that makes what follows `position` start at a multiple of 64 bytes."""
    room = -(position + 4) % _ALIGN
    return struct.pack("<2H", _PADDING_ID, room) + bytes(room)


# ------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class Member:
    """Where the data of one array lies in a file, and what it is."""

    offset: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MemberTable:
    """What a file holds.

    Attributes:
        members: by key. None: they cannot be read in place (compressed or column-major).
        identity: changes when the file is replaced or written to.
    """

    members: dict[str, Member] | None
    identity: tuple[int, ...]


def open_file(path: str) -> int:
    """A descriptor to read from.

    Raises:
        TrajectoryError: what is there cannot be a file.
        OSError: it cannot be opened.
    """
    try:
        # Opening a pipe would wait for its writer.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise TrajectoryError(f"is no file: {error.strerror}") from error
        raise


def identity_of(descriptor: int) -> tuple[int, ...]:
    """Inode, size and times of change of an open file.

    Raises:
        TrajectoryError: it is a directory, a pipe or a device.
    """
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise TrajectoryError("is no file, but a directory, a pipe or a device")
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_table(descriptor: int) -> MemberTable:
    """Parse where the members of an open file lie, and check every checksum.

    Raises:
        TrajectoryError: the file is truncated, altered, or no `.npz`.
    """
    identity = identity_of(descriptor)
    members: dict[str, Member] = {}
    for entry, at in locate(descriptor, size=identity[1]):
        if entry.method != STORED:
            return MemberTable(None, identity)
        head = _check_stored(descriptor, entry, at)
        dtype, is_fortran, shape, length = _parse_npy(head, entry.size)
        if is_fortran:
            return MemberTable(None, identity)
        members[entry.key] = Member(at + length, dtype, shape)
    return MemberTable(members, identity)


def _check_stored(descriptor: int, entry: Entry, at: int) -> bytes:
    """Compare the data of an uncompressed member with its checksum. Returns how it begins."""
    head, crc = b"", 0
    for start in range(at, at + entry.size, _CHUNK):
        chunk = read_bytes(descriptor, start, min(_CHUNK, at + entry.size - start))
        head = head or chunk[:_HEAD]
        crc = zlib.crc32(chunk, crc)
    entry.compare_checksum(crc)
    return head


def _parse_npy(head: bytes, size: int) -> tuple[str, bool, tuple[int, ...], int]:
    """dtype, whether column-major, shape and length of the header of an array of `size` bytes."""
    if head[:6] != _NPY_MAGIC or head[6:8] not in (b"\x01\x00", b"\x02\x00"):
        raise TrajectoryError("a member is not a .npy array")
    start, width = (10, 2) if head[6] == 1 else (12, 4)
    length = start + int.from_bytes(head[8 : 8 + width], "little")
    match = _NPY_HEADER.fullmatch(head, start, length) if length <= len(head) else None
    if match is None:
        raise TrajectoryError("a member is no plain array of booleans, integers or floats")
    dtype, order, dimensions = (part.decode() for part in match.groups())
    shape = tuple(int(d) for d in dimensions.replace(" ", "").split(",") if d)
    itemsize = np.dtype(dtype).itemsize
    # An array without elements may still have dimensions that numpy cannot multiply.
    if length + prod(shape) * itemsize != size or prod(d or 1 for d in shape) > MAX_BYTES:
        raise TrajectoryError(f"a member of shape {shape} and type {dtype} has {size} bytes")
    return dtype, order == "True", shape, length


def read_rows(descriptor: int, offset: int, start: int, out: np.ndarray) -> None:
    """Fill `out` with consecutive rows of an array, beginning with row `start`.

    Args:
        offset: the member's, where its row 0 begins.
        out: `[rows, ...]`, contiguous, of the member's dtype and row shape.

    Raises:
        TrajectoryError: the file ends before the last row.
    """
    if not out.nbytes:
        return
    offset += start * (out.nbytes // len(out))
    done = os.preadv(descriptor, [out.data], offset)
    if done == out.nbytes:
        return
    left = out.reshape(-1).view(np.uint8).data
    while done < len(left):
        count = os.preadv(descriptor, [left[done:]], offset + done)
        if count == 0:
            raise TrajectoryError("the file became shorter while it was read")
        done += count


def load_npz(path: str, max_bytes: int = MAX_UNPACKED) -> dict[str, np.ndarray]:
    """Every array of a file, compressed or not.

    Args:
        max_bytes: refuse a file that unpacks to more than this, and to more than it occupies on
            the disk.

    Raises:
        TrajectoryError: the file is too large, truncated, altered, or no `.npz` of plain arrays.
        OSError: it cannot be opened.
    """
    descriptor = open_file(path)
    try:
        located = list(locate(descriptor, size=identity_of(descriptor)[1]))
        size = sum(entry.size for entry, _ in located)
        if size > max(max_bytes, 512 * os.fstat(descriptor).st_blocks):
            raise TrajectoryError(f"the file unpacks to {size} bytes; the limit is {max_bytes}")
        return {entry.key: _array_of(unpacked(descriptor, entry, at)) for entry, at in located}
    finally:
        os.close(descriptor)


def _array_of(data: bytes) -> np.ndarray:
    dtype, is_fortran, shape, length = _parse_npy(data, len(data))
    order = "F" if is_fortran else "C"
    return np.ndarray(shape, dtype, buffer=data, offset=length, order=order).copy()
