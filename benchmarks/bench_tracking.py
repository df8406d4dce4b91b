"""What recording a row costs a run, and how fast a record is read.

    python benchmarks/bench_tracking.py [--rows 1000000] [--out benchmarks/results/tracking.json]

Rows of 300 scalars are logged at the pace of a training loop; beside the local record, the W&B
client in offline mode (as it is, and behind the thread that a run puts it behind). Then two records
of 612 metrics, and a long one of three, are indexed and read.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from amago.tracking.index.database import FILE
from amago.tracking.run import Run, open_run
from amago.tracking.session import git_state
from amago.tracking.store import LocalRecord
from amago.tracking.values import to_line
from amago.tracking.wandb_tracker import WandbRun, WandbTracker

SCALARS = 300
LOGGED_ROWS = 1000
PAUSE_S = 0.005
WIDTH = 612
WIDE_ROWS = 2000
POINTS = 800


class Stopwatch:
    """Named times of one benchmark, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure the wall time of a block."""
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began


def row_cost(log: Callable[[dict[str, Any]], None]) -> dict[str, float]:
    """Milliseconds that a call of `log` takes its caller."""
    row = {f"train/Some Metric With A Long Name {i}": 0.1 * i for i in range(SCALARS)}
    milliseconds = []
    for i in range(LOGGED_ROWS):
        axes = {"total_frames": 24 * i, "Epoch": i // 10, "gradient_steps": i}
        began = time.perf_counter()
        log(axes | row)
        milliseconds.append(1e3 * (time.perf_counter() - began))
        time.sleep(PAUSE_S)
    p50, p99 = np.percentile(milliseconds, (50, 99))
    return {"p50_ms": float(p50), "p99_ms": float(p99), "max_ms": max(milliseconds)}


def rows_of_every_tracker(folder: Path) -> dict[str, dict[str, float]]:
    """The cost of a row for each tracker."""
    os.environ["WANDB_MODE"] = "offline"
    os.environ["WANDB_SILENT"] = "true"
    options: dict[str, Any] = {"project": "benchmark", "say": _say_nothing, "warn": _say_nothing}
    trackers = {
        "local_record": LocalRecord(folder / "local"),
        "wandb_offline": WandbRun("client", folder / "client", **options),
        "wandb_offline_behind_a_thread": WandbTracker("thread", folder / "thread", **options),
    }
    results = {}
    for name, tracker in trackers.items():
        tracker.config({"seed": 1})
        tracker.log({"total_frames": 0, "train/first": 1.0})
        results[name] = row_cost(tracker.log)
        tracker.finish("finished")
    return results


def _say_nothing(_: str) -> None:
    pass


def write_record(folder: Path, rows: int, width: int) -> Path:
    """A record of random walks, with 48 axes of which three change often."""
    rng = np.random.default_rng(0)
    names = [f"val/Average Total Return in environment {i}" for i in range(width)]
    values = rng.normal(size=(1000, width)).cumsum(axis=0).tolist()
    envs = [f"total_frames-environment {i}" for i in range(45)] if width > 100 else []
    path = folder / "tracking" / "learner.jsonl"
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        head = {"t": 0.0, "step": 0, "gen": 0}
        file.write(to_line({"kind": "session", **head, "schema": 1, "config": {}}))
        for i in range(rows):
            axes = {"total_frames": 24 * i, "Epoch": i // 10, "gradient_steps": 5 * i}
            axes |= dict.fromkeys(envs, 240 * (i // 10))
            data = dict(zip(names, values[i % 1000]))
            entry = {"kind": "row", "t": float(i), "step": i, "gen": 0, "axes": axes, "data": data}
            file.write(to_line(entry))
    return folder


def index(folder: Path, rows: int, width: int) -> tuple[Run, dict[str, float]]:
    """Open a record for the first time."""
    clock = Stopwatch()
    with clock.measure("s"):
        run = open_run(folder)
    seconds = clock.seconds["s"]
    size = (folder / "tracking" / "learner.jsonl").stat().st_size
    return run, {
        "s": seconds,
        "rows_per_s": rows / seconds,
        "values_per_s": rows * width / seconds,
        "record_mb": size / 1e6,
        "index_mb": (folder / FILE).stat().st_size / 1e6,
    }


def wide_runs(folder: Path) -> dict[str, Any]:
    """Two runs of 612 metrics: the first view of all, and another x-axis."""
    clock, built = Stopwatch(), {}
    paths = [write_record(folder / f"wide-{i}", WIDE_ROWS, WIDTH) for i in range(2)]
    for path in paths:
        run, built = index(path, WIDE_ROWS, WIDTH)
        run.close()
    with clock.measure("open_s"):
        runs = [open_run(path) for path in paths]
    with clock.measure("catalogue_s"):
        names = [[metric.name for metric in run.metrics] for run in runs]
    for axis in ("total_frames", "Epoch", "Wall Time"):
        with clock.measure(f"all_series_over_{axis.replace(' ', '_')}_s"):
            for run, wanted in zip(runs, names):
                run.many_series(wanted, axis, points=POINTS)
    with clock.measure("twelve_series_over_gradient_steps_s"):  # what a screen shows
        for run, wanted in zip(runs, names):
            run.many_series(wanted[:12], "gradient_steps", points=POINTS)
    with clock.measure("refresh_without_news_s"):
        runs[0].refresh()
    return {"rows": WIDE_ROWS, "metrics": WIDTH, "index": built, **clock.seconds}


def long_run(folder: Path, rows: int) -> dict[str, Any]:
    """One run of very many rows."""
    run, built = index(write_record(folder / "long", rows, 3), rows, 3)
    run.close()
    clock = Stopwatch()
    with clock.measure("open_s"):
        run = open_run(folder / "long")
    first, second, _ = (metric.name for metric in run.metrics)
    with clock.measure("one_metric_cold_s"):
        run.series(first, "total_frames", points=POINTS)
    with clock.measure("another_metric_s"):
        run.series(second, "total_frames", points=POINTS)
    with clock.measure("a_tenth_of_it_s"):
        run.series(first, "total_frames", points=POINTS, start=2.4 * rows, stop=4.8 * rows)
    with clock.measure("every_value_s"):
        run.series(first, "total_frames")
    return {"rows": rows, "index": built, **clock.seconds}


def main() -> None:
    """Measure everything; write the JSON, print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the long run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/tracking.json")
    args = parser.parse_args()
    results: dict[str, Any] = {"git": git_state(Path(__file__).parent), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results["row_of_300_scalars"] = rows_of_every_tracker(folder)
        results["two_wide_runs"] = wide_runs(folder)
        results["long_run"] = long_run(folder, args.rows)
    results["load_average"] = os.getloadavg()[0]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1)
    args.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
