"""Where the members of an `.npz` lie: a strict parser of the part of the zip format it uses.

Zip files say things twice and leave room for more. Here whatever does not agree, overlaps, reaches
outside of the file or has no use in an `.npz` is an error, always a `TrajectoryError`.
"""

import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from amago.core.errors import TrajectoryError

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
LOCAL_MAGIC, CENTRAL_MAGIC, END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
STORED, DEFLATED = 0, 8
UTF8_NAMES = 0x800
_HARMLESS_FLAGS = UTF8_NAMES | 0x8  # 0x8: sizes are repeated behind the data
_IN_64_BIT = 0xFFFFFFFF  # stands for a number that did not fit
_MAX_DIRECTORY = 1 << 20
_TAIL = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a zip's central directory. Sizes in bytes: in the file, and unpacked."""

    name: bytes
    method: int
    crc: int
    packed: int
    size: int
    offset: int

    @property
    def key(self) -> str:
        return self.name[:-4].decode()

    def compare_checksum(self, crc: int) -> None:
        """Raise `TrajectoryError` unless `crc` is that of the data when it was written."""
        if crc != self.crc:
            raise TrajectoryError(
                f"member '{self.key}' has changed since it was written (checksum)"
            )


def locate(descriptor: int, size: int) -> Iterator[tuple[Entry, int]]:
    """Each member of a file of `size` bytes, and where its data begins.

    Members are checked to lie in the file, one after the other; their data is not looked at.

    Raises:
        TrajectoryError: it is no zip, or one that `numpy.savez` would not write.
    """
    entries, end = _read_directory(descriptor, size)
    free_from = 0
    for entry in entries:
        if entry.offset < free_from:
            raise TrajectoryError("members of the file overlap")
        at = _find_data(descriptor, entry)
        free_from = at + entry.packed
        if free_from > end:
            raise TrajectoryError(f"member '{entry.key}' reaches outside of the file")
        yield entry, at


def _read_directory(descriptor: int, size: int) -> tuple[list[Entry], int]:
    """The central directory, and where it begins."""
    tail_at = max(0, size - _TAIL)
    tail = os.pread(descriptor, _TAIL, tail_at)
    if len(tail) < END.size:
        raise TrajectoryError(f"the file has only {size} bytes: it was not written to the end")
    magic, disk, start_disk, here, count, length, at, comment = END.unpack_from(
        tail, len(tail) - END.size
    )
    if magic != END_MAGIC or comment:
        raise TrajectoryError("the file does not end like a zip: truncated, or no .npz")
    if at == _IN_64_BIT:
        raise TrajectoryError("the file is a 64-bit zip: over 4 GiB, or of too many members")
    if disk or start_disk or here != count or at + length != size - END.size:
        raise TrajectoryError("the file's directory is not where its end record says")
    if length > _MAX_DIRECTORY:
        raise TrajectoryError(f"the file's directory has {length} bytes")
    listing = tail[at - tail_at : -END.size] if at >= tail_at else os.pread(descriptor, length, at)
    entries: list[Entry] = []
    position = 0
    for _ in range(count):
        entry, position = _next_entry(listing, position)
        entries.append(entry)
    if position != len(listing) or len({entry.name for entry in entries}) != count:
        raise TrajectoryError("the file's directory is damaged, or two members have the same name")
    return entries, at


def _next_entry(listing: bytes, position: int) -> tuple[Entry, int]:
    """The entry at `position`, and where the next one begins."""
    if len(listing) - position < CENTRAL.size:
        raise TrajectoryError("the file's directory ends early")
    fields = CENTRAL.unpack_from(listing, position)
    (magic, _, _, flags, method, _, _, crc, packed, size, name_length, extra_length) = fields[:12]
    (comment_length, disk, _, _, offset) = fields[12:]
    name_at = position + CENTRAL.size
    name = listing[name_at : name_at + name_length]
    following = name_at + name_length + extra_length + comment_length
    if magic != CENTRAL_MAGIC or disk or comment_length or following > len(listing):
        raise TrajectoryError("the file's directory is damaged")
    if not re.fullmatch(rb"[^\x00]+\.npy", name) or flags & ~_HARMLESS_FLAGS or not _is_text(name):
        raise TrajectoryError(f"the file has a member that is no array: {name!r}")
    if method not in (STORED, DEFLATED) or _IN_64_BIT in (packed, size, offset):
        raise TrajectoryError(f"member {name!r} is packed in a way that is not read")
    if method == STORED and packed != size:
        raise TrajectoryError(f"member {name!r} is stored plainly but has two sizes")
    return Entry(name, method, crc, packed, size, offset), following


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _find_data(descriptor: int, entry: Entry) -> int:
    """Where the data of a member begins, behind the header that repeats its directory entry."""
    head = os.pread(descriptor, LOCAL.size + len(entry.name), entry.offset)
    if len(head) < LOCAL.size + len(entry.name):
        raise TrajectoryError(f"member '{entry.key}' is cut off")
    magic, _, flags, method, *_, name_length, extra_length = LOCAL.unpack_from(head)
    if (
        magic != LOCAL_MAGIC
        or flags & ~_HARMLESS_FLAGS
        or method != entry.method
        or name_length != len(entry.name)
        or head[LOCAL.size :] != entry.name
    ):
        raise TrajectoryError(f"member '{entry.key}' is not where the directory says")
    return entry.offset + LOCAL.size + name_length + extra_length


def read_bytes(descriptor: int, offset: int, size: int) -> bytes:
    """`size` bytes from `offset` on.

    Raises:
        TrajectoryError: the file ends before.
    """
    pieces: list[bytes] = []
    while size:
        piece = os.pread(descriptor, size, offset)
        if not piece:
            raise TrajectoryError("the file became shorter while it was read")
        pieces.append(piece)
        offset, size = offset + len(piece), size - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def unpacked(descriptor: int, entry: Entry, at: int) -> bytes:
    """The whole data of a member, which begins at `at`; `entry.size` bytes.

    Raises:
        TrajectoryError: it is damaged, or would become longer than that.
    """
    data = read_bytes(descriptor, at, entry.packed)
    if entry.method == DEFLATED:
        data = _inflate(data, entry.size)
    entry.compare_checksum(zlib.crc32(data))
    return data


def _inflate(data: bytes, size: int) -> bytes:
    """Decompress to `size` bytes, whatever the data would like to become."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        found = stream.decompress(data, size + 1)
    except zlib.error as error:
        raise TrajectoryError(f"a compressed member is damaged: {error}") from error
    if len(found) != size or not stream.eof or stream.unused_data:
        raise TrajectoryError("a compressed member is not of the size that the directory says")
    return found
