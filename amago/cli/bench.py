"""`amago bench [CASE...]`: how fast this package is, beside what the machine can do."""

import os
import sys
from argparse import ArgumentParser, Namespace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from amago.core.errors import AmagoError

_BESIDE = Path(__file__).resolve().parents[2] / "benchmarks"
"""Where a checkout has the suite; the wheel brings it as a package of its own."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `amago bench`, which are those of `python -m amago_bench`."""
    _suite().add_arguments(parser)


def run(args: Namespace) -> int:
    """Measure; returns the exit status (see `amago_bench.cli.run`)."""
    return _suite().run(args)


def _suite() -> Any:
    """The suite's command line. It is not imported by the library, and imports nothing of it."""
    if find_spec("amago_bench") is None:
        if not (_BESIDE / "amago_bench").is_dir():
            raise AmagoError(
                "the benchmark suite (`amago_bench`) is not installed, and there is no "
                "`benchmarks/` beside the package. Run this in a checkout, or reinstall amago."
            )
        sys.path.append(os.fspath(_BESIDE))
    return import_module("amago_bench.cli")
