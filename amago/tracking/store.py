"""The local record of a run: always on, append-only, readable in twenty years.

`<run_dir>/tracking/<writer>.jsonl` holds one JSON object a line. Each file has one writing process;
the learner's is `learner`. Another process that logs into the same run takes another name, or is
given one with its host and pid while the file is in use. The folder appears with the first row.
`schema` is 1; a reader skips kinds and fields it does not know.

`{"kind":"session"}` opens each start of a writer:
    `schema`; `gen`, which start this is, from 0; `step`, the step of its first row; `t`, seconds
    since 1970; `writer`; `command`, `cwd`, `host`, `pid`, `platform`, `python`, `versions`, `git`
    (`commit`, `is_dirty`), `environment` (chosen variables); `config`; `changes` from the config of
    the session before, as `{"dotted.name": [old, new]}`; whatever else the caller gave (`seed`).
    Secrets are redacted.
`{"kind":"row","t":...,"step":n,"gen":g,"axes":{...},"data":{...}}` is one call of `log`:
    every x-axis, then every metric as `section/name`. A value is a number, a text, null, a
    histogram, or an image, video or table in a file of its own: see `tracking/values.py`.
`{"kind":"gap","t":...,"gen":g,"first_step":a,"last_step":b,"rows":n,"reason":...}`
    stands where `n` rows are missing, because the disk was full or too slow.
`{"kind":"finish","t":...,"gen":g,"step":n,"status":...}` closes a session: "finished", "crashed"
    or "stopped". One that was killed has none.

A session that begins at step `s` supersedes every row of earlier sessions whose step is `s` or
more: a resumed run continues at the step of its checkpoint, and nothing is deleted.
"""

import atexit
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from socket import gethostname
from typing import Any

from amago.core.errors import amago_warning
from amago.core.names import slug
from amago.tracking.appender import Appender
from amago.tracking.claim import Claim
from amago.tracking.config_files import changes, recordable
from amago.tracking.media import MediaFolder
from amago.tracking.reader import SCHEMA, position
from amago.tracking.sections import is_axis
from amago.tracking.session import describe_session, status_at_exit
from amago.tracking.values import plain_row, to_line


class LocalRecord:
    """The tracker that writes the local record. Made by the experiment; rank 0 owns it.

    Args:
        writer: name of the file; a second live process that asks for it gets another.
        facts: more entries for the `session` line, e.g. `{"seed": 3}`.
        warn: shows one line about trouble with the disk; may be called from another thread.
        flush_interval_s: at most this much is lost when the process is killed.
        max_pending: rows kept in memory while the disk does not take them.

    Attributes:
        config_changes: `{"dotted.name": [old, new]}` from the session before, once this one began.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        writer: str = "learner",
        *,
        facts: Mapping[str, Any] | None = None,
        warn: Callable[[str], None] = amago_warning,
        flush_interval_s: float = 0.5,
        max_pending: int = 1000,
    ) -> None:
        self.path = Path(run_dir) / "tracking" / f"{slug(writer)}.jsonl"
        self._warn = warn
        self._facts = recordable(facts or {})
        self._config: dict[str, Any] = {}
        self.config_changes: dict[str, list[Any]] = {}
        self._claim = Claim(self.path)
        self._media = MediaFolder(self.path, warn)
        self._appender = Appender(self.path, warn, flush_interval_s, max_pending, self._encode)
        self._resume_step: int | None = None
        self._generation: int | None = None  # None until this session's line is written
        self._step = 0

    @property
    def step(self) -> int:
        """Step of the next row: a checkpoint keeps it for `resume_at`."""
        if self._generation is not None:
            return self._step
        return position(self.path).step if self._resume_step is None else self._resume_step

    def resume_at(self, step: int) -> None:
        """Go on from a checkpoint that was made at `step`; later rows of the file are superseded.

        Without this, the rows of a new session follow those there are.
        """
        self._resume_step = step
        if self._generation is not None:
            self._appender.flush()
            self._generation = None

    def config(self, config: Mapping[str, Any]) -> None:
        """Keep every setting of the run for the `session` line."""
        self._config = recordable(config)

    def begin(self) -> None:
        """Write the session line, if that is not done: a run shows before its first row."""
        if self._generation is None:
            self._open_session()

    def log(self, row: Mapping[str, Any]) -> None:
        """Record one row; returns before it is on the disk."""
        self.begin()
        axes, data = {}, {}
        for name, value in plain_row(row).items():
            (axes if is_axis(name) else data)[name] = value
        entry = self._entry("row", step=self._step) | {"axes": axes, "data": data}
        self._appender.put(entry)
        self._step += 1

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until every row so far is safe from a kill; False if that took too long."""
        return self._appender.flush(timeout_s)

    def finish(self, status: str) -> None:
        """Write how the run ended, and every row still in memory. Nothing if none was logged."""
        if self._generation is None:
            return
        atexit.unregister(self._finish_at_exit)
        self._appender.put(self._entry("finish", step=self._step) | {"status": status})
        if not self._appender.close():
            self._warn(f"the last rows of {self.path} could not be written.")
        self._claim.release()

    def _open_session(self) -> None:
        if not self._claim.take():
            self.path = self.path.with_stem(f"{self.path.stem}-{slug(gethostname())}-{os.getpid()}")
            self._appender.path = self.path
            self._media = MediaFolder(self.path, self._warn)
        before = position(self.path)
        if before.config is not None:
            self.config_changes = changes(before.config, self._config)
        self._generation = before.generation
        self._step = before.step if self._resume_step is None else self._resume_step
        session = {
            "schema": SCHEMA,
            "writer": self.path.stem,
            **describe_session(),
            **self._facts,
            "config": self._config,
            "changes": self.config_changes,
        }
        self._appender.put(self._entry("session", step=self._step) | session)
        atexit.unregister(self._finish_at_exit)
        atexit.register(self._finish_at_exit)

    def _finish_at_exit(self) -> None:
        self.finish(status_at_exit())

    def _encode(self, entry: Mapping[str, Any]) -> bytes:
        return to_line(entry, self._media.keep)

    def _entry(self, kind: str, step: int) -> dict[str, Any]:
        return {"kind": kind, "t": time.time(), "step": step, "gen": self._generation}
