"""What a run says about itself: how it was started, where, its settings, its values."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from amago.core.values import Histogram
from amago.dashboard.curves import longest
from amago.dashboard.encoding import numbers
from amago.dashboard.files import list_files, tail
from amago.dashboard.listing import RETURN
from amago.dashboard.requests import RequestError
from amago.tracking.index.build import PROCESS_TIME
from amago.tracking.run import Run
from amago.tracking.runs import LEARNER

_FACTS = (
    *("command", "cwd", "host", "pid", "platform", "python", "versions", "git", "environment"),
    "seed",
)
_SUMMARY = (f"test/{RETURN}", f"val/{RETURN}", "train/Loss", "val/Env FPS (per_process)")
_LARGEST_GIN = 1_000_000
_MOST_VALUES = 500


def overview(run: Run) -> dict[str, Any]:
    """Command, machine, versions, times and sessions; the facts are of the learner's last start."""
    sessions = run.sessions
    own = [each for each in sessions if each.get("writer") == LEARNER] or sessions
    facts = own[-1] if own else {}
    last = {metric.name: metric.last for metric in run.metrics}
    return {
        **{key: facts.get(key) for key in _FACTS},
        "started": run.started,
        "ended": run.ended,
        "running_s": _running_s(run),
        "status": run.status,
        "folder": str(run.path),
        "writers": run.writers,
        "sessions": [_without_config(session) for session in sessions],
        "gaps": run.gaps,
        "summary": {name: last[name] for name in _SUMMARY if name in last},
    }


def config(run: Run) -> dict[str, Any]:
    """Every setting, nested, and the gin text that reproduces them (None without one)."""
    try:
        gin, _ = tail(run.path, "config.gin", _LARGEST_GIN)
    except RequestError:
        gin = None
    return {"config": run.config, "gin": gin}


def log(run: Run, size: int) -> dict[str, Any]:
    """The end of what the run printed: of the learner if it has a log, else of another writer."""
    for writer in run.writers:
        file = f"tracking/{writer}.log"
        try:
            text, whole = tail(run.path, file, size)
        except RequestError:
            continue
        return {"text": text, "size": whole, "file": file}
    return {"text": "", "size": 0, "file": None}


def files(path: Path) -> dict[str, Any]:
    """The files of a run's folder."""
    return {"files": list_files(path)}


def values(run: Run, metric: str, x: str) -> dict[str, Any]:
    """Values of any kind over `x`; of very many, evenly chosen ones and the last."""
    found = run.values(metric, x)
    if len(found) > _MOST_VALUES:
        chosen = np.unique(np.linspace(0, len(found) - 1, _MOST_VALUES).round().astype(int))
        found = [found[i] for i in chosen]
    return {"values": [{"x": at, "value": _plain(value)} for at, value in found]}


def _plain(value: Any) -> Any:
    if isinstance(value, Histogram):
        counts, edges = np.asarray(value.counts, float), np.asarray(value.edges, float)
        return {"counts": numbers(counts), "edges": numbers(edges)}
    return value


def _running_s(run: Run) -> float | None:
    """Seconds of running, without the time between sessions."""
    if run.started is None:
        return None
    most = longest(run)
    times = None if most is None else run.series(most.name, PROCESS_TIME).x
    until_the_last_row = 0.0 if times is None or not len(times) else float(times[-1])
    since = time.time() - run.updated if run.status == "running" else 0.0
    return until_the_last_row + max(0.0, since)


def _without_config(session: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in session.items() if key != "config"}
