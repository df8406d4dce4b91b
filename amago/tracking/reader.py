"""Reading a local record: every writer's rows, without those that a resume has superseded.

The format is described in `tracking/store.py`. A record may be read while it is written, copied to
another machine, or read after a kill: a line that is not whole is skipped.
"""

import heapq
import json
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amago.tracking.values import decode

_SESSION = b'{"kind":"session"'
_ROW = b'{"kind":"row"'
_TORN_AT_MOST = 7
"""Lines at the end of a session that a kill, or a disk that fails again and again, may spoil."""


@dataclass(frozen=True)
class Row:
    """One call of `log`: every x-axis and every metric it gave.

    Args:
        writer: name of the process that wrote it, e.g. "learner".
        generation: which start of that writer, from 0.
        step: position among the rows that count; a row of a later generation replaces it.
        time: wall clock, seconds since 1970.
    """

    writer: str
    generation: int
    step: int
    time: float
    axes: dict[str, Any]
    data: dict[str, Any]


@dataclass(frozen=True)
class Position:
    """Where a writer's file ends: what the next session of it has to know."""

    generation: int = 0
    step: int = 0
    config: dict[str, Any] | None = None


def read_rows(run_dir: str | os.PathLike[str]) -> Iterator[Row]:
    """Rows that count, of every writer, in the order of time. Holds one row a writer in memory."""
    files = sorted((Path(run_dir) / "tracking").glob("*.jsonl"))
    return heapq.merge(*(_rows_of(file) for file in files), key=lambda row: row.time)


def read_events(run_dir: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Everything but rows (`session`, `gap`, `finish`), each with its `writer`, file by file."""
    for file in sorted((Path(run_dir) / "tracking").glob("*.jsonl")):
        for line in _lines(file):
            entry = None if line.startswith(_ROW) else _parse(line)
            if entry is not None:
                yield entry | {"writer": file.stem}


def position(file: Path) -> Position:
    """The end of a writer's file; the beginning if there is none."""
    session: dict[str, Any] | None = None
    rows: deque[bytes] = deque(maxlen=_TORN_AT_MOST + 1)
    for line in _lines(file):
        if line.startswith(_ROW):
            rows.append(line)
        elif line.startswith(_SESSION) and (parsed := _parse(line)):
            session = parsed
            rows.clear()
    if session is None:
        return Position()
    last = next((row for line in reversed(rows) if (row := _parse(line))), None)
    step = session["step"] if last is None else last["step"] + 1
    return Position(session["gen"] + 1, step, session.get("config"))


def _rows_of(file: Path) -> Iterator[Row]:
    limits = _first_superseded_steps(file)
    last = (-1, -1)
    for line in _lines(file):
        entry = _parse(line) if line.startswith(_ROW) else None
        if entry is None:
            continue
        place = (entry["gen"], entry["step"])
        # A write that failed half-way and could not be undone is repeated: read it once.
        if place > last and entry["step"] < limits.get(entry["gen"], entry["step"] + 1):
            data = {name: decode(value) for name, value in entry["data"].items()}
            yield Row(file.stem, *place, entry["t"], entry["axes"], data)
        last = max(last, place)


def _first_superseded_steps(file: Path) -> dict[int, int]:
    """For each generation but the last, the step from which a later one has taken over."""
    starts = {}
    for line in _lines(file):
        session = _parse(line) if line.startswith(_SESSION) else None
        if session is not None:
            starts[session["gen"]] = session["step"]
    return {
        generation: min((step for later, step in starts.items() if later > generation), default=0)
        for generation in starts
        if generation < max(starts)
    }


def _lines(file: Path) -> Iterator[bytes]:
    if file.exists():
        with open(file, "rb") as stream:
            yield from stream


def _parse(line: bytes) -> dict[str, Any] | None:
    """The entry of a line, or None if the line is torn."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
