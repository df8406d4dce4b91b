"""A tracker behind a thread of its own: the run hands a row over and never waits for it."""

import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from amago.core.errors import amago_warning
from amago.tracking.base import FanOut, Tracker
from amago.tracking.config_files import recordable
from amago.tracking.session import status_at_exit


class Background:
    """Calls another tracker in a thread, in the order in which it was called itself.

    A run that ends without `finish` is finished when its main thread has ended.

    Args:
        tracker: called from that thread only. If it raises, that is said once.
        warn: shows one line about trouble, from any thread.
        max_pending: rows kept while `tracker` is busy; later ones are left out, and counted.
        finish_timeout_s: longest time that `finish` waits.
        advice: what to do about rows that were left out.
    """

    def __init__(
        self,
        tracker: Tracker,
        warn: Callable[[str], None] = amago_warning,
        *,
        max_pending: int = 2000,
        finish_timeout_s: float = 60.0,
        advice: str = "They are in the local record.",
    ) -> None:
        self._name = type(tracker).__name__
        self._tracker = FanOut([tracker], warn)
        self._warn = warn
        self._max_pending = max_pending
        self._finish_timeout_s = finish_timeout_s
        self._advice = advice
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._left_out = 0
        self._is_open = False

    def config(self, config: Mapping[str, Any]) -> None:
        """Hand the settings over, as they are now."""
        settings = recordable(config)
        self._put(lambda: self._tracker.config(settings))

    def log(self, row: Mapping[str, Any]) -> None:
        """Hand one row over."""
        if self._calls.qsize() >= self._max_pending:
            self._left_out += 1
            return
        row = dict(row)
        self._put(lambda: self._tracker.log(row))

    def finish(self, status: str) -> None:
        """End the run, once every row so far was taken; says so if that was not possible in time.

        A later row goes to the tracker as well.
        """
        if not self._is_open:
            return
        done = threading.Event()
        self._put(lambda: self._tracker.finish(status))
        self._put(done.set)
        self._is_open = False
        if not done.wait(self._finish_timeout_s):
            count = self._left_out + self._calls.qsize()
            problem = f" did not finish within {self._finish_timeout_s:g} s; up to {count} rows"
            self._warn(f"{self._name}{problem} were left out. {self._advice}")
        elif self._left_out:
            self._warn(f"{self._name}: {self._left_out} rows were left out. {self._advice}")
        self._left_out = 0

    def _put(self, call: Callable[[], None]) -> None:
        self._is_open = True
        self._calls.put(call)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
            # Not `atexit`: a client's own hook there would come first and end the client.
            threading.Thread(
                target=self._finish_at_exit, name=f"end of {self._name}", daemon=False
            ).start()

    def _run(self) -> None:
        while True:
            self._calls.get()()

    def _finish_at_exit(self) -> None:
        threading.main_thread().join()
        self.finish(status_at_exit())
