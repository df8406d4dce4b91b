import sys
from functools import partial
from types import ModuleType

import pytest
import torch
from torch.testing import assert_close

from amago.nets.transformer import (
    ClippedSlidingSinkAttention,
    FlashAttention,
    SDPAttention,
    SlidingWindowFlexAttention,
    VanillaAttention,
    VanillaFlexAttention,
)
from amago.nets.transformer.attention import cache_ages, visible_slots

LENGTH = 7
LONG = 40
"""Too long for the plain product of matrices, which is for short sequences on the CPU."""
ALL = {
    "vanilla": VanillaAttention,
    "sdpa": SDPAttention,
    "flash": FlashAttention,
    "flex": VanillaFlexAttention,
}
WINDOWED = {
    "flash": partial(FlashAttention, window_size=(2, 0)),
    "flex": partial(SlidingWindowFlexAttention, window_size=2),
    "clipped": partial(ClippedSlidingSinkAttention, window_size=2),
}


def random_qkv(length: int = LENGTH) -> torch.Tensor:
    return torch.randn(2, length, 3, 4, 8)


def test_weights_are_a_softmax_of_scaled_products():
    # One head of dimension 1: scores are the products themselves.
    q, k, v = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 1.0]), torch.tensor([10.0, 20.0])
    qkv = torch.stack([q, k, v], dim=-1).view(1, 2, 3, 1, 1)
    weights = torch.tensor([2 * 0.5, 2 * 1.0]).softmax(dim=0)
    expected = torch.tensor([10.0, float(weights @ v)]).view(1, 2, 1, 1)
    for cls in ALL.values():
        assert_close(cls(causal=True, dropout=0.0)(qkv), expected)


@pytest.mark.parametrize("length", (1, LENGTH, LONG))
@pytest.mark.parametrize("causal", (True, False))
@pytest.mark.parametrize("name", ALL)
def test_all_kinds_agree_with_the_reference(name, causal, length):
    qkv = random_qkv(length).requires_grad_()
    reference = VanillaAttention(causal=causal, dropout=0.0)(qkv)
    found = ALL[name](causal=causal, dropout=0.0)(qkv)
    assert_close(found, reference)
    cotangent = torch.randn_like(reference)
    (wanted,) = torch.autograd.grad((reference * cotangent).sum(), qkv)
    (gradient,) = torch.autograd.grad((found * cotangent).sum(), qkv)
    assert_close(gradient, wanted)


@pytest.mark.parametrize("name", WINDOWED)
def test_windows_hide_what_is_older(name):
    qkv = random_qkv()
    attention = WINDOWED[name](causal=True, dropout=0.0)
    last = attention(qkv)[:, -1]
    assert_close(VanillaAttention()(qkv[:, -3:])[:, -1], last)
    changed = qkv.clone()
    changed[:, : LENGTH - 3] = 9.0
    assert_close(attention(changed)[:, -1], last)


def test_flash_window_looks_both_ways_without_causality():
    qkv = random_qkv()
    attention = FlashAttention(causal=False, dropout=0.0, window_size=(1, 1))
    full = VanillaAttention(causal=False)
    assert_close(attention(qkv)[:, 3], full(qkv[:, 2:5])[:, 1])


def test_a_wide_window_is_no_window():
    qkv = random_qkv()
    wide = FlashAttention(causal=True, dropout=0.0, window_size=(LENGTH, 0))
    assert_close(wide(qkv), VanillaAttention()(qkv))


@pytest.mark.parametrize("length", (LENGTH, LONG))
@pytest.mark.parametrize("name", ("sdpa", "flash"))
def test_weights_stay_float32_on_the_cpu_under_autocast(name, length):
    qkv = random_qkv(length).bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = ALL[name](causal=True, dropout=0.0)(qkv)
    assert out.dtype == torch.bfloat16  # and yet the only error is that of rounding the result:
    exact = VanillaAttention()(qkv.detach().float())
    assert_close(out.float(), exact.bfloat16().float(), rtol=2**-7, atol=1e-5)
    out.float().square().sum().backward()
    assert qkv.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("length", (LENGTH, LONG))
