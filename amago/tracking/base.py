"""What a tracker is, and two that combine others: all of them (`FanOut`), or none.

A tracker of one's own is a class with three methods. Given to the experiment as a class, it is made
when the run starts, with a `TrackerContext`:

    import csv

    class CsvTracker:
        '''Every row as lines of `x-axis, name, value` in `numbers.csv`.'''

        def __init__(self, context):
            self.axis = context.default_axis
            self.file = open(context.run_dir / "numbers.csv", "a", newline="")
            self.writer = csv.writer(self.file)

        def config(self, config):
            self.writer.writerow(["", "seed", config["experiment"]["seed"]])

        def log(self, row):
            for name, value in row.items():
                if "/" in name and isinstance(value, int | float):
                    self.writer.writerow([row[self.axis], name, value])

        def finish(self, status):
            self.writer.writerow(["", "status", status])
            self.file.flush()

    experiment = Experiment(trackers=[CsvTracker], ...)

It may raise: the run goes on, and one line says what was wrong. If it is slow (a network), put it
behind a thread: `trackers=[lambda context: Background(MyTracker(context), context.warn)]`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from amago.core.errors import ConfigError, amago_warning
from amago.tracking.config_files import recordable
from amago.tracking.values import plain_row


class Tracker(Protocol):
    """Receives what a run reports. Write a class with these three methods to add your own.

    Made before a run starts, called by its rank 0 only, from one thread. May raise: `FanOut` keeps
    the run going.
    """

    def config(self, config: Mapping[str, Any]) -> None:
        """Take every setting of the run, as JSON has values; called before the first row."""
        ...

    def log(self, row: Mapping[str, Any]) -> None:
        """Take one row: x-axes without a prefix (`total_frames`), metrics as `section/name`.

        Values are numbers, text, or one of `core.values`: Histogram, Image, Video, Table.
        """
        ...

    def finish(self, status: str) -> None:
        """End what was begun: `status` is "finished", "crashed" or "stopped".

        Rows may follow, when a finished run is evaluated.
        """
        ...


@dataclass(frozen=True)
class TrackerContext:
    """What a tracker may want to know about the run it is made for.

    Args:
        run_dir: the run's folder.
        default_axis: name of the x-axis that charts should have: "total_frames", or
            "gradient_steps" if the run collects no data.
        say: shows one line.
        warn: shows one line about trouble. Both may be called from any thread.
        group: name that runs with different seeds share.
    """

    run_name: str
    run_dir: Path
    default_axis: str = "total_frames"
    say: Callable[[str], None] = amago_warning
    warn: Callable[[str], None] = amago_warning
    group: str | None = None


TrackerFactory = Callable[[TrackerContext], Tracker]
"""What makes a tracker as a run starts: a class, or a function."""

_METHODS = ("config", "log", "finish")


def make_trackers(
    given: Iterable[Tracker | TrackerFactory], context: TrackerContext
) -> list[Tracker]:
    """Trackers, each as it was given or made from what was given.

    Raises:
        ConfigError: something is no tracker, nor makes one. What a factory raises goes through:
            a tracker that the user asked for and that cannot exist is told before the run starts.
    """
    return [_made(candidate, context) for candidate in given]


def _made(candidate: Any, context: TrackerContext) -> Tracker:
    if not _is_tracker(candidate) and callable(candidate):
        candidate = candidate(context)
    if not _is_tracker(candidate):
        raise ConfigError(
            f"{candidate!r} is no tracker. `trackers` takes classes that are made with a "
            f"TrackerContext, or objects; both with the methods {', '.join(_METHODS)}."
        )
    return cast(Tracker, candidate)


def _is_tracker(candidate: Any) -> bool:
    return not isinstance(candidate, type) and all(
        callable(getattr(candidate, method, None)) for method in _METHODS
    )


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

    Settings are without secrets, and numbers of any library are Python's.

    Args:
        warn: shows one line, once for each tracker that failed.
    """

    def __init__(
        self, trackers: Iterable[Tracker], warn: Callable[[str], None] = amago_warning
    ) -> None:
        self.trackers = list(trackers)
        self._warn = warn
        self._failed: set[int] = set()

    def config(self, config: Mapping[str, Any]) -> None:
        self._each("config", recordable(config))

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
        if id(tracker) not in self._failed:
            self._failed.add(id(tracker))
            self._warn(
                f"{type(tracker).__name__}.{method} failed ({type(error).__name__}: {error}). "
                f"The run goes on; this is said once."
            )
