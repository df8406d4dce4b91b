"""Starting, asking and ending a worker process."""

import contextlib
import multiprocessing
import os
import pickle
import select
import sys
import time
import types
from collections.abc import Iterator, Sequence
from multiprocessing.context import BaseContext
from multiprocessing.reduction import send_handle
from typing import Any

from amago.core import config
from amago.core.errors import AmagoError, ConfigError, EnvError
from amago.envs.pool.members import Recipe
from amago.envs.pool.pickling import dumps
from amago.envs.pool.rows import Arguments
from amago.envs.pool.worker import ANSWER, CALL, CLOSE, DONE, FAILED, Failure, Order, Report, serve

_CLOSE_TIMEOUT_S = 5.0


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
    """

    def __init__(self, error: Exception, raised: Failure | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.raised = raised


class Worker:
    """The parent's side of a worker process, which owns the environments of one recipe.

    Attributes:
        names: of its environments, as far as it has told.
        pid: of the process.
    """

    def __init__(self, context: BaseContext, recipe: Recipe) -> None:
        self._recipe = recipe
        self.names = [""] * len(recipe.factories)
        self._connection, theirs = context.Pipe(duplex=True)
        self._process: Any = context.Process(  # pyright: ignore[reportAttributeAccessIssue]
            target=serve, args=(theirs, _order(context, recipe)), daemon=True
        )
        with _hidden_main_module(context):
            self._process.start()
        self.pid: int = self._process.pid
        theirs.close()  # so that the worker's end is the only one: its death ends the pipe
        self._poll = select.poll()
        self._poll.register(self._connection.fileno(), select.POLLIN)
        self._num_unanswered = 1  # the worker tells its spaces unasked

    def send(self, command: bytes) -> None:
        """Give a command; `receive` has the answer."""
        try:
            # An interrupted step leaves its answer behind; it is not the answer to this command.
            while self._num_unanswered:
                self.receive(timeout_s=None)
            self._connection.send_bytes(command)
        except OSError:
            raise self._died() from None
        self._num_unanswered += 1

    def send_call(self, name: str, arguments: Sequence[Arguments]) -> None:
        """Ask for a method call; `receive` has the answers.

        Args:
            arguments: of every environment of the pool; the worker gets its share.
        """
        first = self._recipe.first
        share = arguments[first : first + len(self._recipe.factories)]
        self.send(CALL + dumps((name, share)))

    def give_memory(self, num_envs: int, spaces: Any, memory: int) -> None:
        """Tell the worker about the pool's arrays: their layout, and a file descriptor."""
        try:
            self._connection.send((num_envs, spaces))
            send_handle(self._connection, memory, self.pid)
        except OSError:
            raise self._died() from None
        self._num_unanswered += 1

    def receive(self, timeout_s: float | None) -> Any:
        """The answer to the last command; None if there is nothing to say.

        Raises:
            WorkerFailed: it raised, died, or took longer than `timeout_s` (and was killed).
        """
        if not self._poll.poll(None if timeout_s is None else max(timeout_s, 0.0) * 1000):
            self._process.kill()
            raise self._gone("did not answer in time: an environment hangs, or is very slow")
        try:
            answer = self._connection.recv_bytes()
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

    def close(self) -> None:
        """Ask the worker to close its environments and end."""
        with contextlib.suppress(OSError):
            self._connection.send_bytes(CLOSE)

    def end(self, timeout_s: float = _CLOSE_TIMEOUT_S) -> None:
        """Wait for the process to end; after `timeout_s`, kill it."""
        self._process.join(timeout_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()
        self._connection.close()

    def _error(self, failure: Failure) -> Exception:
        if failure.kind == "ConfigError":
            return ConfigError(failure.message)
        return EnvError(
            f"{self._recipe.description} failed in a worker process: {failure.message}\n\n"
            f"The worker's traceback:\n{failure.trace}"
        )

    def _died(self) -> WorkerFailed:
        self._process.join(_CLOSE_TIMEOUT_S)
        return self._gone(f"ended unexpectedly (exit code {self._process.exitcode})")

    def _gone(self, what: str) -> WorkerFailed:
        process = f"the worker process (pid {self.pid}) of {self._recipe.description}"
        return WorkerFailed(EnvError(f"{process} {what}"))


def answers(workers: list[Worker], timeout_s: float | None) -> list[Any]:
    """The answers of all workers to their last commands, in order.

    Raises:
        WorkerFailed: the first that failed, after all have answered or run out of time.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    received, failure = [], None
    for worker in workers:
        left = None if deadline is None else deadline - time.monotonic()
        try:
            received.append(worker.receive(left))
        except WorkerFailed as failed:
            failure = failure or failed
    if failure is not None:
        raise failure
    return received


def _order(context: BaseContext, recipe: Recipe) -> Order | bytes:
    if context.get_start_method() == "fork":
        return Order(recipe, bindings=None, environment={})
    order = Order(recipe, config.snapshot(), dict(os.environ))
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
