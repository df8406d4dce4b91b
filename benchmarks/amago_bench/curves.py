"""Cost against size: how it grows, and a picture of it."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

COLUMNS = 4
"""Of panels in the figure."""
SURPRISE = 0.15
"""By how much a fitted exponent may exceed the expected one: that much is noise."""

Points = list[tuple[float, float, float | None]]
"""Size, CPU seconds, GFLOP needed (if counted)."""


def curves(report: dict[str, Any]) -> dict[str, dict[str, Points]]:
    """Every plot's points of every package, by increasing size."""
    found: dict[str, dict[str, Points]] = defaultdict(lambda: defaultdict(list))
    for result in report["cases"].values():
        if "curve" not in result:
            continue
        for name, package in result["packages"].items():
            if "cpu_s" in package:
                many = result["size"] if result["at_once"] else 1
                cost = package["cpu_s"]["median"] * many
                point = (result["size"], cost, package["facts"].get("gflop"))
                found[result["curve"]][name].append(point)
    return {
        curve: {name: sorted(points) for name, points in lines.items()}
        for curve, lines in found.items()
    }


def exponent(sizes: list[float], costs: list[float]) -> float:
    """The slope of log cost against log size by least squares: 1 is linear."""
    x, y = [math.log(s) for s in sizes], [math.log(c) for c in costs]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y))
    return covariance / sum((a - mean_x) ** 2 for a in x)


def growth(points: Points) -> tuple[float, float]:
    """The exponent of the cost over the upper half of the sizes, and the one that is expected.

    The upper half, because small sizes cost what any size costs. Expected is 1, or the growth of
    the operations needed where that is more (attention is quadratic).
    """
    upper = points[(len(points) - 1) // 2 :]
    sizes = [size for size, _, _ in upper]
    needed = [gflop for _, _, gflop in upper if gflop]
    expected = exponent(sizes, needed) if len(needed) == len(upper) else 1.0
    return exponent(sizes, [cost for _, cost, _ in upper]), max(1.0, expected)


def describe(report: dict[str, Any]) -> list[str]:
    """A line for each curve of each package; says SUPER-LINEAR where cost outgrows the work."""
    lines = []
    for curve, packages in curves(report).items():
        for name, points in packages.items():
            if len(points) < 3:
                continue
            found, expected = growth(points)
            flag = "  SUPER-LINEAR" if found > expected + SURPRISE else ""
            span = f"{points[0][0]:g} to {points[-1][0]:g}"
            lines.append(
                f"{curve} ({span}), {name}: cost grows as size^{found:.2f} "
                f"(expected at most ^{expected:.2f}){flag}"
            )
    return lines


class NoMatplotlib(Exception):
    """The plots need a package that is not installed; the message names the extra."""


def plot(report: dict[str, Any], folder: Path) -> list[Path]:
    """`cost.png`: a panel for each curve, with a line of slope 1 through its last point. Returns
    the files written: none if no case has a size.

    Raises:
        NoMatplotlib: it is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise NoMatplotlib(
            "--plots needs the package `matplotlib`, which is not installed. "
            "Install it with: pip install 'amago[demo]'"
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = curves(report)
    if not found:
        return []
    columns = min(COLUMNS, len(found))
    rows = math.ceil(len(found) / columns)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(3.4 * columns, 2.6 * rows), squeeze=False, layout="constrained"
    )
    for axes, (curve, packages) in zip(grid.flat, found.items()):
        _panel(axes, curve, packages)
    for unused in grid.flat[len(found) :]:
        unused.set_axis_off()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "cost.png"
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
    return [file]


def _panel(axes: Any, curve: str, packages: dict[str, Points]) -> None:
    for name, points in packages.items():
        sizes, costs = [p[0] for p in points], [p[1] for p in points]
        (line,) = axes.loglog(sizes, costs, "o-", markersize=4, label=name)
        linear = [costs[-1] * size / sizes[-1] for size in sizes]
        axes.loglog(sizes, linear, ":", color=line.get_color(), alpha=0.6)
    axes.set_title(curve, fontsize=9)
    axes.set_ylabel("CPU s (dotted: linear)", fontsize=8)
    axes.tick_params(labelsize=8)
    for axis in (axes.xaxis, axes.yaxis):  # less than two decades: numbers between the powers of
        axis.set_minor_formatter("")  # ten would lie over one another
    axes.grid(alpha=0.25)
    if len(packages) > 1:
        axes.legend(fontsize=8)
