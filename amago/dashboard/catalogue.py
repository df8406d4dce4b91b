"""Which metrics and axes there are: what the page makes its sections and menus of."""

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from amago.dashboard.curves import axes_as_metrics
from amago.dashboard.ordering import natural
from amago.tracking.index.build import PROCESS_TIME, STEP, WALL_TIME
from amago.tracking.metrics import declared
from amago.tracking.run import MetricInfo, Run
from amago.tracking.sections import AXES, section_order

_FIRST = "Average Total Return (Across All Env Names)"


def catalogue(runs: Mapping[str, Run]) -> dict[str, Any]:
    """The metrics of `runs` (by id) in sections, and the x-axes in the order of the menu."""
    found = entries(runs)
    sections = [
        {"name": name, "metrics": [entry for entry in found if entry["section"] == name]}
        for name in section_order(entry["name"] for entry in found)
    ]
    return {
        "axes": menu(axis for run in runs.values() for axis in run.axes),
        "default_axis": default_axis(run.default_axis for run in runs.values()),
        "sections": sections,
    }


def entries(runs: Mapping[str, Run]) -> list[dict[str, Any]]:
    """Every metric of `runs` (by id) and every axis, once, in the order of a section."""
    found: dict[str, list[tuple[str, MetricInfo]]] = {}
    for run_id, run in runs.items():
        for metric in [*run.metrics, *axes_as_metrics(run)]:
            found.setdefault(metric.name, []).append((run_id, metric))
    return [_entry(name, found[name]) for name in sorted(found, key=title_key)]


def menu(axes: Iterable[str]) -> list[str]:
    """Every x-axis one may choose, in the order of the menu: "Step" last, it says least."""
    others = sorted(set(axes) - set(AXES), key=natural)
    return [WALL_TIME, PROCESS_TIME, *AXES, *others, STEP]


def default_axis(axes: Iterable[str]) -> str:
    """The axis for runs whose own defaults are `axes`: gradient steps if none collects frames."""
    chosen = set(axes)
    return chosen.pop() if len(chosen) == 1 else AXES[0]


def title(name: str, section: str) -> str:
    """A metric's name without its section."""
    return name.removeprefix(f"{section}/")


def title_key(name: str) -> tuple[Any, ...]:
    """Sorts metric names as a section lists them: the average over everything, and axes, first."""
    rank = AXES.index(name) if name in AXES else len(AXES)
    return (rank, not name.endswith(_FIRST), natural(name))


def _entry(name: str, runs: list[tuple[str, MetricInfo]]) -> dict[str, Any]:
    section = runs[0][1].section
    counts = [metric.count for _, metric in runs]
    return {
        "name": name,
        "section": section,
        "title": title(name, section),
        "kind": runs[0][1].kind,
        "count": max(counts),
        "runs": [run_id for run_id, _ in runs],
        "single": max(counts) <= 1,
        "help": _help(name),
    }


@functools.lru_cache(maxsize=8192)
def _help(name: str) -> dict[str, str] | None:
    metric = declared(name)
    if metric is None:
        return None
    return {"unit": metric.unit, "says": metric.says, "formula": metric.formula}
