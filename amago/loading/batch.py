"""Training sequences as tensors, and how unequal ones become a batch.

Axes: `B` sequences, `L` stored timesteps, `T = L - 1` transitions, `A` action.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch.nn.utils.rnn import pad_sequence

from amago.loading.slicing import start_range, window_at
from amago.rl.masking import PAD_VALUE, transition_mask

MAGIC_PAD_VAL = PAD_VALUE
"""Fills every field of a padded timestep (the name clients import)."""


@dataclass
class RLData:
    """One sequence of one environment.

    Attributes:
        obs: `{key: [L, ...]}`.
        rews: `[T, 1]` float.
        dones: `[T, 1]` bool, terminations only.
        actions: `[T, A]` float, one-hot when discrete.
        time_idxs: `[L, 1]` int64.
        rl2s: `[L, 1 + A]` float, previous reward and action. None builds it from `rews` and
            `actions`, zeros first.
    """

    obs: dict[str, torch.Tensor]
    rews: torch.Tensor
    dones: torch.Tensor
    actions: torch.Tensor
    time_idxs: torch.Tensor
    rl2s: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if self.rl2s is None:
            after = torch.cat((self.rews, self.actions), dim=-1).float()
            self.rl2s = torch.cat((torch.zeros_like(after[:1]), after))

    def __len__(self) -> int:
        """Transitions, `T`."""
        return len(self.actions)

    def random_slice(self, length: int, padded_sampling: str = "none") -> "RLData":
        """Cut to a random window of at most `length` transitions, in place. Returns itself.

        Draws from Python's global `random`.

        Args:
            padded_sampling: see `amago.loading.slicing`.

        Raises:
            ConfigError: no such mode.
        """
        low, high = start_range(len(self), length, padded_sampling)
        if len(self) > length:
            start = self._safe_randrange(low, high + 1)
            self.cut(*window_at(start, len(self), length, padded_sampling))
        return self

    @staticmethod
    def _safe_randrange(low: int, high: int) -> int:
        """A random integer of `[low, high)`; `low` when that is empty."""
        return random.randrange(low, max(high, low + 1))

    def cut(self, start: int, stop: int) -> None:
        """Keep transitions `[start, stop)`, in place."""
        self.obs = {key: value[start : stop + 1] for key, value in self.obs.items()}
        self.time_idxs = self.time_idxs[start : stop + 1]
        self.rl2s = cast(torch.Tensor, self.rl2s)[start : stop + 1]
        self.rews = self.rews[start:stop]
        self.dones = self.dones[start:stop]
        self.actions = self.actions[start:stop]


@dataclass
class Batch:
    """`B` sequences, padded on the right to the longest.

    Attributes:
        obs: `{key: [B, L, ...]}`.
        rl2s: `[B, L, 1 + A]`.
        rews: `[B, T, 1]`.
        dones: `[B, T, 1]`.
        actions: `[B, T, A]`.
        time_idxs: `[B, L, 1]`.
    """

    obs: dict[str, torch.Tensor]
    rl2s: torch.Tensor
    rews: torch.Tensor
    dones: torch.Tensor
    actions: torch.Tensor
    time_idxs: torch.Tensor

    @property
    def mask(self) -> torch.Tensor:
        """`[B, T]` bool, true where a transition is real. Follows later edits of `rl2s`."""
        return transition_mask(self.rl2s)

    def to(self, device: Any, non_blocking: bool = False) -> "Batch":
        """Move to `device`, in place. Returns itself."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Move to page-locked memory, in place. Returns itself. (torch's data loader calls it.)"""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, change: Any) -> "Batch":
        self.obs = {key: change(value) for key, value in self.obs.items()}
        for name in ("rl2s", "rews", "dones", "actions", "time_idxs"):
            setattr(self, name, change(getattr(self, name)))
        return self


class Collated(Sequence[RLData], ABC):
    """Sequences that already lie in the arrays of one batch."""

    @abstractmethod
    def batch(self) -> Batch:
        """That batch."""


def pad(list_of_tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Stack `[L_i, ...]` tensors as `[B, max L_i, ...]`, filled up with `MAGIC_PAD_VAL`.

    The fill takes the tensors' dtype: 4 for integers, true for booleans.
    """
    lengths = {len(sequence) for sequence in list_of_tensors}
    if len(lengths) == 1:
        return torch.stack(list(list_of_tensors))
    return pad_sequence(list(list_of_tensors), batch_first=True, padding_value=MAGIC_PAD_VAL)


def RLData_pad_collate(samples: list[RLData]) -> Batch:
    """Pad every field of `samples` to its longest: the data loader's `collate_fn`."""
    if isinstance(samples, Collated):
        return samples.batch()
    return Batch(
        obs={key: pad([sample.obs[key] for sample in samples]) for key in samples[0].obs},
        rl2s=pad([cast(torch.Tensor, sample.rl2s) for sample in samples]),
        rews=pad([sample.rews for sample in samples]),
        dones=pad([sample.dones for sample in samples]),
        actions=pad([sample.actions for sample in samples]),
        time_idxs=pad([sample.time_idxs for sample in samples]),
    )
