"""CPU time and memory of a process and its children."""

import subprocess
import sys
import time

import pytest
from amago_bench.watch import Watch, children_cpu_s, peak_rss_mb, rss_mb

BURN = """
import time
while time.process_time() < 0.3: pass
print("done", flush=True)
input()
"""


def burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_only_what_happens_inside_is_counted():
    watch = Watch()
    burn(0.05)
    with watch:
        burn(0.02)
    first = watch.cpu_s
    burn(0.05)
    with watch:
        burn(0.02)
    assert 0.02 <= first < 0.05
    assert first + 0.02 <= watch.cpu_s < 0.09
    assert watch.wall_s >= 0.04


@pytest.mark.slow
def test_children_count_while_they_live_and_after():
    before = children_cpu_s()
    child = subprocess.Popen(
        [sys.executable, "-c", BURN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "done\n"
    alive = children_cpu_s() - before
    child.communicate("\n")
    ended = children_cpu_s() - before
    assert alive >= 0.28  # Linux counts a living process in steps of 10 ms
    assert alive - 0.02 <= ended < alive + 0.5


def test_readings_wait_for_what_goes_on_elsewhere():
    waited = []
    watch = Watch(lambda: waited.append(1))
    with watch:
        pass
    with watch.another():
        pass
    assert len(waited) == 4


def test_a_reset_forgets_the_notes():
    watch = Watch()
    with watch:
        burn(0.01)
    watch.note("frames", 3)
    watch.reset()
    assert (watch.cpu_s, watch.wall_s, watch.extra) == (0.0, 0.0, {})


def test_the_peak_is_at_least_what_is_resident():
    assert peak_rss_mb() >= rss_mb() - 1 > 10