def test_double_precision_stays_double(length):
    qkv = random_qkv(length).double()
    assert_close(SDPAttention()(qkv), VanillaAttention()(qkv))


@pytest.mark.parametrize("length", (LENGTH, LONG))
@pytest.mark.parametrize("name", ("vanilla", "sdpa", "flash"))
def test_weights_are_dropped_in_training_only(name, length):
    qkv = random_qkv(length)
    attention = ALL[name](causal=True, dropout=0.5)
    assert not torch.allclose(attention(qkv), attention(qkv))
    attention.eval()
    assert_close(attention(qkv), VanillaAttention()(qkv))


def test_the_newest_key_is_written_over_the_oldest():
    keys, values = torch.zeros(2, 3, 4, 8), torch.zeros(2, 3, 4, 8)
    qkv = random_qkv(1)
    seq_lens = torch.tensor([4, 2], dtype=torch.int32)
    SDPAttention()(qkv, keys, values, seq_lens)
    assert_close(keys[0, 1], qkv[0, 0, 1])
    assert_close(values[1, 2], qkv[1, 0, 2])
    assert (keys != 0).any(dim=-1).any(dim=-1).tolist() == [
        [False, True, False],
        [False, False, True],
    ]


def test_ages_and_visibility_of_slots():
    seq_lens = torch.tensor([1, 2, 4], dtype=torch.int32)
    assert cache_ages(seq_lens, 3).tolist() == [[1, 0, 2], [2, 1, 0], [1, 0, 2]]
    assert visible_slots(seq_lens, 3).tolist() == [
        [True, True, False],
        [True, True, True],
        [True, True, True],
    ]
    assert visible_slots(seq_lens, 3, window=1).tolist() == [
        [True, True, False],
        [False, True, True],
        [True, True, False],
    ]


@pytest.mark.parametrize("name", ALL)
def test_what_stands_in_slots_out_of_sight_has_no_influence(name):
    qkv = random_qkv(1)
    seq_lens = torch.tensor([0, 1], dtype=torch.int32)
    attention = ALL[name](causal=True, dropout=0.0)
    old = [torch.randn(2, 3, 4, 8) for _ in range(2)]
    expected = attention(qkv, *[cache.clone() for cache in old], seq_lens)
    for cache in old:
        cache[0] = 1e6
        cache[1, 1:] = -1e6
    assert_close(attention(qkv, *old, seq_lens), expected)


@pytest.mark.parametrize("name", ALL)
def test_a_cache_of_lower_precision_works_under_autocast(name):
    qkv = random_qkv(1)
    caches = [torch.zeros(2, 3, 4, 8, dtype=torch.bfloat16) for _ in range(2)]
    seq_lens = torch.zeros(2, dtype=torch.int32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = ALL[name](causal=True, dropout=0.0)(qkv, *caches, seq_lens)
    assert out.dtype == torch.float32
    assert_close(out[:, 0], qkv[:, 0, 2], rtol=1e-2, atol=1e-2)  # one key: its value comes back


def test_flash_kernels_are_used_where_they_are_installed(monkeypatch):
    calls = []

    def flash_attn_qkvpacked_func(qkv, dropout_p, causal, window_size):
        calls.append((qkv.dtype, dropout_p, causal, window_size))
        return VanillaAttention(causal=causal)(qkv)

    package = ModuleType("flash_attn")
    package.flash_attn_qkvpacked_func = flash_attn_qkvpacked_func
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    monkeypatch.setattr("amago.nets.transformer.attention._has_flash_attn", lambda device: True)
    attention = FlashAttention(causal=True, dropout=0.1, window_size=(12, 0)).eval()
    qkv = random_qkv()
    assert_close(attention(qkv), VanillaAttention()(qkv), rtol=0.05, atol=0.05)
    assert calls == [(torch.bfloat16, 0.0, True, (12, 0))]
    assert attention.cache_dtype(torch.device("cpu")) == torch.bfloat16
