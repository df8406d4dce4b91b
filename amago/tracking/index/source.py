"""A writer's file as the index sees it: whole lines from an offset on; whether it is the same."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK_BYTES = 1 << 20
_HEAD_BYTES = 4096
_TAIL_BYTES = 256


@dataclass(frozen=True)
class Mark:
    """How far a file was read, and what it looked like there.

    Args:
        offset: bytes that are in the index; a line begins there.
        head_size: bytes that `head` was computed of.
        head: digest of the file's beginning.
        tail: digest of what comes before `offset`.
    """

    offset: int = 0
    head_size: int = 0
    head: bytes = b""
    tail: bytes = b""


def mark(file: Path, offset: int) -> Mark:
    """The mark of a file that was read up to `offset`."""
    with open(file, "rb") as stream:
        head_size = min(offset, _HEAD_BYTES)
        head = _digest(stream.read(head_size))
        return Mark(offset, head_size, head, _tail(stream.fileno(), offset))


def fits(file: Path, known: Mark) -> bool:
    """True if `file` begins as it did when it was marked: appended to at most."""
    with open(file, "rb") as stream:
        if os.fstat(stream.fileno()).st_size < known.offset:
            return False
        return known.offset == 0 or (
            _digest(stream.read(known.head_size)) == known.head
            and _tail(stream.fileno(), known.offset) == known.tail
        )


def lines_from(file: Path, offset: int) -> Iterator[bytes]:
    """The lines behind `offset`, without their newlines.

    What follows the last newline waits: it is a line that is being written, or was torn.
    """
    rest = b""
    with open(file, "rb") as stream:
        stream.seek(offset)
        while block := stream.read(_BLOCK_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            yield from lines


def _tail(descriptor: int, offset: int) -> bytes:
    size = min(offset, _TAIL_BYTES)
    return _digest(os.pread(descriptor, size, offset - size))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
