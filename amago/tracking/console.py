"""What a run says on the terminal: summary, progress, evaluation results, trouble."""

import os
import shutil
import sys
import textwrap
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from tqdm import tqdm

_WIDTH = 80
_DESC_WIDTH = 28
"""Columns for the name of a progress bar, which leaves a bar of 12 or more on 80 columns."""

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{remaining} left, {rate_fmt}]"
_LINE_EVERY_S = 10.0
_RED = "\x1b[31m"
_RESET = "\x1b[0m"
_REMEMBERED = 1000


class Progress(Protocol):
    """A piece of work that is being counted."""

    def update(self, n: int = 1) -> object:
        """Count `n` more units as done."""
        ...


class Console:
    """Writes for people. One a process; the experiment owns it.

    Colours and moving bars are used on a terminal only, and no colour where `NO_COLOR` is set.

    Args:
        verbose: False leaves only warnings and errors.
        stream: where to write; None is standard output as it is at each call.
        clock: seconds, never going back.

    Attributes:
        said: the latest lines, progress bars left out, without colour.
    """

    def __init__(
        self,
        verbose: bool,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.verbose = verbose
        self.said: deque[str] = deque(maxlen=_REMEMBERED)
        self._stream = stream
        self._clock = clock

    @property
    def stream(self) -> TextIO:
        """Where the text goes now."""
        return sys.stdout if self._stream is None else self._stream

    def summary(self, title: str, facts: Mapping[str, Any]) -> None:
        """A block: the title, then one aligned `name  value` line for each fact."""
        width = max((len(name) for name in facts), default=0)
        self.line(f"\n{title}\n{'─' * min(len(title), _WIDTH)}")
        for name, value in facts.items():
            for line in _wrapped(f"  {name:<{width}}  ", str(value)):
                self.line(line)
        self.line("")

    def evaluation(self, average_return: float, fps: float | None = None) -> None:
        """The result of an evaluation during training."""
        self.line(f"Average Return : {average_return:.4g}")
        if fps is not None:
            self.line(f"Env FPS : {fps:.0f}")

    def test(self, average_return: float) -> None:
        """The result of `Experiment.evaluate_test`."""
        self.line(f"Test Average Return : {average_return:.4g}")

    def line(self, text: str) -> None:
        """One line, if verbose."""
        if self.verbose:
            self._write(text)

    def warn(self, text: str) -> None:
        """One red line, also when not verbose."""
        self._write(f"Warning: {text}", self._red)

    def error(self, text: str) -> None:
        """One red line, also when not verbose."""
        self._write(f"Error: {text}", self._red)

    @contextmanager
    def progress(
        self, total: int, desc: str, units: str = "steps", colour: str | None = None
    ) -> Iterator[Progress]:
        """Shows how far a piece of work of `total` `units` is, its rate and the time left.

        A moving bar on a terminal; else a line every ten seconds and one at the end.
        """
        if not self.verbose:
            yield _Silent()
        elif _is_terminal(self.stream):
            with tqdm(
                total=total,
                desc=_shortened(desc),
                unit=f" {units}",
                colour=colour if _has_colour(self.stream) else None,
                bar_format=_BAR,
                ncols=shutil.get_terminal_size((_WIDTH, 24)).columns,
                file=self.stream,
            ) as bar:
                yield bar
        else:
            lines = _Lines(total, desc, units, self.line, self._clock)
            yield lines
            lines.finish()

    def _write(self, text: str, styled: Callable[[str], str] = str) -> None:
        self.said.append(text)
        # tqdm's writer keeps a bar that is being drawn below the line.
        tqdm.write(_encodable(styled(text), self.stream), file=self.stream)
        self.stream.flush()

    def _red(self, text: str) -> str:
        return f"{_RED}{text}{_RESET}" if _has_colour(self.stream) else text


class _Silent:
    def update(self, n: int = 1) -> None:
        pass


class _Lines:
    """Progress for a log file."""

    def __init__(
        self,
        total: int,
        desc: str,
        units: str,
        write: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._total, self._desc, self._units = total, desc, units
        self._write, self._clock = write, clock
        self._done = 0
        self._start_s = self._last_line_s = clock()

    def update(self, n: int = 1) -> None:
        self._done += n
        now = self._clock()
        if now - self._last_line_s >= _LINE_EVERY_S and self._done < self._total:
            self._last_line_s = now
            elapsed = now - self._start_s
            left = elapsed / max(self._done, 1) * (self._total - self._done)
            self._report(elapsed, f"{_duration(left)} left")

    def finish(self) -> None:
        elapsed = self._clock() - self._start_s
        self._report(elapsed, f"took {_duration(elapsed)}")

    def _report(self, elapsed: float, time_text: str) -> None:
        percent = 100 * self._done // self._total if self._total else 100
        rate = self._done / elapsed if elapsed > 0 else 0.0
        self._write(
            f"{self._desc}: {percent:3d}%  {self._done}/{self._total}  "
            f"{rate:.4g} {self._units}/s  {time_text}"
        )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"


def _shortened(desc: str) -> str:
    """`desc` in at most `_DESC_WIDTH` columns: its end ("Epoch 12 Train") tells more."""
    return desc if len(desc) <= _DESC_WIDTH else "…" + desc[-(_DESC_WIDTH - 1) :]


def _wrapped(label: str, value: str) -> list[str]:
    return textwrap.wrap(
        value,
        width=max(_WIDTH, len(label) + 20),
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,  # a path stays one piece, to be copied
        break_on_hyphens=False,
    ) or [label.rstrip()]


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty()


def _has_colour(stream: TextIO) -> bool:
    return _is_terminal(stream) and not os.environ.get("NO_COLOR")


def _encodable(text: str, stream: TextIO) -> str:
    """`text` with what the stream's encoding lacks replaced: a name must not end a run."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
