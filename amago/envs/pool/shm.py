"""Environments in worker processes, several in each, on one block of shared memory."""

import contextlib
import itertools
import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from amago.core.errors import ConfigError, EnvError
from amago.envs.pool.base import EnvPool, PoolStep
from amago.envs.pool.buffers import StepBuffers
from amago.envs.pool.members import Recipe
from amago.envs.pool.processes import Worker, WorkerFailed, answers, start_context
from amago.envs.pool.rows import Arguments
from amago.envs.pool.spaces import PoolSpaces, common_spaces
from amago.envs.pool.worker import RESET, STEP


class AsyncPool(EnvPool):
    """Steps environments in parallel, for those that are slow.

    Args:
        recipe: the environments.
        mp_context: start method, "fork", "forkserver" or "spawn"; None: see
            `default_start_method`.
        num_workers: processes; None: one for each CPU, at most one for each environment.
        start_timeout_s: seconds the environments have to be made.
        step_timeout_s: seconds a step, a reset or a call of a method may take.

    Raises:
        EnvError: a worker raised (with its traceback), died, or ran out of time; the workers have
            been ended and the pool is closed.
    """

    def __init__(
        self,
        recipe: Recipe,
        mp_context: str | None = None,
        num_workers: int | None = None,
        start_timeout_s: float = 600.0,
        step_timeout_s: float = 600.0,
    ) -> None:
        self.num_envs = len(recipe.factories)
        self._step_timeout_s = step_timeout_s
        context = start_context(mp_context)
        self._workers: list[Worker] = []
        self._finalizer = weakref.finalize(self, _end, self._workers, os.getpid())
        try:
            for start, stop in _shares(self.num_envs, num_workers or _num_cpus()):
                self._workers.append(Worker(context, recipe.part(start, stop)))
            spaces = self._gather_spaces(start_timeout_s)
            self._buffers = self._share_memory(spaces, start_timeout_s)
        except WorkerFailed as failed:
            self._abort(failed)
        except BaseException:
            self.close()
            raise
        self.single_observation_space = spaces.observation
        self.single_action_space = spaces.action
        self.rl2_space = spaces.rl2

    def _gather_spaces(self, timeout_s: float) -> PoolSpaces:
        told = [each for answer in answers(self._workers, timeout_s) for each in answer]
        if any(is_batch for _, is_batch in told):
            raise ConfigError(
                "the environment carries a batch: use env_mode='already_vectorized', which takes "
                "exactly one such environment"
            )
        return common_spaces([spaces for spaces, _ in told])

    def _share_memory(self, spaces: PoolSpaces, timeout_s: float) -> StepBuffers:
        size = StepBuffers.size(self.num_envs, spaces)
        with _anonymous_file(size) as descriptor:
            for worker in self._workers:
                worker.give_memory(self.num_envs, spaces, descriptor)
            answers(self._workers, timeout_s)
            return StepBuffers(self.num_envs, spaces, mmap.mmap(descriptor, size))

    def reset(self) -> PoolStep:
        """Start an episode in every environment."""
        self._check_open()
        return self._command(RESET)

    def step(self, actions: np.ndarray) -> PoolStep:
        """Step every environment; a finished one begins its next episode in the same step."""
        self._check_open()
        self._buffers.actions[:] = actions
        return self._command(STEP)

    def _command(self, command: bytes) -> PoolStep:
        try:
            for worker in self._workers:
                worker.send(command)
            reports = answers(self._workers, self._step_timeout_s)
        except WorkerFailed as failed:
            self._abort(failed)
        names = [name for worker in self._workers for name in worker.names]
        metrics = [m for report in reports if report is not None for m in report.metrics]
        return self._buffers.step(names, metrics)

    def call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call a method, or read an attribute, of every environment.

        Raises:
            AttributeError: there is no such name; the pool goes on.
            EnvError: a method raised; the pool goes on, unless a worker died or hangs.
        """
        return self._call(name, [(args, kwargs)] * self.num_envs)

    def call_each(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Call a method of every environment, each with arguments of its own. Raises as `call`."""
        return self._call(name, [(args, {}) for args in arguments])

    def _call(self, name: str, arguments: Sequence[Arguments]) -> list[Any]:
        self._check_open()
        try:
            for worker in self._workers:
                worker.send_call(name, arguments)
            told = answers(self._workers, self._step_timeout_s)
        except WorkerFailed as failed:
            if failed.raised is None:
                self._abort(failed)
            if failed.raised.kind == "AttributeError":
                raise AttributeError(failed.raised.message) from None
            raise failed.error from None
        return [each for answer in told for each in answer]

    def render(self) -> list[Any]:
        """What each environment renders."""
        return self.call("render")

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

    def _abort(self, failed: WorkerFailed) -> NoReturn:
        self.close()
        raise failed.error from None


def _end(workers: list[Worker], owner: int) -> None:
    if os.getpid() != owner:
        return  # a forked copy of the pool is going, not the pool
    for worker in workers:
        worker.close()
    for worker in workers:
        worker.end()


def _shares(num_envs: int, num_workers: int) -> list[tuple[int, int]]:
    """`[start, stop)` of each worker's environments, as equal as can be."""
    num_workers = min(num_workers, num_envs)
    bounds = np.linspace(0, num_envs, num_workers + 1).round().astype(int).tolist()
    return list(itertools.pairwise(bounds))


def _num_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def _anonymous_file(size: int) -> Iterator[int]:
    """A descriptor of `size` bytes that have no name, so that nothing can be left behind."""
    if hasattr(os, "memfd_create"):  # memory, whatever the size of /dev/shm
        descriptor = os.memfd_create("amago-pool")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.ftruncate(descriptor, size)
        yield descriptor
    finally:
        os.close(descriptor)
