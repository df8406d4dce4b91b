import subprocess
import sys
import threading
from pathlib import Path

import amago
from amago.tracking.background import Background
from amago.tracking.base import NullTracker

AT_EXIT = """
import atexit, sys
from amago.tracking.background import Background

class Shows:
    def config(self, config): ...
    def log(self, row): print("row", row["Epoch"], flush=True)
    def finish(self, status): print(status, flush=True)

atexit.register(lambda: print("hooks of others", flush=True))
tracker = Background(Shows())
for epoch in range(3):
    tracker.log({"Epoch": epoch})
if len(sys.argv) > 1:
    raise SystemError("broken")
"""


class Held:
    """A tracker that takes nothing until it is let go."""

    def __init__(self):
        self.go = threading.Event()
        self.taken = []

    def config(self, config):
        self.go.wait(10)
        self.taken.append(config)

    def log(self, row):
        self.go.wait(10)
        self.taken.append(row["Epoch"])

    def finish(self, status):
        self.taken.append(status)


def test_calls_arrive_in_order_and_in_a_thread_of_their_own():
    threads = set()

    class Tracker(Held):
        def log(self, row):
            threads.add(threading.current_thread())
            super().log(row)

    tracker = Tracker()
    background = Background(tracker)
    background.config({"seed": 1})
    for epoch in range(20):
        background.log({"Epoch": epoch})
    tracker.go.set()
    background.finish("finished")
    assert tracker.taken == [{"seed": 1}, *range(20), "finished"]
    assert threads.isdisjoint({threading.main_thread()})


def test_what_is_handed_over_may_be_changed_afterwards():
    tracker = Held()
    background = Background(tracker)
    row, config = {"Epoch": 1}, {"nested": {"a": 1}}
    background.config(config)
    background.log(row)
    row["Epoch"], config["nested"]["a"] = 2, 2
    tracker.go.set()
    background.finish("finished")
    assert tracker.taken == [{"nested": {"a": 1}}, 1, "finished"]


def test_a_full_queue_leaves_rows_out_and_says_how_many():
    tracker, said = Held(), []
    background = Background(tracker, said.append, max_pending=5, advice="Ask again.")
    background.config({})
    for epoch in range(50):
        background.log({"Epoch": epoch})
    tracker.go.set()
    background.finish("finished")
    left_out = 50 - (len(tracker.taken) - 2)
    assert left_out >= 44
    assert said == [f"Held: {left_out} rows were left out. Ask again."]


def test_finish_waits_no_longer_than_it_may_and_says_so():
    tracker, said = Held(), []
    background = Background(tracker, said.append, finish_timeout_s=0.05)
    background.log({"Epoch": 0})
    background.finish("finished")
    assert len(said) == 1
    assert "Held did not finish within 0.05 s" in said[0]
    tracker.go.set()


def test_a_row_after_the_end_is_taken_too():
    tracker = Held()
    tracker.go.set()
    background = Background(tracker)
    for epoch in range(2):
        background.log({"Epoch": epoch})
        background.finish("finished")
    background.finish("finished")  # nothing was begun
    assert tracker.taken == [0, "finished", 1, "finished"]


def test_a_tracker_that_raises_is_named_once():
    said = []

    class Broken(NullTracker):
        def log(self, row):
            raise ConnectionError("gone")

        def finish(self, status):
            raise ConnectionError("still gone")

    background = Background(Broken(), said.append)
    for epoch in range(3):
        background.log({"Epoch": epoch})
    background.finish("finished")
    assert said == [
        "Broken.log failed (ConnectionError: gone). The run goes on; this is said once."
    ]


def output_of(*arguments: str) -> list[str]:
    root = str(Path(amago.__file__).parents[1])
    command = [sys.executable, "-c", AT_EXIT, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHONPATH": root}
    )
    return done.stdout.splitlines()


def test_a_program_that_forgets_to_finish_loses_nothing():
    rows = ["row 0", "row 1", "row 2"]
    assert output_of() == [*rows, "finished", "hooks of others"]
    assert output_of("crash") == [*rows, "crashed", "hooks of others"]
