"""Memory that an update frees is there for the next one, without asking the system again."""

import os
import subprocess
import sys

import pytest

BLOCK_MB = 64
SCRIPT = f"""
import ctypes, resource, sys
from amago.training.host_memory import keep_freed_memory

c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
c.free.argtypes = [ctypes.c_void_p]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def fill():
    block = c.malloc({BLOCK_MB} * 2**20)
    ctypes.memset(block, 1, {BLOCK_MB} * 2**20)
    c.free(block)

was_done = keep_freed_memory() if sys.argv[1] == "keep" else False
fill()
before = faults()
for _ in range(8):
    fill()
print(was_done, faults() - before)
"""


def faults_of(mode, **environment):
    """Whether it was done, and how many pages eight blocks of one size took from the system."""
    command = [sys.executable, "-c", SCRIPT, mode]
    tuned = ("MALLOC_", "GLIBC_TUNABLES")
    untuned = {name: value for name, value in os.environ.items() if not name.startswith(tuned)}
    env = untuned | environment
    out = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    was_done, faults = out.stdout.split()
    return was_done == "True", int(faults)


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="glibc's allocator is that of Linux"
)
def test_freed_memory_is_used_again():
    was_done, faults = faults_of("keep")
    if not was_done:
        pytest.skip("this Python does not run on glibc")
    pages = BLOCK_MB * 256
    assert faults < pages
    assert faults_of("default")[1] >= 7 * pages  # the control


def test_the_users_own_tuning_is_left_alone():
    was_done, _ = faults_of("keep", MALLOC_TRIM_THRESHOLD_="131072")
    assert not was_done
