"""Runs the small run with interruptions, and prints what it left as JSON. Used by the tests here.

    python tests/resume/interrupt.py ROOT --kills 50 --signal KILL --seed 7
    python tests/resume/interrupt.py ROOT --kills 0                       # never interrupted

Every attempt is a fresh process: a fork of this one, which has imported everything and run nothing.
It interrupts itself at a counted event (a step of any environments, a batch, an operation on a
file) that was drawn beforehand, so no clock decides where; the next attempt resumes from the disk.
"""

import argparse
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed
from small_run import fingerprint, make_experiment

_EXIT_RESUME = 75
_OPERATIONS = ("open", "write", "writev", "fsync", "rename", "mkdir", "unlink", "rmdir")


class Countdown:
    """Calls `act` at the `at`-th event (from 1); never if that is None. Any thread may count."""

    def __init__(self, at: int | None, act: Callable[[], None]) -> None:
        self._numbers = itertools.count(1)
        self._at = at
        self._act = act

    def event(self) -> None:
        if next(self._numbers) == self._at:
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


def in_forks(arguments: argparse.Namespace, at: int | None) -> list[int]:
    """The exit codes of an attempt, by rank (negative: killed). The last rank is interrupted."""
    rendezvous = tempfile.mktemp(dir=arguments.root.parent)
    pids = []
    for rank in range(arguments.ranks):
        if (pid := os.fork()) == 0:
            is_last = rank == arguments.ranks - 1
            interruption = kill if arguments.signal == "KILL" else ask_all_to_stop
            countdown = Countdown(at if is_last else None, interruption)
            _run_rank(arguments, rank, rendezvous, countdown)
        pids.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def ask_all_to_stop() -> None:
    """As a batch system does it: this process and every worker it has."""
    os.killpg(0, signal.SIGTERM)


def _run_rank(
    arguments: argparse.Namespace, rank: int, rendezvous: str, countdown: Countdown
) -> NoReturn:
    code = 1
    os.setsid()  # a group of its own, with its workers
    try:
        if arguments.ranks > 1:
            join(rank, arguments.ranks, rendezvous)
        attempt(arguments.root, countdown, arguments.settings)
        code = 0
    except SystemExit as left:
        code = int(left.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def join(rank: int, num_ranks: int, rendezvous: str) -> None:
    """Become one of several processes of a run, as `accelerate launch` does."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(num_ranks))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0", GLOO_SOCKET_IFNAME="lo")
    os.environ.update(ACCELERATE_USE_CPU="true")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=num_ranks
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--kills", type=int, default=0, help="interruptions before it may finish")
    parser.add_argument("--signal", choices=("KILL", "TERM"), default="KILL")
    parser.add_argument("--seed", type=int, default=0, help="of the events that interrupt")
    parser.add_argument("--longest", type=int, default=400, help="events of an attempt, at most")
    parser.add_argument("--ranks", type=int, default=1, help="processes of the run")
    parser.add_argument("--settings", type=json.loads, default={}, help="of the experiment")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whoever started this may ignore it
    rng = random.Random(arguments.seed)
    points: list[int | None] = []
    while True:
        at = rng.randint(1, arguments.longest) if len(points) < arguments.kills else None
        codes = in_forks(arguments, at)
        if not any(codes):
            break
        check_interrupted(codes, arguments.signal, at)
        points.append(at)
    result = {"interruptions": points, "fingerprint": fingerprint(arguments.root)}
    sys.stdout.write(json.dumps(result) + "\n")


def check_interrupted(codes: list[int], signal_name: str, at: int | None) -> None:
    """Refuse any end but what was asked for: a rank that is killed takes the others along."""
    if signal_name == "KILL":
        was_asked_for = codes[-1] == -signal.SIGKILL and all(codes)
    else:  # before `learn` a signal does what it always does
        was_asked_for = set(codes) == {_EXIT_RESUME} or codes[-1] == -signal.SIGTERM
    if at is None or not was_asked_for:
        raise SystemExit(f"an attempt (event {at}) ended with the exit codes {codes}")


if __name__ == "__main__":
    main()
