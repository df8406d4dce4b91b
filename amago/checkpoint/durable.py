"""Files that survive a power cut, or were never there."""

import contextlib
import os
from pathlib import Path


def write_new(path: Path, payload: bytes | memoryview) -> None:
    """Write a file that does not exist yet, and flush it to the disk.

    Raises:
        OSError: as the system reports it; the file may be left behind, in part.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        rest = memoryview(payload)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, payload: bytes | memoryview) -> None:
    """Give `path` this content in one step: a reader sees the old file or the new one.

    Raises:
        OSError: as the system reports it; the old file is then as it was.
    """
    scratch = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        scratch.unlink(missing_ok=True)
        write_new(scratch, payload)
        os.replace(scratch, path)
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Flush the folder's list of names to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
