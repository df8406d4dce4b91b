"""One process at a time writes a file of the record, and a second one finds out."""

import contextlib
import errno
import os
import struct
import sys
import threading
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks; there a second writer is not noticed
    fcntl = None

_HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN)
_FLOCK = {"linux": ("hhqqi0q", 0), "darwin": ("qqihh", 3)}.get(sys.platform)
"""C's `struct flock`, and which of its fields is `l_type`."""

_guard = threading.Lock()
_ours: set[tuple[int, Path]] = set()
"""Process and lock file of every claim that this process holds (and of its parent, after a fork).

A process loses its POSIX lock when it closes the file, whichever descriptor it was locked with: a
process that holds a claim must not look at it by opening it again.
"""


class Claim:
    """The right to write `path`, until `release` or the death of this process, however it dies.

    A POSIX record lock on a file beside it: not inherited by forked environment workers, which may
    outlive a killed learner. Two claims of one process do not exclude each other.
    """

    def __init__(self, path: Path) -> None:
        self._lock_path = _lock_path(path)
        self._file: int | None = None

    def take(self) -> bool:
        """Try to claim; False if another live process has it. Where locks do not work, True."""
        if fcntl is None or self._file is not None:
            return True
        with _guard:
            try:
                self._lock_path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _ours.add(_key(self._lock_path))
            except OSError as error:
                self._close()
                return error.errno not in _HELD_BY_ANOTHER
        return True

    def release(self) -> None:
        """Let another process write."""
        with _guard:
            if self._file is not None:
                _ours.discard(_key(self._lock_path))
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None


def is_claimed(path: Path) -> bool | None:
    """Whether a live process has claimed `path`; None where that cannot be found out.

    Takes no lock, so that a writer who claims it meanwhile is not refused.
    """
    lock_path = _lock_path(path)
    if fcntl is None or _FLOCK is None:
        return None
    with _guard:
        if _key(lock_path) in _ours:
            return True
        try:
            descriptor = os.open(lock_path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError:
            return None
        try:
            layout, kind = _FLOCK
            question = [0] * 5
            question[kind] = fcntl.F_RDLCK
            answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(layout, *question))
            return struct.unpack(layout, answer)[kind] != fcntl.F_UNLCK
        except OSError:  # a file system without locks
            return None
        finally:
            os.close(descriptor)


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _key(lock_path: Path) -> tuple[int, Path]:
    return os.getpid(), lock_path.resolve()
