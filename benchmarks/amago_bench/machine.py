"""What the machine is, and how fast it can be at all: measured between the cases' repeats."""

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from amago_bench.registry import Case, Context, Work
from amago_bench.watch import Watch

SPEEDS = {
    "gemm_fp32": "GFLOP, one large float32 product",
    "gemm_bf16": "GFLOP, one large bfloat16 product",
    "linear_fp32": "GFLOP, linear layers 256 wide on 3096 rows, float32",
    "linear_bf16": "GFLOP, the same in bfloat16",
    "memcpy": "GB copied between arrays larger than the caches",
    "python": "million passes of an empty loop in one Python thread",
}
"""What is measured of the machine, each per second (`_per_s`) and per CPU-second (`_per_cpu_s`)."""


@contextmanager
def _bounds(context: Context) -> Iterator[Work]:
    """One repeat is a second of products, copies and loops."""
    import numpy as np
    import torch

    torch.set_num_threads(context.threads)
    big = 256 if context.quick else 1792
    rows, layers = (64, 1) if context.quick else (3096, 8)
    copied = np.ones(2**20 if context.quick else 2**27, np.uint8)
    target = np.empty_like(copied)
    passes = 10_000 if context.quick else 500_000

    def square(dtype: torch.dtype) -> Callable[[], float]:
        a, b = (torch.randn(big, big).to(dtype) for _ in range(2))
        out = torch.empty(big, big, dtype=dtype)
        return lambda: (torch.mm(a, b, out=out), 2 * big**3 / 1e9)[1]

    def linears(dtype: torch.dtype) -> Callable[[], float]:
        x, w = torch.randn(rows, 256).to(dtype), torch.randn(256, 256).to(dtype)

        def run() -> float:
            for _ in range(layers):
                torch.nn.functional.linear(x, w)
            return layers * 2 * rows * 256 * 256 / 1e9

        return run

    def copy() -> float:
        np.copyto(target, copied)
        return copied.nbytes / 1e9

    def loop() -> float:
        for _ in range(passes):
            pass
        return passes / 1e6

    tasks = {
        "gemm_fp32": square(torch.float32),
        "gemm_bf16": square(torch.bfloat16),
        "linear_fp32": linears(torch.float32),
        "linear_bf16": linears(torch.bfloat16),
        "memcpy": copy,
        "python": loop,
    }

    def once(watch: Watch) -> float:
        with torch.inference_mode(), watch:
            for name, task in tasks.items():
                wall, cpu = time.perf_counter(), time.process_time()
                done = task() + task()
                watch.note(f"{name}_per_s", done / (time.perf_counter() - wall))
                watch.note(f"{name}_per_cpu_s", done / (time.process_time() - cpu))
        return 1

    yield Work(once, warmup=2)


BOUNDS = Case("machine", "what the machine can do", "round", _bounds)
"""Not among the cases that a user chooses from: it runs beside all of them."""


def facts(threads: int) -> dict[str, Any]:
    """What a reader has to know of the machine and its software. No names of places on it."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        **{name: _version(name) for name in ("torch", "numpy", "gymnasium")},
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
