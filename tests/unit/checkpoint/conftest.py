"""A disk that fails on command."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

OPERATIONS = ("open", "writev", "fsync", "close", "mkdir", "rename", "unlink", "rmdir")


class Disk:
    """Counts file operations; from the chosen one on, it raises instead of doing them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._fail: Callable[[int, str], BaseException | None] = lambda count, name: None
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power cut here; it is slow
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name)))

    def kill_at(self, operation: int) -> None:
        """Die at the n-th operation from now, and stay dead."""
        self.count = 0
        self._fail = lambda count, name: KeyboardInterrupt() if count >= operation else None

    def fail_at(self, operation: int, error: int) -> None:
        """The n-th operation from now fails with this errno, once."""
        self.count = 0
        self._fail = lambda count, name: (
            OSError(error, os.strerror(error)) if count == operation else None
        )

    def work(self) -> None:
        """Be whole again; `count` starts over."""
        self.count = 0
        self._fail = lambda count, name: None

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            error = self._fail(self.count, name)
            if error is not None:
                raise error
            return real(*args, **kwargs)

        return operation


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """A `Disk` in place of the file operations of `os`."""
    with monkeypatch.context() as patch:
        yield Disk(patch)
