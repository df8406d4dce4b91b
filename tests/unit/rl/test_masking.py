import torch
from torch.testing import assert_close

from amago.rl.masking import PAD_VALUE, masked_mean, transition_mask, valid_mask


def test_a_timestep_is_padding_only_if_its_whole_row_equals_the_pad_value():
    p = PAD_VALUE
    rl2s = torch.tensor([[[0.0, 0.0], [p, 1.0], [p, p]]])
    assert valid_mask(rl2s).tolist() == [[True, True, False]]


def test_a_transition_is_real_if_the_timestep_after_it_is():
    p = PAD_VALUE
    rl2s = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [p, p]]])
    assert transition_mask(rl2s).tolist() == [[True, False]]


def test_masked_mean_divides_by_the_count_plus_a_little():
    x = torch.tensor([1.0, 2.0, 30.0])
    mask = torch.tensor([True, True, False])
    assert_close(masked_mean(x, mask), torch.tensor(3.0 / (2.0 + 1e-5)))


def test_masked_mean_counts_the_mask_after_broadcasting_it():
    x = torch.tensor([[1.0, 3.0], [50.0, 70.0]])
    mask = torch.tensor([[True], [False]])
    assert_close(masked_mean(x, mask), torch.tensor(4.0 / (2.0 + 1e-5)))


def test_masked_mean_of_nothing_is_zero():
    assert masked_mean(torch.ones(3), torch.zeros(3, dtype=torch.bool)) == 0.0


def test_masked_mean_is_not_spoilt_by_an_infinity_at_a_masked_place():
    x = torch.tensor([2.0, torch.inf, torch.nan])
    mask = torch.tensor([True, False, False])
    assert_close(masked_mean(x, mask), torch.tensor(2.0 / (1.0 + 1e-5)))


def test_masked_mean_of_bfloat16_counts_in_float32():
    x = torch.ones(1000, dtype=torch.bfloat16)
    assert_close(masked_mean(x, torch.ones(1000, dtype=torch.bool)), torch.tensor(1.0))


def test_masked_mean_takes_weights_too():
    x = torch.tensor([1.0, 5.0])
    assert_close(masked_mean(x, torch.tensor([0.5, 1.5])), torch.tensor(8.0 / (2.0 + 1e-5)))
