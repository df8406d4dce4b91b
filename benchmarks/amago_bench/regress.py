"""Whether cases got slower than in a stored run, each relative to its machine's own speed. Pure."""

from typing import Any

TOLERANCE = 0.25
"""Times that were not taken in turn agree to about this."""


class NotComparable(Exception):
    """Two reports whose numbers mean different things; the message says why."""


def slower(new: dict[str, Any], stored: dict[str, Any], tolerance: float = TOLERANCE) -> list[str]:
    """A line for each case of both reports whose cost grew by more than `tolerance`.

    The cost of a unit is its CPU time times the machine's speed in the same minutes: what the
    machine could have computed meanwhile. A machine twice as fast gives the same number.

    Args:
        tolerance: 0.25 allows a quarter more.

    Raises:
        NotComparable: other threads or sizes, or no case in common.
    """
    for option in ("threads", "quick"):
        if new["options"][option] != stored["options"][option]:
            raise NotComparable(
                f"this run has {option}={new['options'][option]}, the stored one "
                f"{option}={stored['options'][option]}: measure both alike."
            )
    both = [
        (name, cost, old)
        for name in new["cases"]
        if name in stored["cases"]
        and (cost := relative_cost(new, name)) is not None
        and (old := relative_cost(stored, name)) is not None
    ]
    if not both:
        raise NotComparable("the two runs have no measured case in common.")
    return [
        f"{name}: {cost / old:.2f} x the stored cost (allowed: {1 + tolerance:.2f} x)"
        for name, cost, old in both
        if cost > (1 + tolerance) * old
    ]


def relative_cost(report: dict[str, Any], name: str) -> float | None:
    """CPU seconds of a unit times the machine's speed, for the report's first package."""
    result = report["cases"][name]
    package = result["packages"].get(report["packages"][0]["name"], {})
    speed = result["machine"].get(f"{result['bound']}_per_cpu_s")
    if "cpu_s" not in package or not speed:
        return None
    return package["cpu_s"]["median"] * speed["median"]
