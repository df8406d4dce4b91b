"""One process at a time writes a file of the record, and a second one finds out."""

import contextlib
import errno
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks; there a second writer is not noticed
    fcntl = None

_HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN)


class Claim:
    """The right to write `path`, until `release` or the death of this process, however it dies.

    A POSIX record lock on a file beside it: not inherited by forked environment workers, which may
    outlive a killed learner. Two claims of one process do not exclude each other.
    """

    def __init__(self, path: Path) -> None:
        self._lock_path = path.with_name(f".{path.name}.lock")
        self._file: int | None = None

    def take(self) -> bool:
        """Try to claim; False if another live process has it. Where locks do not work, True."""
        if fcntl is None or self._file is not None:
            return True
        try:
            self._lock_path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            return error.errno not in _HELD_BY_ANOTHER
        return True

    def release(self) -> None:
        """Let another process write."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None
