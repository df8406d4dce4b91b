"""Every metric, declared once: what its name means, its unit, its formula and where it is made.

The declarations (`tracking/declarations.py`) feed the documentation, the help texts of the page,
and a test that compares them with what a run logs. An undeclared metric, of a user's agent or
dataset, is recorded all the same.
"""

from amago.tracking.declarations import ALL
from amago.tracking.sections import AXES, SECTIONS, Metric, is_axis, section, section_order

__all__ = [
    "AXES",
    "SECTIONS",
    "Metric",
    "all_metrics",
    "declared",
    "is_axis",
    "section",
    "section_order",
]


def all_metrics() -> tuple[Metric, ...]:
    """Every declaration, in the order of the sections."""
    return ALL


def declared(name: str) -> Metric | None:
    """The first declaration that covers `name`, or None."""
    return next((metric for metric in ALL if metric.matches(name)), None)
