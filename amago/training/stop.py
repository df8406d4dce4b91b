"""Leaving a run on a signal: it saves where it is, and exits with a code that says "resume me".

Batch systems send SIGTERM (or SIGUSR1) some time before they kill. A second signal ends the process
at once.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from amago.training.distributed import Ranks

EXIT_RESUME = 75
"""Exit code of a run that was asked to stop and can be resumed (`EX_TEMPFAIL` of sysexits.h)."""

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
_CALLS_PER_AGREEMENT = 50


class StopRequested(Exception):
    """Raised where a run may be left, once a signal has asked for it."""


class StopSignal:
    """Notices signals while `listening`; several processes agree before they stop.

    Attributes:
        is_agreed: every process is about to stop.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._is_requested = False
        self._is_listening = False
        self._num_polls = 0
        self.is_agreed = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals inside the block, if this is the main thread (only it can)."""
        self._is_requested = self.is_agreed = False
        before = {}
        if threading.current_thread() is threading.main_thread():
            before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        self._is_listening = True
        try:
            yield
        finally:
            self._is_listening = False
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_requested:
            raise SystemExit(128 + number)
        self._is_requested = True

    def poll(self) -> bool:
        """Whether to stop. Cheap: with several processes only some calls ask the others, so all of
        them must call it equally often.
        """
        if self._ranks.world_size > 1:
            self._num_polls += 1
            return self.is_agreed or (self._num_polls % _CALLS_PER_AGREEMENT == 0 and self.settle())
        return self.settle()

    def settle(self) -> bool:
        """Whether to stop, agreed with the other processes now."""
        if self._is_listening and not self.is_agreed:
            self.is_agreed = any(self._ranks.gather(self._is_requested))
        return self.is_agreed


def leave_signals_to_the_main_process(worker: int) -> None:
    """For worker processes: batch systems signal every process of a job, and the main one decides.

    A worker ends when its parent does.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
