"""What a tracker is, and two that combine others: all of them (`FanOut`), or none."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from amago.core.errors import amago_warning
from amago.tracking.values import plain_row


class Tracker(Protocol):
    """Receives what a run reports. Write a class with these three methods to add your own.

    Made before a run starts, called by its rank 0 only, from one thread. May raise: `FanOut` keeps
    the run going.
    """

    def config(self, config: Mapping[str, Any]) -> None:
        """Take every setting of the run; called before the first row."""
        ...

    def log(self, row: Mapping[str, Any]) -> None:
        """Take one row: x-axes without a prefix (`total_frames`), metrics as `section/name`.

        Values are numbers, text or `core.values.Histogram`.
        """
        ...

    def finish(self, status: str) -> None:
        """End the run: `status` is "finished", "crashed" or "stopped"."""
        ...


class NullTracker:
    """A tracker that does nothing."""

    def config(self, config: Mapping[str, Any]) -> None:
        pass

    def log(self, row: Mapping[str, Any]) -> None:
        pass

    def finish(self, status: str) -> None:
        pass


class FanOut:
    """Gives everything to each of several trackers. One that raises stops neither them nor the run.

    Args:
        warn: shows one line, once for each tracker and kind of call that failed.
    """

    def __init__(
        self, trackers: Iterable[Tracker], warn: Callable[[str], None] = amago_warning
    ) -> None:
        self.trackers = list(trackers)
        self._warn = warn
        self._warned: set[tuple[int, str]] = set()

    def config(self, config: Mapping[str, Any]) -> None:
        self._each("config", config)

    def log(self, row: Mapping[str, Any]) -> None:
        self._each("log", plain_row(row))

    def finish(self, status: str) -> None:
        self._each("finish", status)

    def _each(self, method: str, argument: Any) -> None:
        for tracker in self.trackers:
            try:
                getattr(tracker, method)(argument)
            except Exception as error:  # whatever a tracker throws, the run is worth more
                self._report(tracker, method, error)

    def _report(self, tracker: Tracker, method: str, error: Exception) -> None:
        key = (id(tracker), method)
        if key not in self._warned:
            self._warned.add(key)
            self._warn(
                f"{type(tracker).__name__}.{method} failed ({type(error).__name__}: {error}). "
                f"The run goes on; this is said once."
            )
