"""Runs the small run with interruptions, and prints what it left as JSON. Used by the tests here.

    python tests/resume/interrupt.py ROOT --kills 50 --signal KILL --seed 7
    python tests/resume/interrupt.py ROOT --kills 0                       # never interrupted

Every attempt is a fresh process: a fork of this one, which has imported everything and run nothing.
It interrupts itself at a counted event (a step of any environments, a batch, an operation on a
file) that was drawn beforehand, so no clock decides where; the next attempt resumes from the disk.
"""

import argparse
import json
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from small_run import fingerprint, make_experiment

_EXIT_RESUME = 75
_OPERATIONS = ("open", "write", "writev", "fsync", "rename", "mkdir", "unlink", "rmdir")


class Countdown:
    """Calls `act` at the `at`-th event (from 1); never if that is None."""

    def __init__(self, at: int | None, act: Callable[[], None]) -> None:
        self.events = 0
        self._at = at
        self._act = act

    def event(self) -> None:
        self.events += 1
        if self.events == self._at:
            self._act()


def count_file_operations(countdown: Countdown) -> None:
    """Make every operation on files in this process an event."""
    for name in _OPERATIONS:
        setattr(os, name, _counted(getattr(os, name), countdown))


def _counted(operation: Callable[..., Any], countdown: Countdown) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        countdown.event()
        return operation(*args, **kwargs)

    return counted


def attempt(root: Path, countdown: Countdown, settings: dict[str, Any]) -> None:
    """Start or go on with the run, to its end."""
    experiment = make_experiment(root, **settings)
    experiment.start()
    experiment.resume()
    train_step, interact_step = experiment.train_step, experiment.on_interact_step

    def counted_train_step(*args: Any) -> Any:
        countdown.event()
        return train_step(*args)

    def counted_interact_step(obs: Any) -> None:
        countdown.event()
        interact_step(obs)

    experiment.train_step = counted_train_step
    experiment.on_interact_step = counted_interact_step
    count_file_operations(countdown)
    experiment.learn()
    experiment.close()


def in_a_fork(root: Path, at: int | None, number: signal.Signals, settings: dict[str, Any]) -> int:
    """The exit code of an attempt that is signalled at event `at`; negative if it was killed."""
    if (pid := os.fork()) == 0:
        code = 1
        try:
            attempt(root, Countdown(at, lambda: os.kill(os.getpid(), number)), settings)
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--kills", type=int, default=0, help="interruptions before it may finish")
    parser.add_argument("--signal", choices=("KILL", "TERM"), default="KILL")
    parser.add_argument("--seed", type=int, default=0, help="of the events that interrupt")
    parser.add_argument("--longest", type=int, default=400, help="events of an attempt, at most")
    parser.add_argument("--settings", type=json.loads, default={}, help="of the experiment")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    number = signal.Signals[f"SIG{arguments.signal}"]
    expected = -number if arguments.signal == "KILL" else _EXIT_RESUME
    rng = random.Random(arguments.seed)
    points, finished = [], False
    while not finished:
        at = rng.randint(1, arguments.longest) if len(points) < arguments.kills else None
        code = in_a_fork(arguments.root, at, number, arguments.settings)
        finished = code == 0
        if not finished and code != expected:
            raise SystemExit(f"attempt {len(points)} (event {at}) ended with exit code {code}")
        points += [at] if not finished else []
    result = {"interruptions": points, "fingerprint": fingerprint(arguments.root)}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
