"""Lines appended to a file by a thread, so that the caller never waits for a disk."""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from amago.tracking.values import to_line

_PATIENCE_S = 1.0


class Appender:
    """Appends entries to a JSON Lines file; made and owned by a `LocalRecord`.

    An entry reaches the operating system within `flush_interval_s` and then survives the death of
    this process. While the file cannot be written (disk full), up to `max_pending` entries wait and
    are tried again; later rows are dropped, and a `gap` entry says which. A caller that is faster
    than a disk that works is held back instead. The thread starts with the first entry, and again
    with one after `close`.

    Args:
        warn: shows one line, once, when the file cannot be written. Called from the thread.
        encode: gives an entry as a line. Called from the thread.
    """

    def __init__(
        self,
        path: Path,
        warn: Callable[[str], None],
        flush_interval_s: float = 0.5,
        max_pending: int = 1000,
        encode: Callable[[Mapping[str, Any]], bytes] = to_line,
    ) -> None:
        self.path = path
        self._encode = encode
        self._warn = warn
        self._interval_s = flush_interval_s
        self._max_pending = max_pending
        self._changed = threading.Condition()
        self._pending: deque[Mapping[str, Any]] = deque()
        self._dropped: list[Mapping[str, Any]] = []  # at most two: the first and the last
        self._dropped_count = 0
        self._put_count = 0
        self._done_count = 0
        self._is_urgent = False
        self._is_stuck = False  # the disk took nothing when it was last tried
        self._is_closing = False
        self._thread: threading.Thread | None = None
        # Owned by the thread:
        self._lines: list[bytes] = []
        self._file: int | None = None
        self._size = 0
        self._is_torn = False
        self._warned: set[str] = set()

    # ------------------------------------------------------------------------ the caller's side

    def put(self, entry: Mapping[str, Any]) -> None:
        """Hand over one entry. Never raises for the disk's sake.

        Does not wait, unless rows come faster than they can be written: then it does, once for a
        second at most if the disk has stopped.
        """
        with self._changed:
            if self._is_full() and entry["kind"] == "row":
                self._wait_for_room()
            if self._is_full() and entry["kind"] == "row":
                self._dropped[1:] = [entry] if self._dropped else []
                self._dropped = self._dropped or [entry]
                self._dropped_count += 1
            else:
                self._append_gap()
                self._append(entry)
            if self._thread is None:
                self._is_closing = False
                self._thread = threading.Thread(
                    target=self._run, name=f"write {self.path.name}", daemon=True
                )
                self._thread.start()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until everything put so far is in the file; False if that took too long."""
        with self._changed:
            target = self._put_count
            self._is_urgent = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._done_count >= target, timeout_s)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Flush and stop the thread; False if something could not be written in time."""
        with self._changed:
            thread = self._thread
            if thread is None:
                return True
            self._append_gap()
        is_complete = self.flush(timeout_s)
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        thread.join(timeout_s)
        self._thread = None
        return is_complete

    def _is_full(self) -> bool:
        return self._put_count - self._done_count >= self._max_pending

    def _wait_for_room(self) -> None:
        if not self._is_stuck:
            self._is_urgent = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_stuck or not self._is_full(), _PATIENCE_S)
            self._is_stuck = self._is_full()

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._pending.append(entry)
        self._put_count += 1

    def _append_gap(self) -> None:
        if self._dropped_count:
            first, last = self._dropped[0], self._dropped[-1]
            gap = {"kind": "gap", "t": time.time(), "gen": first.get("gen")}
            gap |= {"first_step": first.get("step"), "last_step": last.get("step")}
            self._append(gap | {"rows": self._dropped_count, "reason": "could not be written"})
            self._dropped, self._dropped_count = [], 0

    # ------------------------------------------------------------------------ the thread's side

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._is_urgent or self._is_closing, self._interval_s
                )
                self._is_urgent = False
                is_last = self._is_closing
                entries = list(self._pending)
                self._pending.clear()
            self._lines += [self._line(entry) for entry in entries]
            if self._lines:
                is_written = self._write(b"".join(self._lines))
                with self._changed:
                    self._is_stuck = not is_written
                    self._done_count += len(self._lines) if is_written else 0
                    self._changed.notify_all()
                self._lines = [] if is_written else self._lines
            if is_last:
                self._close_file()
                return

    def _line(self, entry: Mapping[str, Any]) -> bytes:
        try:
            return self._encode(entry)
        except Exception as error:  # the thread must live: other rows depend on it
            self._warn_once(
                "entry",
                f"an entry of {self.path} cannot be written ({type(error).__name__}: {error}). "
                f"The run goes on; this is said once.",
            )
            return b""

    def _write(self, data: bytes) -> bool:
        try:
            if self._file is None:
                self._open()
            _write_all(self._file, b"\n" + data if self._is_torn else data)
        except OSError as error:
            self._undo()
            self._warn_once(
                "file",
                f"cannot write {self.path} ({error.strerror}). The run goes on; rows are "
                f"written later if that ends, and missing ones are marked.",
            )
            return False
        self._size += len(data) + self._is_torn
        self._is_torn = False
        return True

    def _warn_once(self, kind: str, text: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(text)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._size = os.fstat(self._file).st_size
        if self._size > 0:
            # A process killed while writing leaves part of a line: ours begins on a new one.
            os.lseek(self._file, -1, os.SEEK_END)
            self._is_torn = os.read(self._file, 1) != b"\n"

    def _undo(self) -> None:
        """Remove what a failed write left, so that trying again repeats no line."""
        if self._file is not None:
            try:
                os.ftruncate(self._file, self._size)
            except OSError:
                self._is_torn = True

    def _close_file(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # e.g. EINVAL where a file system cannot sync
                os.fsync(self._file)
            os.close(self._file)
            self._file = None


def _write_all(file: int | None, data: bytes) -> None:
    assert file is not None
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
