import copy

import pytest
import torch
from torch.testing import assert_close

from amago.core.config import bind
from amago.core.errors import AmagoWarning
from amago.nets.transformer import (
    ClippedSlidingSinkAttention,
    FlexAttention,
    SlidingWindowFlexAttention,
    VanillaAttention,
)


def test_scores_pass_through_the_function_given():
    def alibi(score, b, h, q_idx, kv_idx):
        return score - 100.0 * (q_idx - kv_idx)

    attention = FlexAttention(alibi, lambda b, h, q, k: k >= 0, causal=True, dropout=0.0)
    qkv = torch.randn(2, 5, 3, 4, 8)
    assert_close(attention(qkv), qkv[:, :, 2], rtol=0.0, atol=1e-5)  # sees nothing but itself


def test_the_future_is_hidden_whatever_the_mask_says():
    attention = FlexAttention(
        lambda score, b, h, q, k: score, lambda b, h, q, k: k >= 0, causal=True, dropout=0.0
    )
    qkv = torch.randn(2, 5, 3, 4, 8)
    assert_close(attention(qkv), VanillaAttention()(qkv))


def test_functions_may_differ_between_heads():
    def one_head_sees_itself_only(b, h, q_idx, kv_idx):
        return (h != 0) | (q_idx == kv_idx)

    attention = FlexAttention(
        lambda score, b, h, q, k: score, one_head_sees_itself_only, causal=True, dropout=0.0
    )
    qkv = torch.randn(2, 5, 3, 4, 8)
    out = attention(qkv)
    assert_close(out[:, :, 0], qkv[:, :, 2, 0])
    assert_close(out[:, :, 1:], VanillaAttention()(qkv)[:, :, 1:])


def test_the_sink_stays_in_sight_and_gets_its_bias():
    attention = ClippedSlidingSinkAttention(
        causal=True, dropout=0.0, window_size=0, sink_size=1, sink_bias=1000.0
    )
    qkv = torch.randn(2, 5, 3, 4, 8)
    assert_close(attention(qkv), qkv[:, :1, 2].expand(-1, 5, -1, -1))


def test_limited_scores_give_even_weights():
    attention = ClippedSlidingSinkAttention(
        causal=True, dropout=0.0, window_size=9, logit_clip=1e-6
    )
    qkv = 10 * torch.randn(2, 5, 3, 4, 8)
    assert_close(attention(qkv)[:, -1], qkv[:, :, 2].mean(dim=1), rtol=1e-4, atol=1e-4)


def test_windows_can_be_bound():
    bind({"transformer.SlidingWindowFlexAttention.window_size": 3})
    assert SlidingWindowFlexAttention(causal=True, dropout=0.0).window_size == 3


def test_dropout_is_ignored_with_a_warning():
    with pytest.warns(AmagoWarning, match=r"0\.1 is ignored"):
        attention = SlidingWindowFlexAttention(causal=True, dropout=0.1, window_size=2)
    assert attention.dropout == 0.0


def test_copies_work():
    attention = SlidingWindowFlexAttention(causal=True, dropout=0.0, window_size=2)
    qkv = torch.randn(2, 5, 3, 4, 8)
    assert_close(copy.deepcopy(attention)(qkv), attention(qkv))


def test_block_masks_are_made_once_per_length():
    attention = SlidingWindowFlexAttention(causal=True, dropout=0.0, window_size=2)
    cpu = torch.device("cpu")
    mask = attention.cached_training_mask(128, 128, cpu)
    assert attention.cached_training_mask(128, 128, cpu) is mask
    assert attention.cached_training_mask(256, 256, cpu) is not mask
