"""Keys and values of past timesteps, so that a rollout computes one timestep at a time.

Each layer keeps the last `Lmax` keys of each actor in a ring: the key of an actor's `n`-th timestep
(from 0) stands in slot `n % Lmax`, over the oldest one once the ring is full. Nothing is ever moved
or copied, so a step costs the same however long the context has become. Softmax attention does not
care about the order of its keys, and positions are part of a key from when it was written.

Axes: `B` actors, `Lmax` slots, `H` heads, `D` numbers per head.
"""

import numpy as np
import torch
from torch import Tensor


class Cache:
    """Keys (or values) of every layer: `data` `[layers, B, Lmax, H, D]`, zeros to begin with.

    To re-batch, slice `data` along `B` (with the same rows of `TformerHiddenState.seq_lens`).
    """

    data: Tensor

    def __init__(
        self,
        device: torch.device | str,
        dtype: torch.dtype,
        layers: int,
        batch_size: int,
        max_seq_len: int,
        n_heads: int,
        head_dim: int,
    ) -> None:
        # Stored by head, since attention reads all slots of a head together (half the time of a
        # step at 24 actors and 256 slots); seen with the slots first.
        shape = (layers, batch_size, n_heads, max_seq_len, head_dim)
        self.data = torch.zeros(shape, dtype=dtype, device=device).transpose(2, 3)

    def roll_back(self, seq_lens: Tensor) -> None:
        """Shift full rows (`seq_lens >= Lmax`) left by one slot, dropping their first.

        For callers that keep keys in order of time. The Transformer of this package does not: it
        writes round the ring.
        """
        is_full = (seq_lens >= self.data.shape[2])[None, :, None, None, None]
        self.data = torch.where(is_full, self.data.roll(-1, dims=2), self.data)


class TformerHiddenState:
    """What a Transformer remembers of `B` actors; each may be at a timestep of its own.

    Made by `TformerTrajEncoder.init_hidden_state`; every step changes it in place.

    Args:
        seq_lens: timesteps since each actor's last reset, int32 `[B]`. It grows beyond `Lmax`:
            `min(seq_lens, Lmax)` slots hold keys, and `seq_lens % Lmax` is written next.
    """

    def __init__(self, key_cache: Cache, val_cache: Cache, seq_lens: Tensor) -> None:
        self.key_cache = key_cache
        self.val_cache = val_cache
        self.seq_lens = seq_lens
        self.n_layers = key_cache.data.shape[0]
        self.device = key_cache.data.device

    def reset(self, idxs: np.ndarray | Tensor | list[int]) -> None:
        """Let some actors forget everything; `idxs` are their indices, or a mask `[B]`.

        Their keys stay where they are, out of sight until they are overwritten.
        """
        idxs = np.asarray(idxs)
        rows = np.flatnonzero(idxs) if idxs.dtype == bool else idxs.astype(np.int64)
        if rows.size:
            self.seq_lens[torch.from_numpy(rows).to(self.device)] = 0

    def update(self) -> None:
        """Count one more timestep for every actor, once all layers have written theirs."""
        self.seq_lens += 1

    def used_slots(self) -> int:
        """A number of slots, from the first, that is enough for the coming step.

        On the CPU it is exact, which saves work while the ring fills. On other devices it is
        `Lmax`: to know better, the host would have to wait for the device at every step.
        """
        slots = self.key_cache.data.shape[2]
        if self.device.type != "cpu":
            return slots
        return min(int(self.seq_lens.max()) + 1, slots)

    def __getitem__(self, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Keys `[B, Lmax, H, D]` and values of a layer (views, to be written), and `seq_lens`."""
        return self.key_cache.data[layer], self.val_cache.data[layer], self.seq_lens
