"""The worker process of an `AsyncPool`: some of its environments, and the messages about them.

The parent writes actions into shared memory and sends one byte; the worker steps its environments,
which write their rows of the shared arrays, and answers one byte, or a pickle where there is more
to say (a metric, a changed name). A message never carries an observation.
"""

import mmap
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import Any

from amago.core import config
from amago.envs.pool.buffers import StepBuffers
from amago.envs.pool.channel import Channel
from amago.envs.pool.members import Recipe
from amago.envs.pool.pickling import dumps
from amago.envs.pool.row import Metrics
from amago.envs.pool.rows import EnvRows
from amago.envs.pool.spaces import PoolSpaces
from amago.envs.pool.supervision import Fault

RESET, ANEW, STEP, CLOSE = b"r", b"a", b"s", b"x"
CALL, STATE, NOISE, LOAD = b"c", b"d", b"n", b"l"
"""Commands. `ANEW`: reset, and say that the episodes before were cut off. `STATE`: how to bring
back the environments, and their exploration; `NOISE`: the latter only. `CALL` is followed by a
pickle of a name and the arguments for each environment, `LOAD` by one of saved rows."""

DONE, ANSWER, FAILED = b".", b"+", b"!"
"""Answers. The last two are followed by a pickle of what there is to say, or of a `Failure`."""


@dataclass(frozen=True)
class Order:
    """What a worker is to make.

    Attributes:
        bindings: gin's, as `core.config.snapshot` gives them. None where they were inherited.
        environment: variables of the parent; a fork server remembers those of its own start.
        explorations: where the exploration of each environment goes on, and `names` of the episodes
            that were cut off, if the worker takes the place of another.
    """

    recipe: Recipe
    bindings: bytes | None
    environment: dict[str, str]
    explorations: Sequence[dict[str, Any] | None] = ()
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """What the shared arrays cannot hold.

    Attributes:
        names: of the rows; None when they have not changed.
        faults: that were dealt with.
        notes: what else the pool should tell.
        reasons: why rows could not be brought back, after `LOAD`.
    """

    names: list[str] | None
    metrics: list[tuple[int, str, Any]]
    faults: list[Fault]
    notes: list[str]
    reasons: list[str]


@dataclass(frozen=True)
class Failure:
    """An exception in a worker.

    Attributes:
        kind: name of its class.
        trace: the traceback, as text.
    """

    kind: str
    message: str
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Of an exception that is being handled."""
        return cls(type(error).__name__, str(error), traceback.format_exc())


def serve(connection: Connection, order: Order | bytes) -> None:
    """Make the environments and step them until told to close, or until the parent is gone.

    Args:
        order: an `Order`, pickled unless it was inherited.
    """
    # Ctrl-C, and the signals by which a batch system asks a whole job to stop, are the parent's: it
    # saves what it has, and closes us.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    rows = None
    channel = Channel(connection)
    try:
        rows = _set_up(channel, order)
        if rows is not None:
            _obey(channel, rows)
    except (EOFError, OSError):
        return  # the parent is gone
    finally:
        if rows is not None:
            rows.close()


def _set_up(channel: Channel, order: Order | bytes) -> EnvRows | None:
    """Make the environments, tell the spaces of each, take their part of the shared memory."""
    members = []
    try:
        order = _carried_out(order)
        recipe = order.recipe
        for member in recipe.make():
            _send(channel, ANSWER, (PoolSpaces.of(member.amago_env), member.amago_env.batched))
            members.append(member)
        for member, state in zip(members, order.explorations):
            member.load_exploration_state(state)
    except Exception as error:
        _send(channel, FAILED, Failure.of(error))
        return None
    num_envs, spaces = pickle.loads(channel.receive())
    memory = os.fdopen(recv_handle(channel), "r+b")  # pyright: ignore[reportArgumentType]
    with memory:
        shared = mmap.mmap(memory.fileno(), 0)
    buffers = StepBuffers(num_envs, spaces, shared)
    rows = EnvRows(
        members, recipe.first, buffers, recipe.supervision, recipe.replayable, order.names
    )
    channel.send(DONE)
    return rows


def _carried_out(order: Order | bytes) -> Order:
    if isinstance(order, bytes):
        order = pickle.loads(order)
    assert isinstance(order, Order)
    os.environ.update(order.environment)
    if order.bindings is not None:
        config.restore(order.bindings)
    return order


def _obey(channel: Channel, rows: EnvRows) -> None:
    names: list[str] = []
    while (command := channel.receive()) != CLOSE:
        metrics, reasons = [], []
        try:
            if command[:1] in _QUESTIONS:
                _send(channel, ANSWER, _asked(rows, command))
                continue
            if command[:1] == LOAD:
                reasons = rows.load(pickle.loads(command[1:]))
            else:
                metrics = _MOVES[command](rows)
        except Exception as error:
            _send(channel, FAILED, Failure.of(error))
            continue
        if metrics or reasons or rows.faults or rows.notes or rows.names != names:
            changed = None if rows.names == names else rows.names
            names = rows.names
            _send(channel, ANSWER, Report(changed, metrics, rows.faults, rows.notes, reasons))
            rows.faults, rows.notes = [], []
        else:
            channel.send(DONE)


_MOVES: dict[bytes, Callable[[EnvRows], Metrics]] = {
    STEP: EnvRows.step,
    RESET: EnvRows.reset,
    ANEW: EnvRows.begin_anew,
}
_QUESTIONS = (CALL, STATE, NOISE)


def _asked(rows: EnvRows, command: bytes) -> Any:
    if command == NOISE:
        return rows.explorations()
    if command == STATE:
        return rows.environments(), rows.explorations()
    return rows.call(*pickle.loads(command[1:]))


def _send(channel: Channel, answer: bytes, content: Any) -> None:
    channel.send(answer + dumps(content))


def _exit_with_parent() -> None:
    """End this process when its parent has ended, whatever the environments are doing."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    # A fork server stands between the two. It may end first (by a signal to all of a job, say), and
    # that is no reason to go.
    is_child = os.getppid() == parent.pid
    while parent.is_alive() and (not is_child or os.getppid() == parent.pid):
        parent.join(timeout=1.0)
    os._exit(1)
