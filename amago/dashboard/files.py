"""Files of a run's folder: listed, and read without ever leaving the folder.

A path is opened one directory at a time and no symbolic link is followed, so that neither a link
that somebody put there, nor one that appears while we look, leads anywhere else.
"""

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from amago.dashboard.requests import RequestError

SHOWN_INLINE = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
"""What a browser may show by itself, and its type. Everything else is a download."""

_MOST_FILES = 10_000
_MOST_IN_A_FOLDER = 1_000  # a replay buffer would hide everything else
_DEEPEST = 32
_HIDDEN_SUFFIXES = (".lock", "-wal", "-shm", "-journal")


@dataclass(frozen=True)
class OpenFile:
    """A regular file of a run: the open stream belongs to whoever asked."""

    stream: BinaryIO
    size: int
    name: str


def is_hidden(name: str) -> bool:
    """True for what is no result: locks, temporary files, the working files of SQLite."""
    return name.startswith(".") or name.endswith(_HIDDEN_SUFFIXES)


def list_files(folder: Path) -> list[dict[str, object]]:
    """`{"path", "size", "modified"}` of the regular files below `folder`, folder by folder.

    Of a folder the first thousand entries are listed.
    """
    return list(itertools.islice(_walk(str(folder), "", 0), _MOST_FILES))


def open_inside(folder: Path, relative: str) -> OpenFile:
    """Open the regular file `relative` (with `/`) below `folder`.

    Raises:
        RequestError: 404, whatever the reason: there is none, it is a link, it is hidden, or the
            path leads out of the folder.
    """
    parts = relative.split("/")
    if any(part in {"", ".", ".."} or "\0" in part or is_hidden(part) for part in parts):
        raise _no_such_file(relative)
    if len(parts) > _DEEPEST:
        raise _no_such_file(relative)
    try:
        descriptor = _descend(folder, parts)
    except (OSError, ValueError):  # ValueError: a name that the file system cannot have
        raise _no_such_file(relative) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise _no_such_file(relative)
    return OpenFile(os.fdopen(descriptor, "rb"), status.st_size, parts[-1])


def tail(folder: Path, relative: str, size: int) -> tuple[str, int]:
    """The last `size` bytes of a text file, from the beginning of a line, and its whole size."""
    opened = open_inside(folder, relative)
    with opened.stream as stream:
        start = max(0, opened.size - size)
        stream.seek(start)
        data = stream.read(opened.size - start)
    text = data.decode("utf-8", errors="replace")
    return (text if start == 0 else text.partition("\n")[2]), opened.size


def headers_for(opened: OpenFile) -> dict[str, str]:
    """How a browser is to take the file: as a picture of a known type, or as a download."""
    suffix = os.path.splitext(opened.name)[1].lower()
    inline = suffix in SHOWN_INLINE
    return {
        "Content-Type": SHOWN_INLINE.get(suffix, "application/octet-stream"),
        "Content-Length": str(opened.size),
        "Content-Disposition": "inline" if inline else _attachment(opened.name),
        "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    }


def _attachment(name: str) -> str:
    """`name` for old browsers without anything special, and as it is, percent-encoded."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in name)
    encoded = quote(name.encode("utf-8", errors="surrogateescape"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def _descend(folder: Path, parts: list[str]) -> int:
    """A descriptor of the last of `parts`; no part may be a link. The caller closes it."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            below = os.open(part, flags, dir_fd=directory)
            os.close(directory)
            directory = below
        # Without waiting: a named pipe would keep us until somebody writes into it.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.open(parts[-1], flags, dir_fd=directory)
    finally:
        os.close(directory)


def _walk(folder: str, prefix: str, depth: int) -> Iterator[dict[str, object]]:
    if depth >= _DEEPEST:
        return
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        shown = sorted((each for each in entries if not is_hidden(each.name)), key=_by_name)
        for entry in shown[:_MOST_IN_A_FOLDER]:
            path = f"{prefix}{entry.name}"
            with contextlib.suppress(OSError):  # it may go away while we look
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(entry.path, f"{path}/", depth + 1)
                elif entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    text = os.fsencode(path).decode("utf-8", errors="replace")
                    yield {"path": text, "size": status.st_size, "modified": status.st_mtime}


def _by_name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _no_such_file(relative: str) -> RequestError:
    return RequestError(f"There is no file {relative!r} in this run's folder.", status=404)
