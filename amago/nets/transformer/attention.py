"""Causal self-attention over a whole sequence, or of one new timestep over a cache of keys.

Axes: `B` sequences, `L` timesteps, `H` heads, `D` numbers per head, `S` slots of the cache.
"""

import importlib.util
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amago.core.config import configurable

_SHORT = 32
"""Up to so many timesteps, products of matrices beat the fused kernel on the CPU (benchmarks,
train/short)."""


class SelfAttention(nn.Module, ABC):
    """Mixes the values of past timesteps by how well their keys match the present query.

    Made by the Transformer as `cls(causal=True, dropout=...)`.

    Args:
        causal: timestep `t` sees timesteps `<= t` only.
        dropout: share of attention weights that is dropped in training.
    """

    def __init__(self, causal: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.causal = causal
        self.dropout = dropout

    @abstractmethod
    def forward(
        self,
        qkv: Tensor,
        key_cache: Tensor | None = None,
        val_cache: Tensor | None = None,
        cache_seqlens: Tensor | None = None,
    ) -> Tensor:
        """Attention output of every timestep and head.

        Args:
            qkv: queries, keys and values, `[B, L, 3, H, D]`; `L` is 1 with a cache.
            key_cache: past keys `[B, S, H, D]`, a ring (see `cache`); the new key is written.
            val_cache: past values, likewise.
            cache_seqlens: timesteps written so far, int32 `[B]`.

        Returns:
            `[B, L, H, D]`.
        """

    def cache_dtype(self, device: torch.device) -> torch.dtype:
        """The type in which keys and values are to be kept."""
        return torch.float32


def write_to_cache(
    qkv: Tensor, key_cache: Tensor, val_cache: Tensor, cache_seqlens: Tensor
) -> None:
    """Write one timestep's keys and values `[B, 1, 3, H, D]` into the next slot of each ring."""
    rows = torch.arange(qkv.shape[0], device=qkv.device)
    slots = (cache_seqlens % key_cache.shape[1]).long()
    key_cache[rows, slots] = qkv[:, 0, 1].to(key_cache.dtype)
    val_cache[rows, slots] = qkv[:, 0, 2].to(val_cache.dtype)


def cache_ages(cache_seqlens: Tensor, slots: int) -> Tensor:
    """Timesteps since each slot was written, `[B, S]`: 0 for the newest.

    An age above `cache_seqlens` means: not written since the actor's last reset.
    """
    newest = cache_seqlens.unsqueeze(-1)
    return (newest - torch.arange(slots, device=newest.device, dtype=newest.dtype)) % slots


def visible_slots(cache_seqlens: Tensor, slots: int, window: int | None = None) -> Tensor:
    """True where a slot holds a key that the present timestep sees, `[B, S]`.

    Args:
        window: largest age, in timesteps, that is seen; None for all.
    """
    if window is None:
        slot = torch.arange(slots, device=cache_seqlens.device, dtype=cache_seqlens.dtype)
        return slot <= cache_seqlens.unsqueeze(-1)
    ages = cache_ages(cache_seqlens, slots)
    return ages <= cache_seqlens.unsqueeze(-1).clamp(max=window)


def cached_attention(
    qkv: Tensor,
    key_cache: Tensor,
    val_cache: Tensor,
    cache_seqlens: Tensor,
    window: int | None = None,
) -> Tensor:
    """Write one timestep to the cache, then let it attend to what it sees: `[B, 1, H, D]`."""
    write_to_cache(qkv, key_cache, val_cache, cache_seqlens)
    visible = visible_slots(cache_seqlens, key_cache.shape[1], window)
    # Added to the scores: to fill in what is hidden takes longer than the scores themselves.
    hidden = torch.where(visible, 0.0, float("-inf"))[:, None, None, :]
    query = qkv[:, 0, 0].to(key_cache.dtype).unsqueeze(2) * qkv.shape[-1] ** -0.5  # [B H 1 D]
    # Not torch's fused attention: with a mask it scales a copy of all keys. And no autocast, which
    # would copy the whole cache to change its type.
    with _no_autocast(qkv.device.type):
        scores = query @ key_cache.permute(0, 2, 3, 1)  # [B H 1 S]
        weights = scores.float().add_(hidden).softmax(dim=-1).to(val_cache.dtype)
        out = weights @ val_cache.transpose(1, 2)
    return out.transpose(1, 2).to(qkv.dtype)


def _no_autocast(device_type: str) -> AbstractContextManager[object]:
    """Autocast switched off, if it is on: to enter its context costs as much as a small product."""
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type=device_type, enabled=False)
    return nullcontext()


@configurable(module="amago.nets.transformer")
class VanillaAttention(SelfAttention):
    """Attention as written in the paper: the reference for all others.

        softmax(Q K^T / sqrt(D)) V

    Source: Vaswani et al. (2017), eq. 1.
    """

    def forward(
        self,
        qkv: Tensor,
        key_cache: Tensor | None = None,
        val_cache: Tensor | None = None,
        cache_seqlens: Tensor | None = None,
    ) -> Tensor:
        if key_cache is None or val_cache is None or cache_seqlens is None:
            query, key, value = qkv.unbind(dim=2)
            length = qkv.shape[1]
            seen = torch.ones(length, length, dtype=torch.bool, device=qkv.device)
            seen = seen.tril()[None, None] if self.causal else seen[None, None]
        else:
            write_to_cache(qkv, key_cache, val_cache, cache_seqlens)
            query, key, value = qkv[:, :, 0].to(key_cache.dtype), key_cache, val_cache
            seen = visible_slots(cache_seqlens, key.shape[1])[:, None, None, :]
        scores = torch.einsum("blhd,bshd->bhls", query, key) * query.shape[-1] ** -0.5
        weights = scores.masked_fill(~seen, float("-inf")).softmax(dim=-1)
        weights = F.dropout(weights, p=self.dropout, training=self.training)
        return torch.einsum("bhls,bshd->blhd", weights, value).to(qkv.dtype)


