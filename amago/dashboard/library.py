"""The runs below some folders: found, opened when needed, kept up to date.

One thread looks for new runs and new rows, as long as somebody asks; requests are answered by other
threads. A run is used by one thread at a time. Of many runs only the last used ones stay open.
"""

import contextlib
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from amago.core.errors import AmagoError
from amago.dashboard.listing import broken_row, row_of, unread_row
from amago.dashboard.requests import RequestError
from amago.tracking.run import Run, open_run
from amago.tracking.runs import find_runs

_MOST_OPEN = 64
_PATIENCE_S = 10.0
"""How long a request waits for a run that another thread uses, e.g. to read it the first time."""

_ASKED_RECENTLY_S = 15.0
_SLICE_S = 0.5
"""How long a run is kept from requests while a part of a long record is taken in."""

_PAUSE_S = 0.01
_SHARE_OF_LOOKING = 0.05
"""Part of the time that may go into looking for runs: a large folder is searched less often."""


class Entry:
    """One run of a library. Made by `Library`.

    Attributes:
        id: short name that stays the same as long as the folder stays where it is.
        path: the run's folder.
        row: what the list of runs shows of it.
        changed_at: the library's cursor when `row` or the record last changed.
        is_complete: False while more of a long record waits for the next `refresh`.
    """

    def __init__(self, path: Path, folder: str) -> None:
        self.id = run_id(path)
        self.path = path
        self.folder = folder
        self.row: dict[str, Any] = unread_row(self.id, path, folder)
        self.changed_at = 0
        self._lock = threading.RLock()
        self._run: Run | None = None
        self._seen: tuple[Any, ...] | None = None
        self.is_complete = True

    @property
    def is_open(self) -> bool:
        """True while the run holds its index open."""
        return self._run is not None

    @contextlib.contextmanager
    def use(self) -> Iterator[Run]:
        """The run, for this thread alone.

        Raises:
            RequestError: it cannot be read (404), or not yet (503).
        """
        if not self._lock.acquire(timeout=_PATIENCE_S):
            raise RequestError(
                f"The run {self.path.name!r} is being read for the first time, which takes a "
                f"while for a long one. Ask again.",
                status=503,
            )
        try:
            yield self._opened()
        except (AmagoError, OSError) as error:
            raise RequestError(_unreadable(self.path, error), status=404) from error
        finally:
            self._lock.release()

    def refresh(self) -> bool:
        """Take in what is new; True if that changed anything. Never raises for a bad record."""
        seen = _fingerprint(self.path)
        if seen == self._seen and self.is_complete and self.row["status"] != "running":
            return False
        with self._lock:
            before = self.row
            try:
                run = self._opened()
                run.refresh(_SLICE_S)
                self.is_complete = run.is_complete
                self.row = row_of(self.id, self.folder, run)
            except Exception as error:  # whatever is in that folder, the others are still shown
                self._close()
                self.is_complete = True
                self.row = broken_row(self.id, self.path, self.folder, _reason(error))
            self._seen = seen
            return self.row != before

    def close(self) -> None:
        """Let go of the index; the next use opens it again."""
        with self._lock:
            self._close()

    def _opened(self) -> Run:
        if self._run is None:
            self._run = open_run(self.path, _SLICE_S)
        return self._run

    def _close(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None


class Library:
    """Every run below `roots`.

    Args:
        every_s: time between two looks at the runs, while somebody asks for them.
    """

    def __init__(self, roots: Sequence[str | os.PathLike[str]], every_s: float = 1.0) -> None:
        self.roots = [Path(root).resolve() for root in roots]
        self.every_s = every_s
        self._instance = secrets.token_hex(4)
        self._cursor = 1
        self._list_changed_at = 1
        self._entries: dict[str, Entry] = {}
        self._wake = threading.Condition()
        self._asked = time.monotonic()
        self._next_search = 0.0
        self._thread: threading.Thread | None = None
        self._is_closing = False

    # --------------------------------------------------------------------------- for requests

    def rows(self) -> list[dict[str, Any]]:
        """What the list of runs shows, newest first."""
        rows = [entry.row for entry in list(self._entries.values())]
        return sorted(rows, key=lambda row: row["updated"] or 0.0, reverse=True)

    def entry(self, run_id: str) -> Entry:
        """The entry of a run.

        Raises:
            RequestError: there is none.
        """
        entry = self._entries.get(run_id)
        if entry is None:
            raise RequestError(
                f"There is no run {run_id!r} here; its folder may have been moved or deleted.",
                status=404,
            )
        return entry

    @contextlib.contextmanager
    def using(self, run_ids: Sequence[str]) -> Iterator[dict[str, Run]]:
        """Several runs by id, for this thread alone; raises as `Entry.use` does."""
        with contextlib.ExitStack() as stack:
            # Always in the same order, so that two requests cannot wait for each other.
            runs = {
                entry.id: stack.enter_context(entry.use())
                for entry in sorted(map(self.entry, run_ids), key=lambda entry: entry.id)
            }
            yield {run_id: runs[run_id] for run_id in run_ids}

    def changes(self, since: str) -> dict[str, Any]:
        """What changed after the cursor `since` (from an earlier answer; "" for everything)."""
        self.touch()
        instance, _, number = since.partition(".")
        known = int(number) if instance == self._instance and number.isdecimal() else 0
        entries = list(self._entries.values())
        return {
            "cursor": f"{self._instance}.{self._cursor}",
            "changed": {e.id: e.row["version"] for e in entries if e.changed_at > known},
            "list_changed": self._list_changed_at > known,
        }

    # ------------------------------------------------------------------------- keeping up to date

    def touch(self) -> None:
        """Somebody is looking: keep the runs up to date for a while."""
        with self._wake:
            self._asked = time.monotonic()
            self._wake.notify_all()

    def refresh(self) -> bool:
        """Look once for new runs, if that is due, and for news of every known one.

        Returns:
            True if all that is in the records has been taken in; the next call goes on.
        """
        if time.monotonic() >= self._next_search:
            self._search()
        for entry in list(self._entries.values()):
            if self._is_closing:
                break
            if entry.refresh():
                self._cursor += 1
                entry.changed_at = self._cursor
            self._close_some()
        return all(entry.is_complete for entry in list(self._entries.values()))

    def start(self) -> None:
        """Keep the runs up to date in a thread."""
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="look for news", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and let go of every run."""
        with self._wake:
            self._is_closing = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=_PATIENCE_S)
            self._thread = None
        for entry in self._entries.values():
            entry.close()

    def _run(self) -> None:
        while not self._is_closing:
            pause = self.every_s if self.refresh() else _PAUSE_S
            with self._wake:
                self._wake.wait_for(lambda: self._is_closing, timeout=pause)
                self._wake.wait_for(lambda: self._is_closing or self._is_asked_for())

    def _is_asked_for(self) -> bool:
        return time.monotonic() - self._asked < _ASKED_RECENTLY_S

    def _search(self) -> None:
        began = time.monotonic()
        paths = find_runs(self.roots)
        found = {run_id(path): path for path in paths}
        gone = self._entries.keys() - found.keys()
        new = found.keys() - self._entries.keys()
        for each in gone:
            self._entries.pop(each).close()
        for each in new:
            path = found[each]
            self._entries[each] = Entry(path, shown_folder(path, self.roots))
        if gone or new:
            self._cursor += 1
            self._list_changed_at = self._cursor
        took = time.monotonic() - began
        self._next_search = time.monotonic() + took / _SHARE_OF_LOOKING

    def _close_some(self) -> None:
        """Close idle runs while too many are open, those that wrote last staying longest."""
        is_open = [entry for entry in self._entries.values() if entry.is_open]
        if len(is_open) > _MOST_OPEN:
            is_open.sort(key=lambda entry: entry.row["updated"] or 0.0)
            for entry in is_open[: len(is_open) - _MOST_OPEN]:
                entry.close()


def run_id(path: Path) -> str:
    """A short name for a run's folder: letters and digits only."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]


def shown_folder(path: Path, roots: Sequence[Path]) -> str:
    """Where a run lies, as a user who named `roots` would say it."""
    for root in roots:
        if path.is_relative_to(root):
            return str(path.relative_to(root.parent))
    return str(path)


def _fingerprint(path: Path) -> tuple[Any, ...] | None:
    """Changes whenever a record does; costs one look at each of its files."""
    found = []
    with contextlib.suppress(OSError), os.scandir(path / "tracking") as entries:
        for entry in entries:
            if entry.name.endswith(".jsonl"):
                status = entry.stat()
                found.append((entry.name, status.st_size, status.st_mtime_ns))
    return tuple(sorted(found))


def _unreadable(path: Path, error: Exception) -> str:
    return f"The run {path.name!r} cannot be read: {_reason(error)}"


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
