"""Draw learning curves before and after a change, from what the learning runs wrote.

    python benchmarks/plot_learning.py BEFORE AFTER FIGURE.png

BEFORE and AFTER are folders with `CartPole-v1-seed*.json`, `tmaze-transformer-seed*.json` (written
by `pytest -m learning` into $AMAGO_RESULTS) and `demo-seed*.json` (the demo's `summary.json`).
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Points = list[tuple[float, float]]


def _recorded(result: dict[str, Any]) -> Points:
    return [(updates, value) for updates, value in result["curve"]["points"]]


def _last_attempt(summary: dict[str, Any]) -> Points:
    return [(point["updates"], point["success"][-1]) for point in summary["curve"]]


PANELS: dict[str, tuple[str, Callable[[dict[str, Any]], Points], str]] = {
    "CartPole-v1: return in validation": ("CartPole-v1-seed*.json", _recorded, "linear"),
    "T-Maze of 50: critic loss": ("tmaze-transformer-seed*.json", _recorded, "log"),
    "Meta-Frozen-Lake: success at the last attempt": ("demo-seed*.json", _last_attempt, "linear"),
}
"""Title: files, their points, scale of the y-axis."""
LINES = {
    "before": {"color": "0.5", "linewidth": 3.5},
    "after": {"color": "C0", "linewidth": 1.2, "linestyle": "--"},
}


def main(before: Path, after: Path, figure_file: Path) -> None:
    """Write the figure: a panel for each task, a line for each seed."""
    from matplotlib import pyplot

    pyplot.switch_backend("Agg")
    figure, row = pyplot.subplots(1, len(PANELS), figsize=(14, 3.8), layout="constrained")
    for axes, (title, (pattern, points_of, scale)) in zip(row, PANELS.items()):
        for name, folder in (("before", before), ("after", after)):
            files = sorted(folder.glob(pattern))
            if not files:
                raise SystemExit(f"{folder} has no {pattern}")
            for i, file in enumerate(files):
                x, y = zip(*points_of(json.loads(file.read_text())))
                axes.plot(x, y, label=name if i == 0 else None, **LINES[name])
        axes.set(title=title, xlabel="updates", yscale=scale)
        axes.grid(alpha=0.25)
        axes.legend()
    figure.savefig(figure_file, dpi=110)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
