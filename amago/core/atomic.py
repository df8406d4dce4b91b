"""Files that appear whole or not at all: written under another name, then renamed."""

import contextlib
import errno
import os
import re
import secrets
import socket
from collections.abc import Iterable

_IOV_MAX = 512  # pieces per system call; POSIX allows a limit of 1024


def write_whole(path: str, pieces: Iterable[bytes | memoryview], fsync: bool = False) -> int:
    """Write `pieces` to a new file in the same directory, then rename it to `path`.

    Args:
        fsync: also survive a power cut.

    Returns:
        The size in bytes.

    Raises:
        OSError: what stood under `path` still does, and nothing else is left behind. Only when
            the directory cannot be synced at the end has `path` been replaced.
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
        sync(directory)
    return size


def _write_all(descriptor: int, pieces: Iterable[bytes | memoryview]) -> int:
    left = [memoryview(piece) for piece in pieces if len(piece)]
    total = sum(len(piece) for piece in left)
    while left:
        written = os.writev(descriptor, left[:_IOV_MAX])
        if written == 0:  # never for a file, by POSIX; but a loop that waits for it never ends
            raise OSError(errno.EIO, "the disk took none of the bytes")
        if written == total:
            break
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]
    return total


def sync(path: str) -> None:
    """Make the contents of a file, or the names in a directory, survive a power cut.

    Raises:
        OSError: a file's contents may be lost already: after a failure the system forgets what it
            did not write, and a second attempt would succeed without having written it.
    """
    descriptor = os.open(path, os.O_RDONLY)
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
    abandoned = [entry.path for entry in os.scandir(directory) if _is_abandoned(entry.name)]
    for path in abandoned:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    return len(abandoned)


def _is_abandoned(name: str) -> bool:
    match = re.fullmatch(r"\.tmp-(\d+)-([A-Za-z0-9.]+)-[0-9a-f]+", name)
    return bool(match) and match[2] == _host() and not _is_alive(int(match[1]))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
