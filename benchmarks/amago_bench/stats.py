"""From the answers of children to the numbers of a report. Pure."""

import statistics
from collections.abc import Sequence
from typing import Any


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles; with one value all three are that."""
    if len(values) == 1:
        return {"median": values[0], "q1": values[0], "q3": values[0], "n": 1}
    q1, _, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": statistics.median(values), "q1": q1, "q3": q3, "n": len(values)}


def summaries(rows: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """`summary` of every name that every row has."""
    names = [name for name in (rows[0] if rows else {}) if all(name in row for row in rows)]
    return {name: summary([row[name] for row in rows]) for name in names}


def medians(cases: Sequence[dict[str, dict[str, float]]]) -> dict[str, float]:
    """One number for each name: the median of the medians of all cases that have it."""
    names = {name for case in cases for name in case}
    return {
        name: statistics.median(case[name]["median"] for case in cases if name in case)
        for name in sorted(names)
    }


def of_package(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Wall and CPU seconds of a unit, peak memory, and what else the case reported."""
    if not answers:
        return {}
    return {
        "wall_s": summary([answer["wall_s"] for answer in answers]),
        "cpu_s": summary([answer["cpu_s"] for answer in answers]),
        "peak_rss_mb": max(answer["peak_rss_mb"] for answer in answers),
        "extra": summaries([answer["extra"] for answer in answers]),
    }


def add_ratios(
    packages: dict[str, Any], answers: dict[str, list[dict[str, Any]]], first: str
) -> None:
    """Write what each package costs relative to `first`: medians of the ratios round by round."""
    if not answers.get(first):
        return
    for name, given in answers.items():
        if name != first and given:
            for cost in ("cpu_s", "wall_s"):
                pairs = zip(given, answers[first])
                ratios = [one[cost] / other[cost] for one, other in pairs]
                packages[name][f"{cost}_ratio"] = summary(ratios)


def add_bounds(
    result: dict[str, Any],
    answers: dict[str, list[dict[str, Any]]],
    rounds: Sequence[dict[str, Any]],
) -> None:
    """Write what the machine would need for a unit at least, where the case counted that.

    `bound_cpu_s` is the count of floating point operations divided by the machine's speed at one
    large product; `times_bound` is what a unit took relative to it, round by round.

    Args:
        rounds: what the machine answered just before the packages did.
    """
    speed = f"{result['bound']}_per_cpu_s"
    for name, given in answers.items():
        gflop = result["packages"][name].get("facts", {}).get("gflop")
        if not gflop or not given:
            continue
        bounds = [gflop / answer["extra"][speed] for answer in rounds]
        result["packages"][name]["bound_cpu_s"] = statistics.median(bounds)
        result["packages"][name]["times_bound"] = summary(
            [answer["cpu_s"] / bound for answer, bound in zip(given, bounds)]
        )
