"""Which runs there are below a folder, and whether each is still going on."""

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amago.tracking.claim import is_claimed

LEARNER = "learner"
STATUSES = ("running", "finished", "crashed", "stopped")

_SILENT_AFTER_S = 300.0
"""Age of the last sign of life of another machine's process at which it counts as dead."""

_NEVER_HOLD_RUNS = ("buffer", "ckpts", "wandb_logs", "node_modules", "__pycache__")


def find_runs(roots: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Folders with a record (`tracking/*.jsonl`) at or below any of `roots`, sorted.

    Links below a root are not followed, hidden folders and stored trajectories not looked into. A
    run's folder holds no other run. What cannot be read is passed over.
    """
    found: set[Path] = set()
    for root in roots:
        found.update(_below(Path(root).resolve()))
    return sorted(found)


def has_record(folder: Path) -> bool:
    """Whether a folder is that of a run."""
    try:
        with os.scandir(folder / "tracking") as entries:
            return any(entry.name.endswith(".jsonl") and entry.is_file() for entry in entries)
    except OSError:
        return False


def _below(root: Path) -> Iterator[Path]:
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        if has_record(folder):
            yield folder
            continue
        try:
            with os.scandir(folder) as entries:
                waiting += [Path(entry.path) for entry in entries if _may_hold_runs(entry)]
        except OSError:
            continue


def _may_hold_runs(entry: os.DirEntry[str]) -> bool:
    is_hidden = entry.name.startswith(".")
    return (
        not is_hidden and entry.name not in _NEVER_HOLD_RUNS and entry.is_dir(follow_symlinks=False)
    )


@dataclass(frozen=True)
class WriterEnd:
    """Where a writer of a record is.

    Args:
        session: the last `session` entry, if there is one.
        finish: the `finish` entry that follows it, if there is one.
        updated: time of its last entry, unix seconds; 0 if there is none.
    """

    session: Mapping[str, Any] | None
    finish: Mapping[str, Any] | None
    updated: float


def status_of(run_dir: Path, writers: Mapping[str, WriterEnd]) -> str:
    """One of `STATUSES`: how the learner's last session ended, or that it goes on.

    A run without a learner goes on as long as any of its writers, and ends as the last one did.
    """
    deciding = {LEARNER: writers[LEARNER]} if LEARNER in writers else writers
    if any(end.finish is None and _is_alive(run_dir, name, end) for name, end in deciding.items()):
        return "running"
    last = max(deciding.values(), key=lambda end: end.updated, default=None)
    if last is None or last.finish is None:
        return "crashed"
    status = last.finish.get("status")
    return status if status in STATUSES[1:] else "crashed"


def _is_alive(run_dir: Path, name: str, end: WriterEnd) -> bool:
    file = run_dir / "tracking" / f"{name}.jsonl"
    claimed = is_claimed(file)
    is_here = end.session is None or end.session.get("host") == socket.gethostname()
    if claimed or (claimed is False and is_here):
        return claimed
    # On another machine, or where locks do not work: whoever lives shows it now and then.
    heartbeat = _heartbeat(run_dir, name)
    if heartbeat is not None:
        return _is_recent(heartbeat)
    written = _modified(file)
    return written is not None and _is_recent(min(written, end.updated))


def _heartbeat(run_dir: Path, name: str) -> float | None:
    """When the process that writes `name` last said that it lives; None if it does not say."""
    if name == LEARNER:
        return _modified(run_dir / "learner.lock")
    return _modified(run_dir / "collectors" / name.removeprefix("collector-") / "heartbeat.json")


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _is_recent(moment: float) -> bool:
    return time.time() - moment < _SILENT_AFTER_S
