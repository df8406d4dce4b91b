"""A batch that is filled in place, one sequence after the other, in memory that is used again.

Reading sequences one by one and stacking them afterwards copies every byte twice and touches new
memory each time: for images that is most of what loading costs. Here the file is read straight into
the sequence's row of the batch.

Axes: `B` sequences, `L` stored timesteps, `T = L - 1` transitions.
"""

import sys
from typing import Any

import numpy as np

from amago.loading.batch import Batch, Collated, RLData
from amago.loading.windows import Schema, by_name
from amago.rl.masking import PAD_VALUE

_ALIGN = 64  # what torch aligns its own memory to
_WORTH_KEEPING = 1 << 20
_MAX_BLOCKS = 8


class SchemaMismatchError(Exception):
    """Two sequences of a batch do not have the same arrays."""


class Blocks:
    """Memory for batches. A large block is handed out again when nothing refers to it any more.

    A fresh one would have to be zeroed by the system first, which takes as long as reading into it.

    Attributes:
        longest: transitions of the longest sequence of the last batch: how much room to begin with.
    """

    def __init__(self) -> None:
        self.longest = 0
        self._blocks: list[np.ndarray] = []

    def array(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of `shape`, aligned as torch aligns, with anything in it."""
        size = int(np.prod(shape)) * dtype.itemsize
        block = self._block(size + _ALIGN)
        start = -block.ctypes.data % _ALIGN
        return block[start : start + size].view(dtype).reshape(shape)

    def _block(self, size: int) -> np.ndarray:
        if size < _WORTH_KEEPING:
            return np.empty(size, np.uint8)
        for i in range(len(self._blocks)):
            # Arrays and tensors made of a block refer to it. 2: the list, and the call itself.
            fits = size <= self._blocks[i].nbytes <= 2 * size
            if fits and sys.getrefcount(self._blocks[i]) == 2:
                return self._blocks[i]
        self._blocks = [*self._blocks, np.empty(size, np.uint8)][-_MAX_BLOCKS:]
        return self._blocks[-1]

    def __getstate__(self) -> dict[str, Any]:
        """Without the memory: another process has its own."""
        return {"longest": 0, "_blocks": []}


class BatchRows(Collated):
    """`B` sequences in the arrays of one batch.

    Args:
        num_rows: `B`.
    """

    def __init__(self, num_rows: int, blocks: Blocks) -> None:
        self._blocks = blocks
        self._lengths = [0] * num_rows
        self._capacity = 0
        self._schema: Schema | None = None
        self._columns: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, k: Any) -> Any:
        """Sequence `k`, in the memory of the batch."""
        if isinstance(k, slice):
            return [self[i] for i in range(len(self))[k]]
        k = range(len(self))[k]
        return RLData(**by_name(self._schema or (), self._row(k, self._lengths[k])))

    def row(self, k: int, schema: Schema, num_transitions: int) -> list[np.ndarray]:
        """The arrays that sequence `k` has to be written to, one a field.

        Raises:
            SchemaMismatchError: the sequences before have other arrays.
        """
        if self._schema is None:
            self._schema = schema
        elif schema is not self._schema and schema != self._schema:
            raise SchemaMismatchError
        if num_transitions > self._capacity:
            self._grow(max(num_transitions, self._blocks.longest))
        self._lengths[k] = num_transitions
        return self._row(k, num_transitions)

    def _row(self, k: int, num_transitions: int) -> list[np.ndarray]:
        return [
            column[k, : num_transitions if field.is_per_transition else num_transitions + 1]
            for field, column in zip(self._schema or (), self._columns, strict=True)
        ]

    def _grow(self, capacity: int) -> None:
        """Room for `capacity` transitions in each row; what the rows hold moves along."""
        old, self._columns = self._columns, []
        for j, field in enumerate(self._schema or ()):
            rows = capacity if field.is_per_transition else capacity + 1
            column = self._blocks.array((len(self), rows, *field.row_shape), field.dtype)
            if old:
                column[:, : old[j].shape[1]] = old[j]
            self._columns.append(column)
        self._capacity = capacity

    def batch(self) -> Batch:
        """All sequences, padded as `RLData_pad_collate` pads them. Shares their memory."""
        longest = self._blocks.longest = max(self._lengths)
        for k, length in enumerate(self._lengths):
            if length < longest:
                self._pad(k, length)
        columns = self._columns
        if longest < self._capacity:
            columns = [self._shorter(column, self._capacity - longest) for column in columns]
        return Batch(**by_name(self._schema or (), columns))

    def _shorter(self, column: np.ndarray, by: int) -> np.ndarray:
        kept = column[:, :-by]
        copy = self._blocks.array(kept.shape, kept.dtype)
        copy[...] = kept
        return copy

    def _pad(self, k: int, num_transitions: int) -> None:
        for field, column in zip(self._schema or (), self._columns, strict=True):
            end = num_transitions if field.is_per_transition else num_transitions + 1
            column[k, end:] = PAD_VALUE
