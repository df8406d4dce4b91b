"""What collectors say about themselves, and what the other processes of the run make of it.

`<run_dir>/collectors/<id>/heartbeat.json` is replaced by its collector every few seconds while it
acts, and at the end of each collection phase:

    {"schema": 1, "id": ..., "host": ..., "pid": ..., "beat": 17, "ended": false,
     "frames": {env name: ...}, "episodes": {env name: ...}, "policy_version": 5, "time": ...}

Frames are all that this collector ever took: they only grow, and they stay when it is gone. Whoever
adds up the files of a run therefore counts every frame once, however often collectors and learners
were killed and started again. `time` is for people; nothing is decided by it.
"""

import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from socket import gethostname
from typing import Any

from amago.core.atomic import write_whole
from amago.core.names import slug

SCHEMA = 1
_FILE = "heartbeat.json"
_HOST_LENGTH = 24


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """One beat of a collector.

    Args:
        frames, episodes: of all its environments so far, by environment name.
        policy_version: of the weights that it acts with; 0 before it has read any that say.
        beat: one more each time.
        ended: the collector has left in good order.
    """

    id: str
    host: str = field(default_factory=gethostname)
    pid: int = field(default_factory=os.getpid)
    beat: int
    ended: bool
    frames: dict[str, int]
    episodes: dict[str, int]
    policy_version: int
    time: float = field(default_factory=time.time)


def new_id() -> str:
    """A name for a collector that no other has, on any machine: `{host}-{pid}-{8 hex digits}`."""
    return f"{slug(gethostname(), _HOST_LENGTH)}-{os.getpid()}-{secrets.token_hex(4)}"


def rank_id(group: str, rank: int) -> str:
    """The name of one process of a collector that `accelerate launch` started as several."""
    return f"{group}-rank{rank}" if rank else group


def folder(run_dir: str | os.PathLike[str], collector: str) -> Path:
    """The folder of a collector, the only one in which it writes."""
    return Path(run_dir) / "collectors" / collector


def write_heartbeat(run_dir: str | os.PathLike[str], heartbeat: Heartbeat) -> None:
    """Replace the collector's file.

    Raises:
        OSError: the disk refused; the file is then as it was.
    """
    path = folder(run_dir, heartbeat.id) / _FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(str(path), [json.dumps({"schema": SCHEMA, **asdict(heartbeat)}).encode()])


def read_heartbeat(path: Path) -> Heartbeat | None:
    """What the file says; None if it is missing, torn, or of another make."""
    try:
        content: Any = json.loads(path.read_bytes())
        if content["schema"] != SCHEMA or content["id"] != path.parent.name:
            return None
        heartbeat = Heartbeat(**{known.name: content[known.name] for known in fields(Heartbeat)})
        numbers = [heartbeat.beat, heartbeat.policy_version, *heartbeat.frames.values()]
        return heartbeat if all(type(number) is int for number in numbers) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


class Collectors:
    """All collectors of a run, dead ones too, as another process sees them. Never goes back.

    Args:
        reread_after_s: files are read again only after this long, so that asking is cheap.
        live_for_s: a collector counts as alive for so long after a beat. Beats are noticed by this
            process, on its own clock: no two machines have to agree about the time.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        clock: Callable[[], float] = time.monotonic,
        reread_after_s: float = 1.0,
        live_for_s: float = 300.0,
    ) -> None:
        self._folder = Path(run_dir) / "collectors"
        self._clock = clock
        self._reread_after_s = reread_after_s
        self._live_for_s = live_for_s
        self._next_read_s = -float("inf")
        self._last: dict[str, Heartbeat] = {}
        self._frames: dict[str, Counter[str]] = {}
        self._heard_s: dict[str, float] = {}

    def frames(self, without: str = "") -> Counter[str]:
        """Frames of all collectors by environment name, without one collector and its ranks."""
        self._refresh()
        total: Counter[str] = Counter()
        for collector, frames in self._frames.items():
            if collector != without and not collector.startswith(f"{without}-rank"):
                total.update(frames)
        return total

    def live_versions(self) -> list[int]:
        """The version of the policy with which each collector acts that is alive."""
        self._refresh()
        since = self._clock() - self._live_for_s
        return [self._last[c].policy_version for c, at in self._heard_s.items() if at >= since]

    def refresh(self) -> None:
        """Read the files now."""
        self._next_read_s = self._clock() + self._reread_after_s
        try:
            names = os.listdir(self._folder)
        except OSError:  # there are none yet, or the disk is away: what was seen stays
            return
        for name in names:
            heartbeat = read_heartbeat(self._folder / name / _FILE)
            if heartbeat is not None:
                self._take(heartbeat)

    def _refresh(self) -> None:
        if self._clock() >= self._next_read_s:
            self.refresh()

    def _take(self, heartbeat: Heartbeat) -> None:
        collector = heartbeat.id
        before = self._last.get(collector, heartbeat)
        if heartbeat.beat < before.beat:
            return  # a file system may show an older file for a moment
        self._last[collector] = heartbeat
        self._frames[collector] = self._frames.get(collector, Counter()) | Counter(heartbeat.frames)
        if heartbeat.ended:
            self._heard_s.pop(collector, None)
        elif heartbeat.beat > before.beat:
            self._heard_s[collector] = self._clock()
