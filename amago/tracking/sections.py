"""What a metric is, and which section its name belongs to."""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

SECTIONS = ("test", "dataset", "Charts", "train", "val", "System")
"""The sections of every run, in the order in which they are shown. `Charts` holds the x-axes. Any
other section (`val_episodes`, one of a user's own) is shown before the last: see `section_order`.
"""

AXES = ("total_frames", "Epoch", "gradient_steps")
"""X-axes that every row has, besides `total_frames-{name}` of each environment name."""


@dataclass(frozen=True)
class Metric:
    """A declared metric.

    Args:
        name: `section/name`, or an x-axis without a section.
        unit: "1" for a pure number.
        says: what it tells the reader of a chart; where that can be said, what good and bad look
            like.
        formula: how it is computed.
        source: the module that makes it.
    """

    name: str
    unit: str
    says: str
    formula: str = ""
    source: str = ""

    @property
    def section(self) -> str:
        """The part before the slash; `Charts` for an x-axis."""
        return section(self.name)

    def matches(self, name: str) -> bool:
        """True if `name` is this metric, with any text in its fields."""
        return _pattern(self.name).fullmatch(name) is not None


@functools.cache
def _pattern(name: str) -> re.Pattern[str]:
    parts = re.split(r"\{\w+\}", name)
    return re.compile("(.+?)".join(re.escape(part) for part in parts), re.DOTALL)


def is_axis(name: str) -> bool:
    """True for an x-axis: one of `AXES`, frames of an env name, or any name without a section."""
    return "/" not in name or name.startswith("total_frames-")


def section(name: str) -> str:
    """Section that shows `name`."""
    return "Charts" if is_axis(name) else name.partition("/")[0]


def section_order(names: Iterable[str]) -> list[str]:
    """The sections of these metrics, each once, in the order in which they are shown.

    That of `SECTIONS`; others by the alphabet, between `val` and `System`.
    """
    present = {section(name) for name in names}
    *first, last = SECTIONS
    order = [*first, *sorted(present - set(SECTIONS)), last]
    return [name for name in order if name in present]
