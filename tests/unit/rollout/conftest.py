"""Environments without an environment: a test says what happens in each step."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from amago.checkpoint.encoding import decode, encode
from amago.envs.pool.base import PoolStep
from amago.hindsight import Timestep


class Walks:
    """`N` rows that count their steps; observations and rewards tell row, episode and time."""

    def __init__(self, num_envs: int) -> None:
        self.n = num_envs
        self.episode = np.zeros(num_envs, np.int64)
        self.t = np.zeros(num_envs, np.int64)

    def timestep(self, terminal: Sequence[int] = ()) -> Timestep:
        value = (1000 * np.arange(self.n) + 100 * self.episode + self.t).astype(np.float32)
        return Timestep(
            obs={"x": np.stack((value, -value), axis=1), "n": (self.t % 250).astype(np.uint8)},
            prev_action=np.stack((self.t % 2, self.t % 3 == 0), axis=1).astype(np.uint8),
            reward=np.where(self.t > 0, value, 0).astype(np.float32),
            time_idx=self.t.copy(),
            terminal=self.mask(terminal),
            batched_envs=self.n,
        )

    def mask(self, rows: Sequence[int]) -> np.ndarray:
        mask = np.zeros(self.n, bool)
        mask[list(rows)] = True
        return mask

    @property
    def names(self) -> list[str]:
        return [f"w{row}e{episode}" for row, episode in enumerate(self.episode)]

    def begin_next(self, rows: Sequence[int]) -> None:
        for row in rows:
            self.episode[row] += 1
            self.t[row] = 0

    def made(self, final: Timestep, names: list[str], **masks: np.ndarray) -> PoolStep:
        nowhere = self.mask(())
        flags = dict.fromkeys(("terminated", "truncated", "started", "interrupted"), nowhere)
        timestep = self.timestep()
        return PoolStep(
            timestep=timestep,
            final=final,
            reward=final.reward,
            env_names=names,
            **{**flags, **masks},
        )

    def reset(self) -> PoolStep:
        everywhere = ~self.mask(())
        return self.made(self.timestep(), self.names, started=everywhere, stepped=~everywhere)

    def step(self, end: Sequence[int] = (), cut: Sequence[int] = ()) -> PoolStep:
        """Rows in `end` terminate and begin anew; those in `cut` had a fault before this step."""
        names = self.names
        self.t[~self.mask(cut)] += 1
        final = self.timestep(terminal=end)
        self.begin_next([*end, *cut])
        names = [self.names[i] if i in cut else names[i] for i in range(self.n)]
        return self.made(
            final,
            names,
            terminated=self.mask(end),
            started=self.mask([*end, *cut]),
            stepped=~self.mask(cut),
            interrupted=self.mask(cut),
        )

    def resume(self, cut: Sequence[int] = ()) -> PoolStep:
        """What a pool returns that was brought back, but for the rows in `cut`."""
        self.begin_next(cut)
        flags = {"started": self.mask(cut), "interrupted": self.mask(cut)}
        return self.made(self.timestep(), self.names, stepped=self.mask(()), **flags)


@pytest.fixture
def walks() -> type[Walks]:
    """See `Walks`."""
    return Walks


@pytest.fixture
def through_checkpoint() -> Callable:
    """What a checkpoint gives back of a value."""

    def through(value):
        stored = encode(value, "test")
        return decode(stored.tree, stored.tensors, stored.aliases)

    return through
