"""Starting, asking and ending a worker process."""

import contextlib
import multiprocessing
import os
import pickle
import select
import sys
import threading
import time
import types
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.context import BaseContext
from multiprocessing.reduction import send_handle
from typing import Any

from amago.core.errors import AmagoError, ConfigError, EnvError
from amago.envs.pool.channel import Channel
from amago.envs.pool.members import Recipe
from amago.envs.pool.pickling import dumps
from amago.envs.pool.spaces import PoolSpaces
from amago.envs.pool.worker import (
    ANSWER,
    CALL,
    CLOSE,
    DONE,
    FAILED,
    NOISE,
    STATE,
    Failure,
    Order,
    Report,
    serve,
)

_KILL_TIMEOUT_S = 5.0
_SMALL = 4096
"""Bytes that a pipe always has room for, when every answer to what was sent has been read."""
_LONG_ANSWERS = (STATE, NOISE, CALL)


def default_start_method() -> str:
    """How workers are started unless the user says otherwise: "forkserver", or else "spawn".

    Not "fork", although it starts fastest: the parent has torch's threads and may have a GPU, and
    a forked copy of either can hang or fail. A fork server costs one import of gymnasium and numpy
    in all; workers load no torch, and do not run the user's script again.
    """
    available = multiprocessing.get_all_start_methods()
    return "forkserver" if "forkserver" in available and sys.platform == "linux" else "spawn"


def start_context(method: str | None) -> Any:
    """The multiprocessing context of a start method; None is the default one.

    Raises:
        ConfigError: this platform has no such method.
    """
    available = multiprocessing.get_all_start_methods()
    method = method or default_start_method()
    if method not in available:
        raise ConfigError(f"async_env_mp_context is '{method}'; available here: {available}")
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["amago.envs.pool.worker"])
    return context


