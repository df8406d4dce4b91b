"""From nothing: importing the package, and the first gradient step of a process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from amago_bench.registry import Case, Context, Work
from amago_bench.watch import Watch


@contextmanager
def _prepare(code: str, context: Context) -> Iterator[Work]:
    """A fresh interpreter that runs `code`, with the import path of this one; it prints a JSON
    object of numbers last.
    """

    def once(watch: Watch) -> float:
        with watch:
            printed = run_python(context, "-c", code)
        for name, value in json.loads(printed.splitlines()[-1]).items():
            watch.note(name, value)
        return 1

    yield Work(once)


def run_python(context: Context, *arguments: str) -> str:
    """Run this interpreter in the case's folder; returns what it printed.

    Raises:
        RuntimeError: it failed; the message is the end of what it said.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=context.folder,
        env=os.environ,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} failed: {done.stderr[-1500:]}")
    return done.stdout


_PEAK = """
with open("/proc/self/status") as status:
    peak = next(line for line in status if line.startswith("VmHWM")).split()[1]
print('{"peak_rss_mb": %f}' % (int(peak) / 1024))
"""
_FIRST = "from amago_bench.jobs import main; main('first_update', quick={quick})"


@contextmanager
def _prepare_first(context: Context) -> Iterator[Work]:
    with _prepare(_FIRST.format(quick=context.quick), context) as work:
        yield work


CASES = [
    Case(
        "start/import",
        "`import amago` in a fresh interpreter",
        "start",
        partial(_prepare, f"import amago{_PEAK}"),
        bound="python",
    ),
    Case(
        "start/import_torch",
        "`import torch`, for comparison",
        "start",
        partial(_prepare, f"import torch{_PEAK}"),
        bound="python",
    ),
    Case(
        "start/first_update",
        "fresh interpreter to the end of the first update: 24 x 129, Transformer 3 x 256",
        "start",
        _prepare_first,
    ),
]
