"""One live learner per run: `learner.lock`, kept fresh while its owner lives.

Collectors, and experiments that only load or evaluate, take no lock. A lock is stale, and is taken
over, if its owner has ended on this machine, if the machine has restarted since, or if it belongs
to another machine (or one without `/proc`) and has not been touched for a while. Ages are
differences of the file system's own time stamps, so clocks that disagree do not matter.
"""

import contextlib
import fcntl
import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from amago.core.errors import ConfigError

_FILE = "learner.lock"


class LearnerLock:
    """The right to learn in a run's folder; a context manager. One thread keeps it fresh.

    Args:
        run_dir: `<ckpt_base_dir>/<run_name>`; made if it is not there.
        heartbeat_s: seconds between two touches.
        stale_after_s: age at which the lock of another machine counts as abandoned.
    """

    def __init__(
        self, run_dir: str | Path, heartbeat_s: float = 15.0, stale_after_s: float = 300.0
    ) -> None:
        self.path = Path(run_dir) / _FILE
        self._heartbeat_s = heartbeat_s
        self._stale_after_s = stale_after_s
        self._token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Take the lock, over from a dead owner if need be. Again is harmless.

        Raises:
            ConfigError: another learner lives (the message says where), or the folder cannot be
                written to.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _one_at_a_time(self.path.parent):
                self._take()
        except OSError as error:
            self.release()
            raise ConfigError(
                f"cannot write '{self.path}': {error.strerror}. A learner keeps its record and its "
                f"checkpoints in that folder: choose a ckpt_base_dir with room, where you may "
                f"write."
            ) from error
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._beat, name="learner-lock", daemon=True)
            self._thread.start()

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
        # A lock that cannot be removed is stale once this process has ended.
        with contextlib.suppress(OSError), _one_at_a_time(self.path.parent):
            if self.is_held:
                self.path.unlink(missing_ok=True)

    @property
    def is_held(self) -> bool:
        """Whether the lock is ours. It may be lost to another learner after a long suspension."""
        owner = self._owner()
        return owner is not None and owner.get("token") == self._token

    def __enter__(self) -> "LearnerLock":
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _take(self) -> None:
        for draft in self.path.parent.glob(f".{_FILE}.*"):  # of learners killed in this very place
            draft.unlink(missing_ok=True)
        owner = self._owner()
        if owner is not None and owner.get("token") != self._token:
            if not self._is_stale(owner):
                raise ConfigError(_refusal(self.path, owner))
            self.path.unlink(missing_ok=True)
        if not self.is_held:
            self._create()

    def _create(self) -> None:
        """Make the lock appear with its content; one killed here leaves no lock."""
        draft = self._draft()
        try:
            draft.write_text(json.dumps({**_this_process(), "token": self._token}, indent=1))
            try:
                os.link(draft, self.path)
            except FileExistsError:  # where `_one_at_a_time` cannot lock
                raise ConfigError(_refusal(self.path, self._owner() or {})) from None
            except OSError:  # a file system without hard links
                os.rename(draft, self.path)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def _draft(self) -> Path:
        return self.path.with_name(f".{_FILE}.{self._token}")

    def _owner(self) -> dict[str, Any] | None:
        """What the lock says; empty if it cannot be read as one; None if there is none."""
        try:
            owner = json.loads(self.path.read_text())
            return owner if isinstance(owner, dict) else {}
        except FileNotFoundError:
            return None
        except ValueError:
            return {}

    def _is_stale(self, owner: dict[str, Any]) -> bool:
        here = _this_process()
        same_machine = all(owner.get(key) == here[key] for key in ("host", "pid_namespace"))
        if not same_machine or not here["boot_id"]:
            return self._age_s() > self._stale_after_s
        if owner.get("boot_id") != here["boot_id"]:
            return True
        return _started(owner.get("pid")) != owner.get("started")

    def _age_s(self) -> float:
        """Seconds since the last touch, by the clock of the file system the lock is on."""
        probe = self._draft()
        try:
            probe.touch()
            return probe.stat().st_mtime - self.path.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat_s):
            # A full or absent disk must not end training; an old lock is the right result.
            with contextlib.suppress(OSError):
                if self.is_held:
                    os.utime(self.path)


def _refusal(path: Path, owner: dict[str, Any]) -> str:
    who = f"process {owner.get('pid')} on {owner.get('host')}" if owner else "an unknown process"
    return (
        f"another learner is active in '{path.parent}': {who}. Stop it, or choose another "
        f"run_name. If you are sure that it is gone, delete '{path}'."
    )


def _this_process() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "host": socket.gethostname(),
        "boot_id": _or_empty(lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip()),
        # Containers may share a host's name, but their process numbers mean different things.
        "pid_namespace": _or_empty(lambda: os.readlink("/proc/self/ns/pid")),
    }


def _started(pid: Any) -> int | None:
    """When the process started, in ticks since boot; None if it has ended.

    It tells the process from a later one of the same number, and no clock can change it.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, started = fields[0], int(fields[19])
    return None if state in "ZX" else started  # ended, but not yet collected by its parent


def _or_empty(read: Callable[[], str]) -> str:
    try:
        return read()
    except OSError:
        return ""


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process at a time judge and take a lock in this folder, where locks are supported."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
