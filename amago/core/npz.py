"""A dict of arrays as an `.npz` file: written whole, read in pieces, trusted never.

The writer lays members out uncompressed, each array at a multiple of 64 bytes, in a file that
appears by rename when it is complete; `numpy.load` opens it. The reader parses where the members
lie once (`read_table`, which also checks the checksums) and then reads single rows in place
(`read_rows`), without touching the rest of the file.

Everything that is wrong with a file raises `TrajectoryError`. Compressed members cannot be read
in pieces: `load_npz` inflates them, up to a limit.
"""

import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from amago.core.atomic import write_whole
from amago.core.errors import TrajectoryError

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCAL_MAGIC, _CENTRAL_MAGIC, _END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_ALIGN = 64
_PADDING_ID = 0xD935  # the id zip tools use for alignment in the extra field
_UTF8_NAMES = 0x800
_HARMLESS_FLAGS = _UTF8_NAMES | 0x8  # 0x8: sizes are repeated behind the data
_JAN_1_1980 = 0x21
_IN_64_BIT = 0xFFFFFFFF  # stands for a number that did not fit, in a 64-bit zip
_MAX_PLAIN_BYTES = 2**32 - 2**24  # beyond this a zip needs 64-bit records: left to numpy

_NPY_MAGIC = b"\x93NUMPY"
_NPY_HEADER = re.compile(
    rb"\{'descr': '([<|][biuf]\d{1,2})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,15}, ?)*(?:\d{1,15})?,?)\), \} *\n"
)
_WHAT_ZIPFILE_RAISES = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
_CHUNK = 1 << 20
_HEAD = 4096


# ------------------------------------------------------------------------------------- writing


def write_npz(
    path: str, arrays: Mapping[str, np.ndarray], compressed: bool = False, fsync: bool = False
) -> int:
    """Write `arrays` to `path`, which appears whole or not at all. Returns its size in bytes.

    Args:
        fsync: also survive a power cut, at about ten times the cost.

    Raises:
        OSError: nothing is left behind.
    """
    plain = sum(array.nbytes for array in arrays.values()) < _MAX_PLAIN_BYTES
    if plain and not compressed:
        return write_whole(path, encode(arrays), fsync)
    buffer = io.BytesIO()
    save: Callable[..., None] = np.savez_compressed if compressed else np.savez
    save(buffer, **arrays)
    return write_whole(path, [buffer.getbuffer()], fsync)


def encode(arrays: Mapping[str, np.ndarray]) -> list[bytes | memoryview]:
    """The bytes of an uncompressed `.npz`, in pieces; arrays are referred to, not copied."""
    pieces: list[bytes | memoryview] = []
    directory: list[bytes] = []
    position = 0
    for key, array in arrays.items():
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        head = _npy_header(array)
        body = array.reshape(-1).view(np.uint8).data
        name = f"{key}.npy".encode()
        crc, size = zlib.crc32(body, zlib.crc32(head)), len(head) + len(body)
        common = (20, _UTF8_NAMES, 0, 0, _JAN_1_1980, crc, size, size, len(name))
        extra = _padding(position + _LOCAL.size + len(name))
        local = _LOCAL.pack(_LOCAL_MAGIC, *common, len(extra)) + name + extra
        directory.append(_CENTRAL.pack(_CENTRAL_MAGIC, 20, *common, 0, 0, 0, 0, 0, position) + name)
        pieces += [local, head, body]
        position += len(local) + size
    listing = b"".join(directory)
    count = len(directory)
    end = _END.pack(_END_MAGIC, 0, 0, count, count, len(listing), position, 0)
    return [*pieces, listing + end]


def _npy_header(array: np.ndarray) -> bytes:
    if array.dtype.hasobject:
        raise TypeError("arrays of Python objects cannot be stored: they would have to be pickled")
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer,
        {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape},
    )
    return buffer.getvalue()


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
        members: by key. None: they cannot be read in place (compressed, column-major, 64-bit).
        identity: changes when the file is replaced or written to.
    """

    members: dict[str, Member] | None
    identity: tuple[int, ...]


def identity_of(descriptor: int) -> tuple[int, ...]:
    """Inode, size and time of change of an open file."""
    stat = os.fstat(descriptor)
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def read_table(descriptor: int) -> MemberTable:
    """Parse where the members of an open file lie, and check every checksum.

    Raises:
        TrajectoryError: the file is truncated, altered, or no `.npz`.
    """
    identity = identity_of(descriptor)
    entries, end = _read_directory(descriptor, size=identity[1])
    members: dict[str, Member] = {}
    free_from = 0
    for entry in entries:
        if entry.is_foreign:
            return MemberTable(None, identity)
        if entry.offset < free_from or entry.offset + _LOCAL.size + entry.size > end:
            raise TrajectoryError("members of the file overlap, or lie outside of it")
        member = _read_member(descriptor, entry, end)
        if member is None:
            return MemberTable(None, identity)
        free_from = entry.offset + _LOCAL.size + entry.size
        members[entry.key] = member
    return MemberTable(members, identity)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of a zip's central directory."""

    name: bytes
    crc: int
    size: int
    offset: int
    is_foreign: bool

    @property
    def key(self) -> str:
        return self.name[:-4].decode()


