"""What happens when an environment fails: the limits, and the record of what went wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

from amago.core.errors import ConfigError, EnvError, amago_warning

BAD_VALUES = ("error", "drop", "clamp")


@dataclass(frozen=True)
class Supervision:
    """How much of what goes wrong in environments a pool endures.

    Attributes:
        step_timeout_s: seconds a worker process has for a step, a reset or a call of a method,
            before it is taken to hang, killed and started again. In "sync" mode nobody watches.
        start_timeout_s: seconds a worker process has to make its environments.
        max_failures: faults in a row in one environment, without a finished episode in between,
            that are an error. 1: the first already is.
        bad_values: what to do about a reward or observation that is not finite, or is not what
            the space promises. "error": stop. "drop": cut the episode off and begin the next.
            "clamp": zero in place of NaN, the largest number of the space (or else of the dtype)
            in place of infinity; a wrong shape or dtype is still an error.

    Raises:
        ConfigError: a limit that is not positive, or an unknown policy.
    """

    step_timeout_s: float = 600.0
    start_timeout_s: float = 600.0
    max_failures: int = 3
    bad_values: str = "error"

    def __post_init__(self) -> None:
        for name in ("step_timeout_s", "start_timeout_s", "max_failures"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be positive")
        if self.bad_values not in BAD_VALUES:
            raise ConfigError(f"bad_values is '{self.bad_values}'; choose from {BAD_VALUES}")


@dataclass(frozen=True)
class Fault:
    """Something that went wrong in the environments of one or more rows, and was dealt with.

    Attributes:
        kind: faults of one kind look alike, e.g. the name of the exception's class.
        what: happened, and where: which row, which environment.
        consequence: what was done, and what is lost; whole sentences.
        trace: the traceback, as text; empty if there is none.
    """

    kind: str
    what: str
    consequence: str
    trace: str = ""


class FaultLog:
    """Warns about faults and counts them.

    Attributes:
        count: of the faults so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._kinds: set[str] = set()
        self._has_noted = False

    def report(self, faults: list[Fault], notes: Sequence[str] = ()) -> None:
        """Warn about each fault; the first of its kind with its traceback. One note is told."""
        if notes and not self._has_noted:
            self._has_noted = True
            amago_warning(notes[0])
        for fault in faults:
            self.count += 1
            is_first = fault.kind not in self._kinds
            self._kinds.add(fault.kind)
            trace = f"\n\n{fault.trace}" if fault.trace and is_first else ""
            amago_warning(f"fault {self.count}: {fault.what}. {fault.consequence}{trace}")


def too_many(what: str, failures: int) -> EnvError:
    """What to raise for the last fault that is endured.

    Args:
        what: happened.
        failures: faults in a row.
    """
    if failures == 1:
        return EnvError(what)
    return EnvError(
        f"{what}\nThis was fault {failures} in a row there, without a finished episode in between. "
        "Repair the environment, or allow more (max_failures)."
    )
