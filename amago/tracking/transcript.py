"""What a run printed, kept beside its record: `<run_dir>/tracking/<writer>.log`."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LONGEST_LINE = 10_000


class Transcript:
    """Copies standard output and error of this process into a file while it is open.

    Of a line that is drawn again and again, as a progress bar is, only the last state is kept, and
    no colour codes. A disk that cannot be written costs the transcript, nothing else. One is open
    at a time: the runs of a script that makes several each get their own part.
    """

    _open: ClassVar[Transcript | None] = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self._streams: list[_Copied] = []

    def begin(self, before: Iterable[str] = ()) -> None:
        """Start copying; does nothing when that is done.

        Args:
            before: lines that were printed before there was a folder to keep them in.
        """
        if Transcript._open is self:
            return
        if Transcript._open is not None:
            Transcript._open.end()
        Transcript._open = self
        self._append("".join(f"{line}\n" for line in before))
        for name in ("stdout", "stderr"):
            copied = _Copied(getattr(sys, name), self._append)
            self._streams.append(copied)
            setattr(sys, name, copied)

    def end(self) -> None:
        """Stop copying."""
        if Transcript._open is not self:
            return
        Transcript._open = None
        for name, copied in zip(("stdout", "stderr"), self._streams, strict=True):
            copied.stop()
            if getattr(sys, name) is copied:  # else somebody has wrapped it, and goes through it
                setattr(sys, name, copied.stream)
        self._streams = []

    def _append(self, text: str) -> None:
        if text:
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with open(self.path, "a", encoding="utf-8", errors="replace") as file:
                    file.write(text)


class _Copied:
    """A text stream that also gives its whole lines away."""

    def __init__(self, stream: Any, give: Any) -> None:
        self.stream = stream
        self._give = give
        self._line = ""

    def write(self, text: str) -> Any:
        """Write to the stream, and give away every line that this completes."""
        written = self.stream.write(text)
        if self._give is not None:
            *whole, self._line = (self._line + text).split("\n")
            self._line = self._line[-_LONGEST_LINE:]
            self._give("".join(f"{_last_state(line)}\n" for line in whole))
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def stop(self) -> None:
        """Give nothing away any more."""
        if self._give is not None and self._line.strip():
            self._give(f"{_last_state(self._line)}\n")
        self._give = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _last_state(line: str) -> str:
    """`line` as a terminal would leave it: what follows the last carriage return that shows."""
    states = [state for state in _ESCAPES.sub("", line).split("\r") if state.strip()]
    return states[-1].rstrip() if states else ""