def _read_directory(descriptor: int, size: int) -> tuple[list[_Entry], int]:
    """The central directory, and where it begins."""
    tail_at = max(0, size - _HEAD)
    tail = os.pread(descriptor, _HEAD, tail_at)
    if len(tail) < _END.size:
        raise TrajectoryError(f"the file has only {size} bytes: it was not written to the end")
    magic, disk, start_disk, here, count, length, at, comment = _END.unpack_from(
        tail, len(tail) - _END.size
    )
    if magic != _END_MAGIC or comment:
        raise TrajectoryError("the file does not end like a zip: truncated, or no .npz")
    if at == _IN_64_BIT:
        return [_Entry(b"", 0, 0, 0, is_foreign=True)], size
    if disk or start_disk or here != count or at + length != size - _END.size:
        raise TrajectoryError("the file's directory is not where its end record says")
    listing = tail[at - tail_at : -_END.size] if at >= tail_at else os.pread(descriptor, length, at)
    entries: list[_Entry] = []
    position = 0
    for _ in range(count):
        entry, position = _next_entry(listing, position)
        entries.append(entry)
    if position != len(listing) or len({entry.name for entry in entries}) != count:
        raise TrajectoryError("the file's directory is damaged, or two members have the same name")
    return entries, at


def _next_entry(listing: bytes, position: int) -> tuple[_Entry, int]:
    """The entry at `position`, and where the next one begins."""
    if len(listing) - position < _CENTRAL.size:
        raise TrajectoryError("the file's directory ends early")
    fields = _CENTRAL.unpack_from(listing, position)
    (magic, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length) = fields[:12]
    (comment_length, disk, _, _, offset) = fields[12:]
    name_at = position + _CENTRAL.size
    name = listing[name_at : name_at + name_length]
    following = name_at + name_length + extra_length + comment_length
    if magic != _CENTRAL_MAGIC or disk or comment_length or following > len(listing):
        raise TrajectoryError("the file's directory is damaged")
    if not re.fullmatch(rb"[^\x00]+\.npy", name) or flags & ~_HARMLESS_FLAGS or not _is_text(name):
        raise TrajectoryError(f"the file has a member that is no array: {name!r}")
    is_foreign = method != 0 or _IN_64_BIT in (packed, size, offset)
    if not is_foreign and packed != size:
        raise TrajectoryError(f"member {name!r} is stored plainly but has two sizes")
    return _Entry(name, crc, size, offset, is_foreign), following


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_member(descriptor: int, entry: _Entry, end: int) -> Member | None:
    """Check a member against its directory entry and checksum. None: it is column-major."""
    head = os.pread(descriptor, _HEAD, entry.offset)
    if len(head) < _LOCAL.size:
        raise TrajectoryError(f"member '{entry.key}' is cut off")
    fields = _LOCAL.unpack_from(head)
    name_at, name_length, extra_length = _LOCAL.size, fields[9], fields[10]
    name = head[name_at : name_at + name_length]
    data_at = name_at + name_length + extra_length
    if fields[0] != _LOCAL_MAGIC or fields[3] != 0 or name != entry.name:
        raise TrajectoryError(f"member '{entry.key}' is not where the directory says")
    if data_at > len(head) or entry.offset + data_at + entry.size > end:
        raise TrajectoryError(f"member '{entry.key}' reaches outside of the file")
    crc = zlib.crc32(head[data_at : data_at + entry.size])
    position, stop = entry.offset + len(head), entry.offset + data_at + entry.size
    while position < stop:
        chunk = os.pread(descriptor, min(_CHUNK, stop - position), position)
        if not chunk:
            raise TrajectoryError(f"member '{entry.key}' is cut off")
        crc = zlib.crc32(chunk, crc)
        position += len(chunk)
    if crc != entry.crc:
        raise TrajectoryError(f"member '{entry.key}' has changed since it was written (checksum)")
    dtype, is_fortran, shape, length = _parse_npy(head[data_at : data_at + entry.size], entry.size)
    return None if is_fortran else Member(entry.offset + data_at + length, dtype, shape)


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
    try:
        itemsize = np.dtype(dtype).itemsize
    except TypeError as error:
        raise TrajectoryError(f"a member has the unknown type {dtype}") from error
    if length + prod(shape) * itemsize != size:
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


def load_npz(path: str, max_bytes: int = 4 << 30) -> dict[str, np.ndarray]:
    """Every array of a file, compressed or not.

    Args:
        max_bytes: refuse a file that unpacks to more than this, and to more than it occupies.

    Raises:
        TrajectoryError: the file is too large, truncated, altered, or no `.npz` of plain arrays.
        OSError: it cannot be opened.
    """
    with Path(path).open("rb") as file:
        try:
            _read_directory(file.fileno(), os.fstat(file.fileno()).st_size)
            with zipfile.ZipFile(file) as archive:
                return _unpack(archive, max(max_bytes, os.fstat(file.fileno()).st_size))
        except TrajectoryError:
            raise
        except _WHAT_ZIPFILE_RAISES as error:
            raise TrajectoryError(f"{path} is damaged: {error}") from error


def _unpack(archive: zipfile.ZipFile, max_bytes: int) -> dict[str, np.ndarray]:
    names = archive.namelist()
    declared = sum(info.file_size for info in archive.infolist())
    if declared > max_bytes:
        raise TrajectoryError(f"the file unpacks to {declared} bytes; the limit is {max_bytes}")
    return {_key_of(name): _array_of(archive.read(name)) for name in names}


def _key_of(name: str) -> str:
    if not name.endswith(".npy") or "\x00" in name:
        raise TrajectoryError(f"the file has a member that is no array: {name!r}")
    return name[:-4]


def _array_of(data: bytes) -> np.ndarray:
    dtype, is_fortran, shape, length = _parse_npy(data, len(data))
    order = "F" if is_fortran else "C"
    return np.ndarray(shape, dtype, buffer=data, offset=length, order=order).copy()
