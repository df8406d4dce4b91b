"""The index of one run: brought up to date, and asked.

Any number of processes may do so at once: one of them writes, in short transactions, the others
read what is there.
"""

import os
import sqlite3
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from amago.tracking.index.build import load_writers, remove_writer, take_in
from amago.tracking.index.database import (
    UnusableError,
    candidates,
    connect,
    discard,
    is_busy,
    is_damage,
    transaction,
)

T = TypeVar("T")

_SLICE_S = 1.0
"""How long one transaction may take: others wait for it."""


class Index:
    """The index of the run in `run_dir`. Made and owned by a `Run`; used by one thread at a time.

    Attributes:
        place: the path of the database, or ":memory:".
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._places = candidates(run_dir)
        self._seen: dict[str, tuple[int, ...]] = {}
        self._data_version = -1
        self._is_complete = False
        self.place = ""
        self._connect()

    @property
    def is_complete(self) -> bool:
        """True if all that was in the files at the last `refresh` is in the index."""
        return self._is_complete

    def refresh(self, limit_s: float | None = None) -> bool:
        """Take in what is new in the files; True if there was anything.

        Args:
            limit_s: stops after about that long; the next call goes on.

        Raises:
            RecordError: a file is of a later version of this package.
            OSError: a file cannot be read.
        """
        before = self._seen
        self._seen = self._look()
        if self._seen == before and self._is_complete and not self._has_other_written():
            return False
        deadline = time.monotonic() + (float("inf") if limit_s is None else limit_s)
        self._is_complete = self.ask(lambda database: self._take_in(database, deadline))
        self._data_version = self._version()
        return True

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Answer `question`; an index that fails under it is replaced, and filled again."""
        try:
            return question(self._database)
        except sqlite3.Error as error:
            self._replace(error)
            self._take_in(self._database, float("inf"))
            return question(self._database)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _connect(self) -> None:
        while True:
            try:
                self.place = self._places[0]
                self._database = connect(self.place)
                # Nobody has to close a run that was only looked at.
                weakref.finalize(self, self._database.close)
                return
            except UnusableError:
                if len(self._places) == 1:
                    raise
                self._places.pop(0)

    def _replace(self, error: sqlite3.Error) -> None:
        self._database.close()
        if is_damage(error):
            discard(self.place)
        elif len(self._places) > 1:  # a full disk, for instance
            self._places.pop(0)
        self._connect()

    def _look(self) -> dict[str, tuple[int, ...]]:
        """Size, time and identity of every writer's file, by the writer's name."""
        found = {}
        with os.scandir(self._run_dir / "tracking") as entries:
            for entry in entries:
                if entry.name.endswith(".jsonl") and entry.is_file():
                    status = entry.stat()
                    state = (status.st_size, status.st_mtime_ns, status.st_ino)
                    found[entry.name.removesuffix(".jsonl")] = state
        return dict(sorted(found.items()))

    def _version(self) -> int:
        return self.ask(lambda database: database.execute("PRAGMA data_version").fetchone()[0])

    def _has_other_written(self) -> bool:
        return self._version() != self._data_version

    def _take_in(self, database: sqlite3.Connection, deadline: float) -> bool:
        """Bring everything up to date; False if time ran out, or somebody else is doing it."""
        known = load_writers(database)
        try:
            for name in known.keys() - self._seen.keys():
                with transaction(database):
                    remove_writer(database, known[name].id)
            return all(self._take_in_file(database, name, deadline) for name in self._seen)
        except sqlite3.Error as error:
            if is_busy(error):
                return False
            raise

    def _take_in_file(self, database: sqlite3.Connection, name: str, deadline: float) -> bool:
        file = self._run_dir / "tracking" / f"{name}.jsonl"
        while True:
            with transaction(database):
                until = min(deadline, time.monotonic() + _SLICE_S)
                if take_in(database, file, name, until):
                    return True
            if time.monotonic() > deadline:
                return False
