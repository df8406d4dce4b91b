"""The dashboard beside a program that goes on: a process of its own."""

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

from amago.core.errors import AmagoError
from amago.dashboard.serve import ADDRESS, DEFAULT_PORT

_PATIENCE_S = 30.0


class BackgroundDashboard:
    """A dashboard in another process. It ends with `close`, or with the process that started it.

    Attributes:
        url: the address to open, token included.
        process: the other process.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def close(self, timeout_s: float = 10.0) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()  # it ends when this does
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def serve_in_background(
    folders: Sequence[str | os.PathLike[str]], port: int = DEFAULT_PORT
) -> BackgroundDashboard:
    """Start `amago dashboard` for `folders` in another process; returns when it answers.

    Raises:
        AmagoError: it did not start; the message says why.
    """
    names = [os.fspath(folder) for folder in folders]
    options = ["--port", str(port), "--until-stdin-closes"]
    process = subprocess.Popen(
        [sys.executable, "-m", "amago", "dashboard", *options, "--", *names],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is for the training; this one ends after it
    )
    assert process.stdout is not None
    said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(process.stdout, said), daemon=True).start()
    lines: list[str] = []
    deadline = time.monotonic() + _PATIENCE_S
    while (line := _next(said, deadline)) is not None:
        if line.startswith(ADDRESS):
            return BackgroundDashboard(process, line.removeprefix(ADDRESS).strip())
        lines.append(line)
    dashboard = BackgroundDashboard(process, "")
    dashboard.close(timeout_s=0.0)
    raise AmagoError(f"the dashboard did not start: {''.join(lines).strip() or 'no answer'}")


def _read(stream: IO[str], said: "queue.SimpleQueue[str | None]") -> None:
    """Take whatever the process says, to its end: a full pipe would stop it."""
    with stream:
        for line in stream:
            said.put(line)
    said.put(None)


def _next(said: "queue.SimpleQueue[str | None]", deadline: float) -> str | None:
    """The next line; None at the end, or when `deadline` has come."""
    try:
        return said.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        return None
