"""Time and memory of this process and of every process it started."""

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

PEAK = "peak_rss_mb"
"""A note of this name stands for the memory of a process that has ended since."""


def _wait_for_gpu() -> None:
    torch = sys.modules.get("torch")  # who has not imported it, has no work there
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


class Watch:
    """Adds up what passes inside `with watch:`.

    Attributes:
        wall_s, cpu_s: so far. CPU seconds are of all threads, and of child processes, living and
            ended. (Those of living ones come in steps of 10 ms: Linux counts them so.)
        extra: further numbers of this repeat, by name.
        synchronize: called before each reading, for work that goes on elsewhere.
    """

    def __init__(self, synchronize: Callable[[], None] = _wait_for_gpu) -> None:
        self.synchronize = synchronize
        self.reset()

    def reset(self) -> None:
        """Start again from nothing."""
        self.wall_s = 0.0
        self.cpu_s = 0.0
        self.extra: dict[str, float] = {}

    def another(self) -> "Watch":
        """A watch for what does not count, but is compared with what does."""
        return Watch(self.synchronize)

    def note(self, name: str, value: float) -> None:
        """Report one more number of this repeat."""
        self.extra[name] = float(value)

    def __enter__(self) -> "Watch":
        self.synchronize()
        self._children = children_cpu_s()
        self._cpu = time.process_time()
        self._wall = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.synchronize()
        self.wall_s += time.perf_counter() - self._wall
        self.cpu_s += time.process_time() - self._cpu
        self.cpu_s += children_cpu_s() - self._children


def children_cpu_s() -> float:
    """CPU seconds of every process below this one, ended ones included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def peak_rss_mb() -> float:
    """Peak resident memory: the sum of the peaks of this process and of those it has now.

    Pages that two processes share are counted in both.
    """
    pids = [os.getpid(), *(p.pid for p in psutil.Process().children(recursive=True))]
    return sum(_peak_mb(pid) for pid in pids)


def _peak_mb(pid: int) -> float:
    # Not ru_maxrss: after fork and exec it starts from the parent's.
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def rss_mb() -> float:
    """Resident memory of this process now."""
    return psutil.Process().memory_info().rss / 2**20