@configurable(module="amago.nets.transformer")
class SDPAttention(SelfAttention):
    """Torch's own fused attention, which picks a kernel for the device at hand. The default."""

    def forward(
        self,
        qkv: Tensor,
        key_cache: Tensor | None = None,
        val_cache: Tensor | None = None,
        cache_seqlens: Tensor | None = None,
    ) -> Tensor:
        if key_cache is not None and val_cache is not None and cache_seqlens is not None:
            return cached_attention(qkv, key_cache, val_cache, cache_seqlens)
        return _attend(qkv, self.causal, self.dropout if self.training else 0.0)


@configurable(module="amago.nets.transformer")
class FlashAttention(SelfAttention):
    """Attention within a sliding window, by the `flash-attn` package where it can be used.

    That is on a CUDA device, with the package installed; there it works in bfloat16. Elsewhere the
    same maths goes through torch's own attention.

    Args:
        window_size: timestep `t` sees `t - left` to `t + right`; -1 for no limit. The right limit
            has no effect on causal attention.

    Source: Dao (2023), FlashAttention-2.
    """

    def __init__(
        self, causal: bool, dropout: float, window_size: tuple[int, int] = (-1, -1)
    ) -> None:
        super().__init__(causal=causal, dropout=dropout)
        self.window_size = (int(window_size[0]), int(window_size[1]))

    def cache_dtype(self, device: torch.device) -> torch.dtype:
        return torch.bfloat16 if _has_flash_attn(torch.device(device)) else torch.float32

    def forward(
        self,
        qkv: Tensor,
        key_cache: Tensor | None = None,
        val_cache: Tensor | None = None,
        cache_seqlens: Tensor | None = None,
    ) -> Tensor:
        left, _ = self.window_size
        if key_cache is not None and val_cache is not None and cache_seqlens is not None:
            window = left if left >= 0 else None
            return cached_attention(qkv, key_cache, val_cache, cache_seqlens, window)
        dropout = self.dropout if self.training else 0.0
        if _has_flash_attn(qkv.device):
            return self._kernel(qkv, dropout)
        mask = self._window_mask(qkv.shape[1], qkv.device)
        return _attend(qkv, self.causal, dropout, mask)

    def _kernel(self, qkv: Tensor, dropout: float) -> Tensor:
        from flash_attn import (  # pyright: ignore[reportMissingImports]
            flash_attn_qkvpacked_func,
        )

        out = flash_attn_qkvpacked_func(
            qkv.to(torch.bfloat16),
            dropout_p=dropout,
            causal=self.causal,
            window_size=self.window_size,
        )
        return out.to(qkv.dtype)

    def _window_mask(self, length: int, device: torch.device) -> Tensor | None:
        """True where a query (row) sees a key (column); None when the window limits nothing."""
        left, right = self.window_size
        right = 0 if self.causal else right
        if not 0 <= left < length - 1 and (self.causal or not 0 <= right < length - 1):
            return None
        mask = torch.ones(length, length, dtype=torch.bool, device=device)
        if right >= 0:
            mask = mask.tril(right)
        return mask.triu(-left) if left >= 0 else mask


def _attend(qkv: Tensor, causal: bool, dropout: float, mask: Tensor | None = None) -> Tensor:
    """Attention of whole sequences by torch's kernels: `[B, L, 3, H, D]` to `[B, L, H, D]`.

    Args:
        mask: `[L, L]`, true where a query (row) sees a key (column); takes the place of `causal`.
    """
    heads_first = _heads_first(qkv)
    kernel, precision = F.scaled_dot_product_attention, nullcontext()
    if qkv.device.type == "cpu":
        # Backward, torch's kernel for the CPU is four times slower in bfloat16 than in float32.
        precision = torch.autocast(device_type="cpu", enabled=False)
        heads_first = heads_first.to(torch.promote_types(qkv.dtype, torch.float32))
        kernel = _plain_attention if qkv.shape[1] <= _SHORT else kernel
    query, key, value = heads_first
    with precision:
        out = kernel(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=causal and mask is None,
        )
    return out.transpose(1, 2).to(qkv.dtype)


def _plain_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
) -> Tensor:
    """What `scaled_dot_product_attention` computes, `[B, H, L, D]`, with every weight in memory."""
    length, size = query.shape[-2:]
    if is_causal:
        attn_mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
    hidden = query.new_zeros(length, length)
    if attn_mask is not None:
        hidden = hidden.masked_fill(~attn_mask, float("-inf"))
    heads = query.shape[:2]  # B, H
    query, key, value = (x.flatten(0, 1) for x in (query, key, value))
    scores = torch.baddbmm(hidden, query, key.transpose(1, 2), alpha=size**-0.5)  # [B*H L L]
    weights = F.dropout(scores.softmax(dim=-1), p=dropout_p)
    return torch.bmm(weights, value).unflatten(0, heads)


def _heads_first(qkv: Tensor) -> Tensor:
    """`[B, L, 3, H, D]` to contiguous `[3, B, H, L, D]`, as the fused kernels like it best."""
    return qkv.permute(2, 0, 3, 1, 4).contiguous()


def _has_flash_attn(device: torch.device) -> bool:
    return device.type == "cuda" and importlib.util.find_spec("flash_attn") is not None
