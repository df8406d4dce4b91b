"""Keeps the memory of one update for the next, where an update runs on the CPU.

An update allocates hundreds of megabytes and frees them again. By default the C library hands large
blocks back to the system at once, which then clears every page anew: a quarter of the time of an
update with continuous actions (benchmarks, train/pendulum_tf).
"""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_MAX_INT = 2**31 - 1
_OWN_CHOICE = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for its next allocations.

    Pieces that do not fit again cost memory: the peak of an update may grow by a quarter.

    Returns:
        Whether it was done: not without glibc, and not where the user has tuned it by the
        environment (`MALLOC_*_`, `GLIBC_TUNABLES`).
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _OWN_CHOICE):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _MAX_INT) and mallopt(_M_TRIM_THRESHOLD, _MAX_INT))
