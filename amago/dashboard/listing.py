"""What the list of runs says of each: one row of facts and last values."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from amago.tracking.run import Run

RETURN = "Average Total Return (Across All Env Names)"


def row_of(run_id: str, folder: str, run: Run) -> dict[str, Any]:
    """The row of a run that can be read."""
    metrics = run.metrics
    axes = [metric.last_axes for metric in metrics]
    last = {metric.name: metric.last for metric in metrics if _is_finite(metric.last)}
    return _row(run_id, run.path, folder) | {
        "name": run.name,
        "group": run.group,
        "status": run.status,
        "started": run.started,
        "updated": run.updated or None,
        "ended": run.ended,
        "frames": _furthest(axes, "total_frames"),
        "epoch": _furthest(axes, "Epoch"),
        "gradient_steps": _furthest(axes, "gradient_steps"),
        "last_return": last.get(f"val/{RETURN}", last.get(f"test/{RETURN}")),
        "num_metrics": len(metrics),
        "num_rows": run.num_rows,
        "version": run.version,
    }


def unread_row(run_id: str, path: Path, folder: str) -> dict[str, Any]:
    """The row of a run that was found and not opened yet."""
    return _row(run_id, path, folder) | {"status": "loading"}


def broken_row(run_id: str, path: Path, folder: str, error: str) -> dict[str, Any]:
    """The row of a run that cannot be read, and why."""
    return _row(run_id, path, folder) | {"status": "broken", "error": error}


def _row(run_id: str, path: Path, folder: str) -> dict[str, Any]:
    return {
        "id": run_id,
        "name": path.name,
        "group": None,
        "folder": folder,
        "status": "loading",
        "started": None,
        "updated": None,
        "ended": None,
        "frames": None,
        "epoch": None,
        "gradient_steps": None,
        "last_return": None,
        "num_metrics": 0,
        "num_rows": 0,
        "version": 0,
        "error": None,
    }


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _furthest(axes: Iterable[dict[str, float]], axis: str) -> float | None:
    """Where a run stands on an axis: axes never decrease."""
    return max((last[axis] for last in axes if axis in last), default=None)