class WorkerFailed(AmagoError):
    """A worker raised, died, or did not answer in time.

    Attributes:
        error: what to raise for it.
        raised: the exception in the worker, which goes on taking commands. None: it does not.
        during: the command that it was about to answer; empty if there was none.
    """

    def __init__(
        self, error: Exception, raised: Failure | None = None, during: bytes = b""
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.raised = raised
        self.during = during


class Worker:
    """The parent's side of a worker process, which owns the environments of one recipe.

    Args:
        bindings: of gin, from `core.config.snapshot`.
        explorations: where the exploration goes on, if it takes the place of another worker.
        names: of its environments, likewise.

    Attributes:
        rows: of the pool that are its own.
        names: of its environments, as far as it has told.
        pid: of the process.
    """

    def __init__(
        self,
        context: BaseContext,
        recipe: Recipe,
        bindings: bytes,
        explorations: Sequence[Any] = (),
        names: Sequence[str] = (),
    ) -> None:
        self._recipe = recipe
        self.rows = slice(recipe.first, recipe.first + len(recipe.factories))
        self.names = list(names) or [""] * len(recipe.factories)
        ours, theirs = context.Pipe(duplex=True)
        self._channel = Channel(ours)  # pyright: ignore[reportArgumentType]
        order = _order(context, Order(recipe, bindings, dict(os.environ), explorations, names))
        self._process: Any = context.Process(  # pyright: ignore[reportAttributeAccessIssue]
            target=serve, args=(theirs, order), daemon=True
        )
        with _hidden_main_module(context):
            self._process.start()
        self.pid: int = self._process.pid
        theirs.close()  # so that the worker's end is the only one: its death ends the pipe
        self._poll = select.poll()
        self._poll.register(self._channel.fileno(), select.POLLIN)
        self._num_unanswered = len(recipe.factories)  # it tells the spaces of each unasked
        self._command = b""
        self._lost: WorkerFailed | None = None

    @property
    def description(self) -> str:
        """The environments, by number and name."""
        names = ", ".join(f"'{name}'" for name in dict.fromkeys(self.names) if name)
        return f"{self._recipe.description}{names and f', {names}'}"

    def spaces(self, deadline: float) -> list[tuple[PoolSpaces, bool]]:
        """The spaces of each environment once it has been made, and whether it is a batch.

        Raises:
            WorkerFailed: one could not be made before `deadline` (of `time.monotonic`).
        """
        told = []
        for index, factory in enumerate(self._recipe.factories, start=self._recipe.first):
            try:
                told.append(self.receive(deadline - time.monotonic()))
            except WorkerFailed as failed:
                if failed.raised is not None:
                    raise
                name = getattr(factory, "__qualname__", repr(factory))
                where = f"{failed.error}; this was while environment {index} was made by {name}"
                raise WorkerFailed(EnvError(where)) from None
        return told

    def send(self, command: bytes, timeout_s: float) -> None:
        """Give a command; `receive` has the answer. `timeout_s` is for one left unanswered."""
        if self._lost is not None:
            raise self._lost
        # An interrupted step leaves its answer behind; it is not the answer to this command.
        while self._num_unanswered:
            self.receive(timeout_s)
        try:
            if len(command) <= _SMALL:
                self._channel.send(command)
            else:
                with self._killed_after(timeout_s):
                    self._channel.send(command)
        except OSError:
            raise self._died() from None
        self._num_unanswered += 1
        self._command = command[:1]

    def own_share(self, of_all: Sequence[Any]) -> Sequence[Any]:
        """Of something that there is for each environment of the pool, this worker's."""
        return of_all[self.rows]

    def give_memory(self, num_envs: int, spaces: Any, memory: int) -> None:
        """Tell the worker about the pool's arrays: their layout, and a file descriptor."""
        try:
            self._channel.send(pickle.dumps((num_envs, spaces)))
            send_handle(self._channel, memory, self.pid)  # pyright: ignore[reportArgumentType]
        except OSError:
            raise self._died() from None
        self._num_unanswered += 1

    def receive(self, timeout_s: float) -> Any:
        """The answer to the last command; None if there is nothing to say.

        Raises:
            WorkerFailed: it raised, died, or took longer than `timeout_s` (and was killed).
        """
        if self._lost is not None:
            raise self._lost
        if not self._poll.poll(max(timeout_s, 0.0) * 1000):
            self._process.kill()
            raise self._gone("did not answer in time: an environment hangs, or is very slow")
        try:
            if self._command not in _LONG_ANSWERS:
                answer = self._channel.receive()
            else:
                with self._killed_after(timeout_s):
                    answer = self._channel.receive()
        except (EOFError, OSError):
            raise self._died() from None
        self._num_unanswered -= 1
        if answer == DONE:
            return None
        content = pickle.loads(answer[1:])
        if answer[:1] == FAILED:
            raise WorkerFailed(self._error(content), raised=content)
        assert answer[:1] == ANSWER
        if isinstance(content, Report) and content.names is not None:
            self.names = content.names
        return content

    @contextlib.contextmanager
    def _killed_after(self, timeout_s: float) -> Iterator[None]:
        """Ends the process if a long message is not done in time: a stopped one reads nothing.

        A short one fits into the pipe, whatever the worker does.
        """
        timer = threading.Timer(max(timeout_s, 0.0), self._process.kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def close(self) -> None:
        """Ask the worker to close its environments and end."""
        writable = select.poll()
        writable.register(self._channel.fileno(), select.POLLOUT)
        with contextlib.suppress(OSError):
            if self._lost is None and writable.poll(0):  # or else it would not be read
                self._channel.send(CLOSE)

    def end(self, timeout_s: float) -> None:
        """Wait for the process to end; after `timeout_s`, kill it."""
        self._process.join(timeout_s if self._lost is None else 0.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(_KILL_TIMEOUT_S)
        with contextlib.suppress(ValueError):  # in a system call that cannot be interrupted
            self._process.close()
        self._channel.close()

    def _error(self, failure: Failure) -> Exception:
        if failure.kind == "ConfigError":
            return ConfigError(failure.message)
        return EnvError(
            f"{self._recipe.description} failed in a worker process: {failure.message}\n\n"
            f"The worker's traceback:\n{failure.trace}"
        )

    def _died(self) -> WorkerFailed:
        self._process.join(_KILL_TIMEOUT_S)
        return self._gone(f"ended unexpectedly (exit code {self._process.exitcode})")

    def _gone(self, what: str) -> WorkerFailed:
        process = f"the worker process (pid {self.pid}) of {self.description}"
        during = self._command if self._num_unanswered else b""
        self._lost = WorkerFailed(EnvError(f"{process}, {what}"), during=during)
        return self._lost


def answers(workers: Sequence[Worker], deadline: float) -> dict[Worker, Any]:
    """The answer of each worker to its last command, or the `WorkerFailed` in place of it.

    Args:
        deadline: for all of them, of `time.monotonic`.
    """
    received: dict[Worker, Any] = {}
    for worker in workers:
        try:
            received[worker] = worker.receive(deadline - time.monotonic())
        except WorkerFailed as failed:
            received[worker] = failed
    return received


def _order(context: BaseContext, order: Order) -> Order | bytes:
    if context.get_start_method() == "fork":
        return replace(order, bindings=None, environment={})
    try:
        return dumps(order)
    except (TypeError, pickle.PicklingError, AttributeError) as error:
        raise ConfigError(
            f"an environment factory cannot be sent to a worker process: {error}. Open files, "
            "locks and the like inside the factory; or use async_env_mp_context='fork', or "
            "env_mode='sync'."
        ) from error


@contextlib.contextmanager
def _hidden_main_module(context: BaseContext) -> Iterator[None]:
    """Keeps multiprocessing from running the user's script again in every worker.

    What the factories need of it travels with them, by value. So a script needs no
    `if __name__ == "__main__"` guard, and workers do not import torch because it does.
    """
    if context.get_start_method() == "fork":  # runs nothing again, and inherits this dict
        yield
        return
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
