"""Reading a local record: every writer's rows, without those that a resume has superseded.

The format is described in `tracking/store.py`. A record may be read while it is written, copied to
another machine, or read after a kill: a line that is not whole is skipped.
"""

import functools
import heapq
import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amago.core.errors import RecordError
from amago.tracking.values import decode

SCHEMA = 1
"""Format of the records that this version writes; it reads this one and earlier ones."""

SESSION = b'{"kind":"session"'
ROW = b'{"kind":"row"'
"""How the lines of these kinds begin."""

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
            entry = None if line.startswith(ROW) else parse(line)
            if entry is not None:
                yield entry | {"writer": file.stem}


def position(file: Path) -> Position:
    """The end of a writer's file; the beginning if there is none."""
    session: dict[str, Any] | None = None
    rows: deque[bytes] = deque(maxlen=_TORN_AT_MOST + 1)
    for line in _lines(file):
        if line.startswith(ROW):
            rows.append(line)
        elif line.startswith(SESSION) and (parsed := parse_session(line)):
            session = parsed
            rows.clear()
    if session is None:
        return Position()
    last = next((row for line in reversed(rows) if (row := parse_row(line))), None)
    step = session["step"] if last is None else last["step"] + 1
    return Position(session["gen"] + 1, step, session.get("config"))


def _rows_of(file: Path) -> Iterator[Row]:
    limit = _superseded_from(file)
    last = (-1, -1)
    for line in _lines(file):
        entry = parse_row(line) if line.startswith(ROW) else None
        if entry is None:
            continue
        place = (entry["gen"], entry["step"])
        # A write that failed half-way and could not be undone is repeated: read it once.
        if place > last and entry["step"] < limit(entry["gen"]):
            data = {name: decode(value) for name, value in entry["data"].items()}
            yield Row(file.stem, *place, entry["t"], entry["axes"], data)
        last = max(last, place)


def _superseded_from(file: Path) -> Callable[[int], float]:
    """For a generation, the step from which a later one has taken over."""
    sessions = [parse_session(line) for line in _lines(file) if line.startswith(SESSION)]
    starts = [(session["gen"], session["step"]) for session in sessions if session is not None]

    @functools.cache
    def limit(generation: int) -> float:
        return min((step for later, step in starts if later > generation), default=math.inf)

    return limit


def _lines(file: Path) -> Iterator[bytes]:
    if file.exists():
        with open(file, "rb") as stream:
            yield from stream


def parse_row(line: bytes) -> dict[str, Any] | None:
    """The entry of a line that begins with `ROW`; None if it is torn, or none of ours."""
    entry = parse(line)
    is_whole = (
        entry is not None
        and _is_count(entry.get("step"))
        and _is_count(entry.get("gen"))
        and type(entry.get("t")) in (float, int)
        and type(entry.get("axes")) is dict
        and type(entry.get("data")) is dict
    )
    return entry if is_whole else None


def parse_session(line: bytes) -> dict[str, Any] | None:
    """The entry of a line that begins with `SESSION`; None if it is torn, or none of ours.

    Raises:
        RecordError: a later version of this package has written it, in a format of its own.
    """
    entry = parse(line)
    if entry is None or not all(_is_count(entry.get(key)) for key in ("step", "gen")):
        return None
    schema = entry.get("schema", SCHEMA)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise RecordError(
            f"the record of '{entry.get('writer')}' has the format {schema}, and this version of "
            f"amago reads up to {SCHEMA}: upgrade amago to read it."
        )
    return entry


def parse(line: bytes) -> dict[str, Any] | None:
    """The entry of a line, or None if the line is torn."""
    try:
        entry = json.loads(line.decode())  # given bytes, it would look for their encoding first
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**53
