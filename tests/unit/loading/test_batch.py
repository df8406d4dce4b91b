import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amago.loading import MAGIC_PAD_VAL, Batch, RLData, RLData_pad_collate, pad


def data(n, tag=0.0):
    return RLData(
        obs={"o": torch.arange(n + 1).unsqueeze(-1) + tag, "img": torch.ones(n + 1, 2, 2).byte()},
        rews=torch.arange(1, n + 1).unsqueeze(-1) + tag,
        dones=torch.zeros(n, 1, dtype=torch.bool),
        actions=torch.full((n, 2), 0.5),
        time_idxs=torch.arange(n + 1).unsqueeze(-1),
    )


def test_rl2s_are_rewards_and_actions_one_step_later():
    assert data(2).rl2s.tolist() == [[0, 0, 0], [1, 0.5, 0.5], [2, 0.5, 0.5]]


def test_the_length_is_the_number_of_transitions():
    assert len(data(4)) == 4


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 50))
def test_a_slice_keeps_fields_aligned(n, length, seed):
    random.seed(seed)
    sliced = data(n)
    assert sliced.random_slice(length, padded_sampling="both") is sliced
    start = int(sliced.time_idxs[0])
    assert sliced.obs["o"].squeeze(-1).tolist() == list(range(start, start + len(sliced) + 1))
    assert sliced.rl2s[1:, 0].tolist() == sliced.rews[:, 0].tolist()
    assert len(sliced.rews) == len(sliced.dones) == len(sliced) == min(length, n, len(sliced))


def test_an_unknown_mode_is_refused_even_for_short_sequences():
    with pytest.raises(ValueError, match="padded_sampling"):
        data(2).random_slice(length=9, padded_sampling="up")


@pytest.mark.parametrize("low, high", [(0, 0), (3, 1), (2, 3)])
def test_an_empty_range_gives_its_low_end(low, high):
    assert RLData._safe_randrange(low, high) == low


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.sampled_from(["f4", "u1", "?"]))
def test_padding_equals_a_plain_loop(lengths, kind):
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 2, (length, 3)).astype(kind) for length in lengths]
    expected = np.full((len(lengths), max(lengths), 3), MAGIC_PAD_VAL).astype(kind)
    for row, sequence in zip(expected, sequences, strict=True):
        row[: len(sequence)] = sequence
    padded = pad([torch.from_numpy(sequence) for sequence in sequences])
    assert padded.numpy().dtype == expected.dtype
    np.testing.assert_array_equal(padded.numpy(), expected)


def test_the_mask_marks_real_transitions_and_follows_edits():
    batch = RLData_pad_collate([data(3), data(1)])
    assert batch.obs["img"].shape == (2, 4, 2, 2)
    assert batch.rews.shape == (2, 3, 1)
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    batch.rl2s[0, 3] = MAGIC_PAD_VAL
    assert batch.mask.tolist() == [[True, True, False], [True, False, False]]


def test_moving_a_batch_moves_every_field_in_place():
    batch = RLData_pad_collate([data(3)])
    assert isinstance(batch, Batch)
    assert batch.to("meta") is batch
    tensors = [*batch.obs.values(), batch.rl2s, batch.rews, batch.dones, batch.actions]
    assert {tensor.device.type for tensor in (*tensors, batch.time_idxs)} == {"meta"}
