"""How fast the dashboard is: opening it, changing the x-axis, following a run that is written.

    python benchmarks/bench_dashboard.py

Two runs with 612 metrics in each of `--rows` rows, in a headless Chromium, with an index and
without one. Writes `benchmarks/results/dashboard.json`. Needs `playwright`.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, sync_playwright

from amago.dashboard.background import serve_in_background
from amago.tracking.store import LocalRecord

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path += [str(TESTS / "shared"), str(TESTS / "browser")]
from pages import ServedPage, Watch  # noqa: E402 (what tests share)
from synthetic_runs import wide  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "dashboard.json"
METRIC = "val/metric 002"
AXES = ("Epoch", "gradient_steps", "Wall Time", "Step", "Process Time", "total_frames")
NAMES = ("wide-1", "wide-2")


def opening(browser: Browser, folder: Path, is_first: bool) -> dict[str, float]:
    """Seconds from asking for the page to its first chart, and until all in the window are drawn.

    Args:
        is_first: nobody has looked at the runs before, so that their index is made now.
    """
    if is_first:
        for index in folder.rglob("tracking.db*"):
            index.unlink()
    with closing(serve_in_background([folder], port=0)) as server:
        watch = Watch(browser.new_context(), urlsplit(server.url).netloc)
        began = time.monotonic()
        page = ServedPage(watch.page, server.url, NAMES, collapsed="dataset")
        page.tab.wait_for_function(
            "() => performance.getEntriesByName('amago-first-chart').length > 0"
        )
        first = time.monotonic() - began
        page.tab.wait_for_function("() => !document.querySelector('.chart:not([aria-busy=false])')")
        return {"first_chart_s": first, "window_full_s": time.monotonic() - began}


def switching(browser: Browser, folder: Path) -> list[float]:
    """Milliseconds from choosing another x-axis to a chart drawn over it, inside the browser."""
    with closing(serve_in_background([folder], port=0)) as server:
        watch = Watch(browser.new_context(), urlsplit(server.url).netloc)
        page = ServedPage(watch.page, server.url, NAMES, search="val/metric 00")
        page.chart(METRIC)
        return [_switch(page, axis) for axis in AXES]


def _switch(page: ServedPage, axis: str) -> float:
    page.tab.get_by_role("combobox", name="X axis of all charts").fill(axis)
    return page.tab.evaluate(
        """([metric, axis]) => new Promise((resolve) => {
            const card = document.querySelector(`article[data-metric="${metric}"]`);
            const options = [...document.querySelectorAll("[role=option]")];
            const option = options.find((each) => each.querySelector("bdi").textContent === axis);
            const began = performance.now();
            const look = () => {
                const isDrawn = card.querySelector(".chart").dataset.axis === axis;
                if (isDrawn) resolve(performance.now() - began);
                else requestAnimationFrame(look);
            };
            option.click();
            look();
        })""",
        [METRIC, axis],
    )


def following(browser: Browser, folder: Path, rows: int) -> list[float]:
    """Seconds from a row being in the file to its being in the chart."""
    record = LocalRecord(folder / "live")
    names = [f"val/metric {i:03d}" for i in range(612)]

    def log(i: int) -> float:
        record.log({"total_frames": i, "Epoch": i, "gradient_steps": i} | dict.fromkeys(names, 1.0))
        record.flush()
        return time.monotonic()

    log(0)
    log(1)  # one row alone is shown as a table
    with closing(serve_in_background([folder], port=0)) as server:
        watch = Watch(browser.new_context(), urlsplit(server.url).netloc)
        page = ServedPage(watch.page, server.url, ["live"], search="val/metric 00")
        page.chart(METRIC)
        lags = []
        for i in range(2, rows + 2):
            written = log(i)
            page.wait_until(METRIC, f"data.to === '{i}'")
            lags.append(time.monotonic() - written)
    record.finish("finished")
    return lags


def measure(rows: int, repeats: int) -> dict[str, Any]:
    """Everything, as medians."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as tool:
        folder = Path(scratch)
        for name in NAMES:
            wide(folder / name, rows=rows)
        browser = tool.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        without = [opening(browser, folder, is_first=True) for _ in range(repeats)]
        indexed = [opening(browser, folder, is_first=False) for _ in range(repeats)]
        switches = [ms for _ in range(repeats) for ms in switching(browser, folder)]
        lags = following(browser, folder, rows=10)
        browser.close()
    return {
        "opened for the first time": _medians(without),
        "opened again": _medians(indexed),
        "x-axis switched (ms)": _spread(switches),
        "row written to row drawn (s)": _spread(lags),
    }


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]}


def _spread(values: list[float]) -> dict[str, float]:
    pick: dict[str, Callable[[list[float]], float]] = {"median": statistics.median, "worst": max}
    return {name: round(of(values), 2) for name, of in pick.items()}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1000, help="rows of each of the two runs")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    load = os.getloadavg()[0]
    results = {
        "what": f"2 runs x 612 metrics x {args.rows} rows, headless Chromium",
        "machine": {"cores": os.cpu_count(), "load_before": round(load, 1)},
        "python": platform.python_version(),
        **measure(args.rows, args.repeats),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
