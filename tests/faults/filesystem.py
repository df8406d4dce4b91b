"""A disk that counts the operations on its files, and fails or ends the process at a chosen one.

    names = operations_of(work, folder)               # what `work()` does there, in order
    with Disk(folder) as disk:
        disk.fail_at(3, errno.ENOSPC)                 # the third operation raises, once
        work()
    was_killed = killed_at(3, work, folder)           # in a fork: SIGKILL, and no clean-up

Operations are those of `os`, and of files opened for writing with `open`. What C code asks of the
system itself is not seen.
"""

import builtins
import io
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

_ON_PATHS = ("mkdir", "rename", "replace", "link", "unlink", "remove", "rmdir", "truncate")
_ON_DESCRIPTORS = ("fsync", "fdatasync", "ftruncate", "close")


def operations_of(work: Callable[[], Any], under: Path | None = None) -> list[str]:
    """The file operations of `work()` in that folder, in order, each as "name path"."""
    with Disk(under) as disk:
        work()
    return disk.operations


def killed_at(operation: int, work: Callable[[], Any], under: Path | None = None) -> bool:
    """Run `work()` in a fork of this process that is killed at the n-th operation, from 1.

    Returns:
        False if `work()` ended before that.

    Raises:
        AssertionError: `work()` raised; the traceback is on stderr.
    """

    def work_until_killed() -> None:
        with Disk(under) as disk:
            disk.kill_at(operation)
            work()

    code = wait_for(start_fork(work_until_killed))
    assert code in (0, -signal.SIGKILL), f"the fork ended with exit code {code}"
    return code == -signal.SIGKILL


def start_fork(work: Callable[[], Any]) -> int:
    """The number of a fork of this process that runs `work()` and ends: 0, or 1 if it raised."""
    if (pid := os.fork()) == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)  # the rest of the test, and of its runner, is the parent's
    return pid


def wait_for(pid: int) -> int:
    """The exit code of a fork, once it has ended; negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Disk:
    """Counts the operations on files inside its `with` block. Nothing is flushed: that is slow, and
    no test cuts the power.

    Args:
        under: count those in this folder, and on the folder itself; None: everywhere.
        longest_write: bytes that one write takes at most; the caller has to write the rest again.

    Attributes:
        operations: since the last `work()`, in order, each as "name path".
    """

    def __init__(self, under: Path | None = None, longest_write: int | None = None) -> None:
        self.operations: list[str] = []
        self._under = None if under is None else os.path.abspath(under)
        self._longest_write = longest_write
        self._at = 0
        self._fault: Callable[[], None] = lambda: None
        self._paths: dict[int, str] = {}  # of the descriptors that are open
        self._real: dict[tuple[Any, str], Any] = {}

    def work(self) -> None:
        """Be whole again; counting starts over."""
        self.operations, self._at = [], 0

    def fail_at(self, operation: int, error: int) -> None:
        """The n-th operation from now, from 1, raises this errno; a write does half of it first."""

        def fail() -> None:
            raise OSError(error, os.strerror(error))

        self.work()
        self._at, self._fault = operation, fail

    def kill_at(self, operation: int) -> None:
        """This process dies at the n-th operation from now, from 1; a write does half of it."""
        self.work()
        self._at, self._fault = operation, lambda: os.kill(os.getpid(), signal.SIGKILL)

    # ----------------------------------------------------------------- in place of the real ones

    def __enter__(self) -> "Disk":
        for name in (*_ON_PATHS, *_ON_DESCRIPTORS, "open", "write", "writev"):
            self._real[os, name] = getattr(os, name)
        for module in (io, builtins):
            self._real[module, "open"] = module.open
        for name in _ON_PATHS:
            setattr(os, name, self._on_path(name))
        for name in _ON_DESCRIPTORS:
            setattr(os, name, self._on_descriptor(name))
        os.open, os.write, os.writev = self._os_open, self._os_write, self._os_writev
        io.open = builtins.open = self._open
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for (module, name), real in self._real.items():
            setattr(module, name, real)

    def _count(
        self,
        name: str,
        path: str | None,
        do: Callable[[], Any],
        do_half: Callable[[], Any] = lambda: None,
    ) -> Any:
        """Do an operation that counts, or what is to happen instead of it."""
        if not self._is_ours(path):
            return do()
        self.operations.append(f"{name} {path}")
        if len(self.operations) == self._at:
            do_half()
            self._fault()
        return do()

    def _is_ours(self, path: str | None) -> bool:
        if self._under is None:
            return True
        return path is not None and f"{path}{os.sep}".startswith(f"{self._under}{os.sep}")

    def _path(self, file: Any, dir_fd: int | None = None) -> str | None:
        if isinstance(file, int):
            return self._paths.get(file)
        folder = os.getcwd() if dir_fd is None else self._paths.get(dir_fd, "")
        return os.path.normpath(os.path.join(folder, os.fsdecode(file)))

    def _on_path(self, name: str) -> Callable[..., Any]:
        real = self._real[os, name]

        def operation(path: Any, *args: Any, **kwargs: Any) -> Any:
            where = self._path(path, kwargs.get("dir_fd"))
            return self._count(name, where, lambda: real(path, *args, **kwargs))

        return operation

    def _on_descriptor(self, name: str) -> Callable[..., Any]:
        real = self._real[os, name]

        def operation(descriptor: int, *args: Any) -> Any:
            where = self._path(descriptor)
            if name == "close":  # whatever it says, the descriptor is gone
                self._paths.pop(descriptor, None)
                return self._count(name, where, lambda: real(descriptor), lambda: real(descriptor))
            flushes = name in ("fsync", "fdatasync")
            return self._count(name, where, lambda: None if flushes else real(descriptor, *args))

        return operation

    def _os_open(self, path: Any, *args: Any, dir_fd: int | None = None, **kwargs: Any) -> int:
        real, where = self._real[os, "open"], self._path(path, dir_fd)
        descriptor = self._count("open", where, lambda: real(path, *args, dir_fd=dir_fd, **kwargs))
        self._paths[descriptor] = where or ""
        return descriptor

    def _os_write(self, descriptor: int, data: Any) -> int:
        data, real = memoryview(data).cast("B"), self._real[os, "write"]
        return self._count(
            "write",
            self._path(descriptor),
            lambda: real(descriptor, data[: self._longest_write]),
            lambda: real(descriptor, data[: len(data) // 2]),
        )

    def _os_writev(self, descriptor: int, pieces: Any) -> int:
        return self._os_write(descriptor, b"".join(pieces))

    def _open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if not set(mode) & set("wax+") or not self._is_ours(self._path(file)):
            real = self._real[io, "open"]
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = _File(self, file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)


class _File(io.FileIO):
    """What `open` gives for writing, below its buffers."""

    def __init__(self, disk: Disk, file: Any, mode: str, closefd: bool, opener: Any) -> None:
        self._disk = disk
        self._path = disk._path(file)
        if not isinstance(file, int):
            disk._count("open", self._path, lambda: None)
        super().__init__(file, mode, closefd, opener)
        disk._paths[self.fileno()] = self._path or ""

    def write(self, data: Any) -> int:
        data = memoryview(data).cast("B")
        return self._disk._count(
            "write",
            self._path,
            lambda: io.FileIO.write(self, data[: self._disk._longest_write]),
            lambda: io.FileIO.write(self, data[: len(data) // 2]),
        )

    def close(self) -> None:
        if not self.closed:
            self._disk._paths.pop(self.fileno(), None)
        super().close()
