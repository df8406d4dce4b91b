"""What an environment did since its episode began, kept so that it can be done again.

An environment that is reset with the same seed and given the same actions does the same, unless it
ignores its seed. That is not taken on trust: a checksum runs over everything it returned.
"""

import contextlib
import random
from collections.abc import Iterator, Sequence
from typing import Any
from zlib import crc32

import numpy as np

_FIRST_CAPACITY = 64
MAX_REPLAYED_STEPS = _FIRST_CAPACITY * 2**12
"""Of one episode: longer ones are not replayed, so that neither memory nor resuming is unbounded.
"""


class EpisodeLog:
    """The actions of the running episode of one environment, and a checksum of what came back.

    Args:
        places: where its timesteps are written: contiguous arrays, read after each step.
        action: an example of an action, `[F]` or `[A]`.
    """

    def __init__(self, places: Sequence[np.ndarray], action: np.ndarray) -> None:
        self._places: tuple[Any, ...] = tuple(places)
        self._actions = np.empty((_FIRST_CAPACITY, *action.shape), action.dtype)
        self._length = 0
        self._checksum = 0
        self._why_not = "its episode had not begun"

    def begin(self) -> None:
        """An episode has begun; its first timestep has been written."""
        self._why_not = ""
        self._length = 0
        self._checksum = 0
        self._read()

    def add(self, action: np.ndarray) -> None:
        """`action` was taken; the timestep that followed has been written."""
        if self._length == len(self._actions):
            self._make_room()
        self._actions[self._length] = action
        self._length += 1
        self._read()

    def lose(self, why: str) -> None:
        """The beginning of the running episode is not known."""
        self._why_not = why

    def state(self) -> dict[str, Any]:
        """`{"kind": "replay", "actions": [n, A], "checksum"}`, or `{"kind": "none", "reason"}`."""
        if self._why_not:
            return {"kind": "none", "reason": self._why_not}
        actions = self._actions[: self._length].copy()
        return {"kind": "replay", "actions": actions, "checksum": self._checksum}

    def _read(self) -> None:
        checksum = self._checksum
        for place in self._places:
            checksum = crc32(place, checksum)
        self._checksum = checksum

    def _make_room(self) -> None:
        if self._length >= MAX_REPLAYED_STEPS:
            self.lose(f"its episode was longer than {MAX_REPLAYED_STEPS:,} steps")
            self._length = 0
            return
        larger = np.empty((2 * self._length, *self._actions.shape[1:]), self._actions.dtype)
        larger[: self._length] = self._actions
        self._actions = larger


@contextlib.contextmanager
def unchanged_global_randomness() -> Iterator[None]:
    """Python's and numpy's global generators are afterwards as they were before."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
