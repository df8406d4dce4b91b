"""Attention with a score function and a mask function of one's own.

Both have the signature of `torch.nn.attention.flex_attention`:

    score_mod(score, b, h, q_idx, kv_idx) -> score
    mask_mod(b, h, q_idx, kv_idx) -> bool         # true where the query sees the key

Indices are timesteps since the start of the sequence (in a rollout: since the actor's last reset).
They come as integer tensors, so a function may only use tensor operations on them.

Axes: `B` sequences, `L` timesteps, `H` heads, `D` numbers per head, `S` slots of the cache.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from amago.core.config import REQUIRED, configurable
from amago.core.errors import amago_warning
from amago.nets.transformer.attention import SelfAttention, cache_ages, write_to_cache

ScoreMod = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class FlexAttention(SelfAttention):
    """Attention whose scores pass through `score_mod` and whose mask is `mask_mod`.

    Whole sequences on a CUDA device use torch's compiled `flex_attention`, with a block mask that
    is made once per length. Everything else is computed densely: torch's kernel is made for long
    queries on a GPU, and a rollout has one query.

    Args:
        score_mod: see the top of this file.
        mask_mod: likewise; with `causal`, the future is hidden in addition.
        dropout: ignored, with a warning.
    """

    def __init__(
        self, score_mod: ScoreMod, mask_mod: MaskMod, causal: bool, dropout: float
    ) -> None:
        if dropout > 0.0:
            amago_warning(f"FlexAttention cannot drop attention weights: {dropout} is ignored.")
        super().__init__(causal=causal, dropout=0.0)
        self.score_mod = score_mod
        self.mask_mod = _both(_causal_mask, mask_mod) if causal else mask_mod
        self._block_masks: dict[tuple[int, int, torch.device], Any] = {}

    def forward(
        self,
        qkv: Tensor,
        key_cache: Tensor | None = None,
        val_cache: Tensor | None = None,
        cache_seqlens: Tensor | None = None,
    ) -> Tensor:
        if key_cache is not None and val_cache is not None and cache_seqlens is not None:
            write_to_cache(qkv, key_cache, val_cache, cache_seqlens)
            query = qkv[:, :, 0].to(key_cache.dtype).transpose(1, 2)  # [B H 1 D]
            out = self.flex_attention_inf(
                query,
                key_cache.transpose(1, 2),
                val_cache.transpose(1, 2),
                score_mod=self.kv_cache_score_mod(cache_seqlens, key_cache.shape[1]),
                mask_mod=self.kv_cache_mask_mod(cache_seqlens, key_cache.shape[1]),
            )
        else:
            query, key, value = qkv.permute(2, 0, 3, 1, 4).contiguous()
            out = self.flex_attention(query, key, value)
        return out.transpose(1, 2).to(qkv.dtype)

    def cached_training_mask(self, q_len: int, kv_len: int, device: torch.device) -> Any:
        """Torch's block mask for sequences of these lengths, made once."""
        from torch.nn.attention.flex_attention import create_block_mask

        key = (q_len, kv_len, device)
        if key not in self._block_masks:
            self._block_masks[key] = create_block_mask(
                self.mask_mod, B=None, H=None, Q_LEN=q_len, KV_LEN=kv_len, device=str(device)
            )
        return self._block_masks[key]

    def flex_attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of whole sequences; everything `[B, H, L, D]`."""
        if q.device.type != "cuda":
            return _dense(q, k, v, self.score_mod, self.mask_mod)
        block_mask = self.cached_training_mask(q.shape[2], k.shape[2], q.device)
        return _compiled_flex_attention()(q, k, v, score_mod=self.score_mod, block_mask=block_mask)

    def flex_attention_inf(
        self, q: Tensor, k: Tensor, v: Tensor, score_mod: ScoreMod, mask_mod: MaskMod
    ) -> Tensor:
        """Attention of one query `[B, H, 1, D]` over the slots of a cache `[B, H, S, D]`."""
        return _dense(q, k, v, score_mod, mask_mod)

    def kv_cache_score_mod(self, cache_seqlens: Tensor, slots: int) -> ScoreMod:
        """`score_mod`, taking a slot of the ring for `kv_idx`."""
        written_at = cache_seqlens.unsqueeze(-1) - cache_ages(cache_seqlens, slots)  # [B S]

        def score_mod(score: Tensor, b: Tensor, h: Tensor, q_idx: Tensor, slot: Tensor) -> Tensor:
            return self.score_mod(score, b, h, cache_seqlens[b], written_at[b, slot])

        return score_mod

    def kv_cache_mask_mod(self, cache_seqlens: Tensor, slots: int) -> MaskMod:
        """`mask_mod`, taking a slot for `kv_idx`; slots not written since the reset are hidden."""
        written_at = cache_seqlens.unsqueeze(-1) - cache_ages(cache_seqlens, slots)  # [B S]

        def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, slot: Tensor) -> Tensor:
            kv_idx = written_at[b, slot]
            return (kv_idx >= 0) & self.mask_mod(b, h, cache_seqlens[b], kv_idx)

        return mask_mod


@configurable(module="amago.nets.transformer")
class VanillaFlexAttention(FlexAttention):
    """Plain causal attention through the flexible code, for comparison."""

    def __init__(self, causal: bool, dropout: float) -> None:
        super().__init__(_same_score, _see_all, causal=causal, dropout=dropout)


@configurable(module="amago.nets.transformer")
class SlidingWindowFlexAttention(FlexAttention):
    """Attention to the present timestep and the `window_size` before it."""

    def __init__(self, causal: bool, dropout: float, window_size: int = REQUIRED) -> None:
        super().__init__(_same_score, _window_mask(window_size), causal=causal, dropout=dropout)
        self.window_size = window_size


@configurable(module="amago.nets.transformer")
class ClippedSlidingSinkAttention(FlexAttention):
    """A sliding window, plus the first timesteps of the sequence as a sink; scores are limited.

    In a rollout the sink is seen for as long as it is in the cache.

    Args:
        window_size: timesteps before the present one that are seen.
        logit_clip: largest magnitude of a score; 0 for no limit.
        sink_size: timesteps at the start of the sequence that are always seen.
        sink_bias: added to the scores of these.

    Source: Xiao et al. (2023), StreamingLLM.
    """

    def __init__(
        self,
        causal: bool,
        dropout: float,
        window_size: int = REQUIRED,
        logit_clip: float = 0.0,
        sink_size: int = 0,
        sink_bias: float = 0.0,
    ) -> None:
        in_window = _window_mask(window_size)

        def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
            return in_window(b, h, q_idx, kv_idx) | (kv_idx < sink_size)

        def score_mod(score: Tensor, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
            if logit_clip > 0.0:
                score = score.clamp(-logit_clip, logit_clip)
            return score + sink_bias * (kv_idx < sink_size)

        super().__init__(score_mod, mask_mod, causal=causal, dropout=dropout)


def _dense(q: Tensor, k: Tensor, v: Tensor, score_mod: ScoreMod, mask_mod: MaskMod) -> Tensor:
    """The definition, with every score written out: `[B, H, Q, D]`."""
    sizes = (q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    b, h, q_idx, kv_idx = torch.meshgrid(
        *(torch.arange(size, device=q.device) for size in sizes), indexing="ij"
    )
    with torch.autocast(device_type=q.device.type, enabled=False):
        scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
        scores = score_mod(scores, b, h, q_idx, kv_idx)
        scores = scores.masked_fill(~mask_mod(b, h, q_idx, kv_idx), float("-inf"))
        return scores.softmax(dim=-1) @ v


@lru_cache(maxsize=1)
def _compiled_flex_attention() -> Callable[..., Tensor]:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)


def _both(first: MaskMod, second: MaskMod) -> MaskMod:
    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return first(b, h, q_idx, kv_idx) & second(b, h, q_idx, kv_idx)

    return mask_mod


def _causal_mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
    return kv_idx <= q_idx


def _see_all(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
    return kv_idx >= 0


def _same_score(score: Tensor, b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
    return score


def _window_mask(window_size: int) -> MaskMod:
    def mask_mod(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        return q_idx - kv_idx <= window_size

    return mask_mod
