"""Environments in worker processes, several in each, on one block of shared memory."""

import itertools
import os
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from amago.core import config
from amago.core.errors import ConfigError, EnvError
from amago.envs.pool.base import PoolStep
from amago.envs.pool.buffers import StepBuffers
from amago.envs.pool.members import Recipe
from amago.envs.pool.memory import SharedMemory
from amago.envs.pool.pickling import dumps
from amago.envs.pool.processes import Worker, WorkerFailed, answers, start_context
from amago.envs.pool.row_pool import RowPool
from amago.envs.pool.rows import Arguments
from amago.envs.pool.saved import nothing
from amago.envs.pool.spaces import common_spaces
from amago.envs.pool.supervision import Fault, too_many
from amago.envs.pool.worker import ANEW, CALL, LOAD, NOISE, RESET, STATE, STEP, Report

_CLOSE_TIMEOUT_S = 5.0


class AsyncPool(RowPool):
    """Steps environments in parallel, for those that are slow.

    A worker that dies or hangs is replaced: the episodes of all of its environments are cut off.

    Args:
        recipe: the environments.
        mp_context: start method, "fork", "forkserver" or "spawn"; None: see
            `default_start_method`.
        num_workers: processes; None: one for each CPU, at most one for each environment.

    Raises:
        EnvError: an environment could not be made (with the worker's traceback) or not in time.
    """

    def __init__(
        self, recipe: Recipe, mp_context: str | None = None, num_workers: int | None = None
    ) -> None:
        super().__init__()
        self._recipe = recipe
        self._supervision = recipe.supervision
        self._context = start_context(mp_context)
        self._bindings = config.snapshot()
        self._workers: list[Worker] = []
        self._opened: list[SharedMemory] = []
        self._finalizer = weakref.finalize(self, _end, self._workers, self._opened, os.getpid())
        self._has_begun = False
        try:
            for start, stop in _shares(len(recipe.factories), num_workers or _num_cpus()):
                part = recipe.part(start, stop)
                self._workers.append(Worker(self._context, part, self._bindings))
            self._set_up_all()
        except WorkerFailed as failed:
            self._abort(failed.error)
        except BaseException:
            self.close()
            raise
        self._num_steps = 0
        self._explorations: list[Any] = [None] * self.num_envs
        self._remembered_at = np.zeros(self.num_envs, dtype=np.int64)

    def _set_up_all(self) -> None:
        deadline = time.monotonic() + self._supervision.start_timeout_s
        told = [each for worker in self._workers for each in worker.spaces(deadline)]
        if any(is_batch for _, is_batch in told):
            raise ConfigError(
                "the environment carries a batch: use env_mode='already_vectorized', which takes "
                "exactly one such environment"
            )
        spaces = common_spaces([spaces for spaces, _ in told])
        self._adopt(len(told), spaces)
        self._opened.append(SharedMemory(StepBuffers.size(self.num_envs, spaces)))
        self._buffers = StepBuffers(self.num_envs, spaces, self._opened[0].map)
        for worker in self._workers:
            worker.give_memory(self.num_envs, spaces, self._opened[0].descriptor)
        for answer in answers(self._workers, deadline).values():
            if isinstance(answer, WorkerFailed):
                raise answer

    def reset(self) -> PoolStep:
        """Start an episode in every environment."""
        self._check_open()
        step = self._command(RESET)
        step.interrupted[:] = False
        self._has_begun = True
        self.remember_exploration()
        return step

    def step(self, actions: np.ndarray) -> PoolStep:
        """Step every environment; a finished one begins its next episode in the same step."""
        self._check_open()
        self._buffers.take(actions)
        self._num_steps += 1
        return self._command(STEP)

    def _command(self, command: bytes) -> PoolStep:
        told = self._ask(lambda worker: command)
        self._replace_lost(told)
        metrics = [m for said in told.values() if isinstance(said, Report) for m in said.metrics]
        return self._buffers.step(self._names, metrics)

    def _ask(
        self, command: Callable[[Worker], bytes], at_least_s: float = 0.0
    ) -> dict[Worker, Any]:
        """`{worker: answer}` to a command; a worker that is lost answers with `WorkerFailed`.

        Raises:
            EnvError, ConfigError: an environment is not to be endured; the pool is closed.
        """
        timeout_s = max(self._supervision.step_timeout_s, at_least_s)
        lost = {}
        for worker in self._workers:
            try:
                worker.send(command(worker), timeout_s)
            except WorkerFailed as failed:
                lost[worker] = failed
        asked = [worker for worker in self._workers if worker not in lost]
        return {**answers(asked, time.monotonic() + timeout_s), **lost}

    # -------------------------------------------------------------------------------- faults

    def _replace_lost(self, told: dict[Worker, Any]) -> None:
        """New workers in place of those that died or hang; their episodes begin anew.

        Warns of that, and of what the others have told.
        """
        faults: list[Fault] = []
        failed = {w: said for w, said in told.items() if isinstance(said, WorkerFailed)}
        for failure in failed.values():
            if failure.raised is not None or not self._has_begun:
                self._abort(failure.error)
        reports = [said for said in told.values() if isinstance(said, Report)]
        reports += [self._replaced(worker, failed[worker], faults) for worker in failed]
        reports = [report for report in reports if report is not None]
        if faults or reports:
            of_workers = [fault for report in reports for fault in report.faults]
            notes = [note for report in reports for note in report.notes]
            self._fault_log.report(faults + of_workers, notes)

    def _replaced(self, old: Worker, failure: WorkerFailed, faults: list[Fault]) -> Report | None:
        """Start another worker; returns what it has to say. Its faults are appended."""
        index, failures = self._workers.index(old), self._buffers.failures[old.rows]
        culprit = _first_not_done(old, self._buffers) if failure.during == STEP else ""
        try:
            while True:
                failures += 1
                faults.append(self._endured(failure, culprit, int(failures.max()), old.rows))
                self._workers[index].end(0.0)
                try:
                    return self._successor(index)
                except WorkerFailed as again:
                    failure, culprit = again, ""
        except BaseException:
            self.close()
            raise

    def _endured(self, failure: WorkerFailed, culprit: str, failures: int, rows: slice) -> Fault:
        """The fault, if it is endured; else the error is raised."""
        if failure.raised is not None and failure.raised.kind == ConfigError.__name__:
            raise failure.error
        what = f"{failure.error}{culprit}"
        if failures >= self._supervision.max_failures:
            raise too_many(what, failures)
        consequence = (
            "The running episodes of its environments were cut off; another process has made them "
            "anew and begun their next ones."
        )
        if self._recipe.exploration is not None:
            lost = self._num_steps - int(self._remembered_at[rows].min())
            consequence += (
                f" Their exploration (its schedule and its noise) is where it was {lost} steps ago."
            )
        return Fault("lost worker", what, consequence)

    def _successor(self, index: int) -> Report | None:
        """Another worker in place of one, with the next episodes of its environments begun."""
        old = self._workers[index]
        deadline = time.monotonic() + self._supervision.start_timeout_s
        worker = Worker(
            self._context,
            self._recipe.part(old.rows.start, old.rows.stop),
            self._bindings,
            old.own_share(self._explorations),
            old.names,
        )
        self._workers[index] = worker
        for spaces, _ in worker.spaces(deadline):
            if not self._buffers.spaces.fits(spaces):
                raise ConfigError(f"{worker.description}, made anew, have other spaces than before")
        worker.give_memory(self.num_envs, self._buffers.spaces, self._opened[0].descriptor)
        worker.receive(deadline - time.monotonic())
        worker.send(ANEW, self._supervision.step_timeout_s)
        return worker.receive(self._supervision.step_timeout_s)

    # ------------------------------------------------------------------- saving, bringing back

    @property
    def _names(self) -> list[str]:
        return [name for worker in self._workers for name in worker.names]

    def remember_exploration(self) -> None:
        """Take note of how far the exploration is, for a worker that has to be replaced."""
        if self._recipe.exploration is None:
            return
        self._check_open()
        for worker, told in self._answered(NOISE).items():
            self._remember(worker.rows, told)

    def _remember(self, rows: slice, explorations: Sequence[Any]) -> None:
        self._explorations[rows] = explorations
        self._remembered_at[rows] = self._num_steps

    def _answered(self, question: bytes) -> dict[Worker, Any]:
        """The answers of the workers that are not lost."""
        told = self._ask(lambda worker: question)
        for said in told.values():
            if isinstance(said, WorkerFailed) and said.raised is not None:
                raise said.error
        return {w: said for w, said in told.items() if not isinstance(said, WorkerFailed)}

    def _how_to_bring_back(self) -> tuple[list[dict[str, Any]], list[dict[str, Any] | None]]:
        environments = [nothing("its worker process had died") for _ in range(self.num_envs)]
        for worker, (of_worker, explorations) in self._answered(STATE).items():
            environments[worker.rows] = of_worker
            self._remember(worker.rows, explorations)
        return environments, list(self._explorations)

    def _bring_back(self, rows: Sequence[dict[str, Any]]) -> list[str]:
        self._remember(slice(None), [row["exploration"] for row in rows])
        self._has_begun = True
        for worker in self._workers:  # what is cut off has that name, also if the worker dies
            saved = [row["name"] for row in worker.own_share(rows)]
            worker.names = [name or told for name, told in zip(saved, worker.names, strict=True)]
        told = self._ask(
            lambda worker: LOAD + dumps(worker.own_share(rows)), self._supervision.start_timeout_s
        )
        reasons = [""] * self.num_envs
        for worker, said in told.items():
            lost = ["its worker process died, or took too long"] * len(worker.names)
            reasons[worker.rows] = said.reasons if isinstance(said, Report) else lost
        self._replace_lost(told)
        return reasons

    # --------------------------------------------------------------------------------- calls

    def call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call a method, or read an attribute, of every environment.

        Raises:
            AttributeError: there is no such name; the pool goes on.
            EnvError: a method raised, or a worker died or hangs; the next step deals with that.
        """
        return self._call(name, [(args, kwargs)] * self.num_envs)

    def call_each(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of every environment, each with arguments of its own. Raises as `call`."""
        return self._call(name, [(args, {}) for args in arguments])

    def _call(self, name: str, arguments: Sequence[Arguments]) -> list[Any]:
        self._check_open()
        told = self._ask(lambda worker: CALL + dumps((name, worker.own_share(arguments))))
        for said in told.values():
            if isinstance(said, WorkerFailed):
                if said.raised is not None and said.raised.kind == AttributeError.__name__:
                    raise AttributeError(said.raised.message) from None
                raise said.error from None
        return [each for worker in self._workers for each in told[worker]]

    def close(self) -> None:
        """Close the environments and end their workers."""
        self._finalizer()

    @property
    def description(self) -> str:
        """`AsyncPool(Gym Env x N)`."""
        return f"AsyncPool(Gym Env x {self.num_envs})"

    def _check_open(self) -> None:
        if not self._finalizer.alive:
            raise EnvError("the pool is closed; make a new one")

    def _abort(self, error: Exception) -> NoReturn:
        self.close()
        raise error from None


def _first_not_done(worker: Worker, buffers: StepBuffers) -> str:
    """Which environment the worker was at, as far as the shared flags tell."""
    for row, (stepped, name) in enumerate(
        zip(buffers.stepped[worker.rows], worker.names, strict=True), start=worker.rows.start
    ):
        if not stepped:
            return f"; environment {row} ('{name}') was the first that had not been stepped"
    return ""


def _end(workers: list[Worker], opened: list[SharedMemory], owner: int) -> None:
    if os.getpid() != owner:
        return  # a forked copy of the pool is going, not the pool
    for worker in workers:
        worker.close()
    deadline = time.monotonic() + _CLOSE_TIMEOUT_S  # for all: stopped ones must not add up
    for worker in workers:
        worker.end(max(deadline - time.monotonic(), 0.0))
    for memory in opened:
        memory.close()


def _shares(num_envs: int, num_workers: int) -> list[tuple[int, int]]:
    """`[start, stop)` of each worker's environments, as equal as can be."""
    num_workers = min(num_workers, num_envs)
    bounds = np.linspace(0, num_envs, num_workers + 1).round().astype(int).tolist()
    return list(itertools.pairwise(bounds))


def _num_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
