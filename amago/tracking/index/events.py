"""What an index has besides rows: starts and ends of sessions, gaps."""

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from amago.tracking.runs import WriterEnd

Event = dict[str, Any]


def load_events(database: sqlite3.Connection) -> list[Event]:
    """Every entry that is no row, with its `writer`; those of one writer in their order."""
    found = database.execute(
        "SELECT body, name FROM event JOIN writer ON writer.id = event.writer ORDER BY event.id"
    )
    return [json.loads(body) | {"writer": name} for body, name in found]


def time_of(event: Event) -> float:
    """When an entry was written, unix seconds; 0 if it does not say."""
    moment = event.get("t")
    if isinstance(moment, int | float) and math.isfinite(moment):
        return float(moment)
    return 0.0


def sessions_of(events: Iterable[Event]) -> list[Event]:
    """The `session` entries, each with `ended` and `status` of its `finish` entry, or None."""
    sessions: list[Event] = []
    latest: dict[str, Event] = {}
    for event in events:
        if event["kind"] == "session":
            session = event | {"ended": None, "status": None}
            latest[event["writer"]] = session
            sessions.append(session)
        elif event["kind"] == "finish" and event["writer"] in latest:
            ended = {"ended": time_of(event), "status": event.get("status")}
            latest[event["writer"]].update(ended)
    return sessions


def ends_of(events: Iterable[Event], last_rows: Mapping[str, float | None]) -> dict[str, WriterEnd]:
    """Where each writer is.

    Args:
        last_rows: time of the last row of each writer.
    """
    ends = {name: WriterEnd(None, None, moment or 0.0) for name, moment in last_rows.items()}
    for event in events:
        before = ends[event["writer"]]
        updated = max(before.updated, time_of(event))
        if event["kind"] == "session":
            ends[event["writer"]] = WriterEnd(event, None, updated)
        else:
            finish = event if event["kind"] == "finish" else before.finish
            ends[event["writer"]] = WriterEnd(before.session, finish, updated)
    return ends
