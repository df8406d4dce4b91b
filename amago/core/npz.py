"""A dict of arrays as an `.npz` file: written whole, read in pieces, trusted never.

The writer lays members out uncompressed, each array at a multiple of 64 bytes, in a file that
appears by rename when it is complete; `numpy.load` opens it. The reader parses where the members
lie once (`read_table`, which also checks the checksums) and then reads single rows in place
(`read_rows`), without touching the rest of the file.

Everything that is wrong with a file raises `TrajectoryError`. Compressed members cannot be read
in pieces: `load_npz` inflates them, up to a limit.
"""

import contextlib
import io
import os
import re
import secrets
import socket
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from amago.core.errors import TrajectoryError

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_LOCAL_MAGIC, _CENTRAL_MAGIC, _END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_ALIGN = 64
_PADDING_ID = 0xD935  # the id zip tools use for alignment in the extra field
_UTF8_NAMES = 0x800
_JAN_1_1980 = 0x21
_MAX_PLAIN_BYTES = 2**31 - 1  # beyond this a zip needs 64-bit records: left to numpy
_IOV_MAX = 512

_NPY_MAGIC = b"\x93NUMPY"
_NPY_HEADER = re.compile(
    rb"\{'descr': '([<|][biuf]\d{1,2})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,15}, ?)*(?:\d{1,15})?,?)\), \} *\n"
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
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return write_whole(path, [buffer.getbuffer()], fsync)


def encode(arrays: Mapping[str, np.ndarray]) -> list[bytes | memoryview]:
    """The bytes of an uncompressed `.npz`, in pieces; arrays are referred to, not copied."""
    pieces: list[bytes | memoryview] = []
    directory: list[bytes] = []
    position = 0
    for key, array in arrays.items():
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        head = _npy_header(array)
        body = memoryview(array.reshape(-1).view(np.uint8))
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


def write_whole(path: str, pieces: Iterable[bytes | memoryview], fsync: bool = False) -> int:
    """Write `pieces` to a new file in the same directory, then rename it to `path`.

    Returns:
        The size in bytes.
    """
    directory = os.path.dirname(path) or "."
    temporary = os.path.join(directory, _temporary_name())
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            size = _write_all(descriptor, pieces)
            if fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if fsync:
        _sync_directory(directory)
    return size


def _write_all(descriptor: int, pieces: Iterable[bytes | memoryview]) -> int:
    left = [memoryview(piece) for piece in pieces if len(piece)]
    total = sum(len(piece) for piece in left)
    while left:
        written = os.writev(descriptor, left[:_IOV_MAX])
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]
    return total


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary_name() -> str:
    return f".tmp-{os.getpid()}-{_host()}-{secrets.token_hex(4)}"


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "", socket.gethostname()) or "host"


def sweep_temporaries(directory: str) -> int:
    """Delete what killed writers of this machine left unfinished. Returns how many files."""
    swept = 0
    for entry in os.scandir(directory):
        parts = entry.name.split("-")
        if entry.name.startswith(".tmp-") and len(parts) == 4 and parts[2] == _host():
            if parts[1].isdigit() and not _is_alive(int(parts[1])):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.path)
                    swept += 1
    return swept


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
