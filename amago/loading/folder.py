"""The directories of a replay buffer. Files go by keys: `fifo/{name}`, `protected/{name}`.

buffer/
    fifo/         written by actors, evicted oldest first
    protected/    the user's files: sampled, never deleted. A file has to appear whole there:
                  copy it to a name that begins with a dot, then rename it
    quarantine/   damaged fifo files, each with the reason
    set_aside/    fifo files that are newer than the checkpoint a run went on from
"""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable, Iterator

from amago.core.errors import ConfigError

VANISHED = (errno.ENOENT, errno.ESTALE)
"""What the system says of a file that another process deleted."""

_SAMPLED = ("fifo", "protected")


class BufferFolder:
    """The directories of one buffer. Makes those that are sampled from.

    Args:
        path: of `buffer/`.

    Raises:
        ConfigError: they cannot be made.
    """

    def __init__(self, path: str) -> None:
        self.root = path
        for kind in _SAMPLED:
            try:
                os.makedirs(self.path(kind), exist_ok=True)
            except OSError as error:
                raise _unusable(self.path(kind), "make this directory", error) from error

    def path(self, key: str) -> str:
        """Where a file, or a directory, is."""
        return os.path.join(self.root, key)

    def check(self, writable: bool) -> None:
        """Try whether the directories can be listed and, if need be, whether `fifo` takes files.

        Raises:
            ConfigError: not so.
        """
        for kind in _SAMPLED:
            try:
                os.listdir(self.path(kind))
                os.stat(self.path(f"{kind}/."))
            except OSError as error:
                raise _unusable(self.path(kind), "list this directory", error) from error
        if writable:
            self._try_to_write()

    def _try_to_write(self) -> None:
        probe = self.path(f"fifo/.probe-{os.getpid()}-{secrets.token_hex(4)}")
        try:
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            os.unlink(probe)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return  # no room yet: eviction may make some
            raise _unusable(
                self.path("fifo"),
                "write to this directory (a run that only reads needs has_dset_edit_rights=False "
                "and train_timesteps_per_epoch=0)",
                error,
            ) from error

    def names(self, kind: str) -> Iterator[str]:
        """Names in a directory, without hidden ones (unfinished files are); none if it is absent.

        The directory itself is only made when something goes there.
        """
        if kind not in _SAMPLED and not os.path.isdir(self.path(kind)):
            return
        found = os.listdir(self.path(kind))
        while found:
            name = found.pop()  # no list of all while the caller makes one: there may be millions
            if not name.startswith("."):
                yield name

    def size(self, key: str) -> int | None:
        """Bytes of a file; None if it is gone."""
        try:
            return os.stat(self.path(key)).st_size
        except OSError as error:
            # Whatever else is wrong with it is told, and dealt with, when it is read.
            return None if error.errno in VANISHED else 0

    def delete(self, keys: Iterable[str]) -> set[str]:
        """Delete files; returns those that are gone now because of it."""
        deleted: set[str] = set()
        for key in keys:
            # A directory that calls itself a file is left to whoever reads it.
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(self.path(key))
                deleted.add(key)
        return deleted

    def move(self, key: str, kind: str) -> str | None:
        """Move a file to another of the directories. Returns its path there; None: it was gone."""
        target = self.path(f"{kind}/{os.path.basename(key)}")
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            os.rename(self.path(key), target)
        except FileNotFoundError:
            return None
        return target


def _unusable(path: str, action: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot {action}: {path} ({error.strerror}). Trajectories are kept there; check that the "
        "disk is mounted, that no part of the path is a file, and who may read and write it, or "
        "choose another dset_root."
    )
