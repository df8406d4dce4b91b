import pytest
import torch
from torch.testing import assert_close

from amago.nets.policy_dists import softplus_bounded_positive, tanh_bounded_positive


def test_tanh_bound_is_geometric_and_zero_gives_the_middle():
    x = torch.tensor([-100.0, 0.0, 100.0])
    assert_close(tanh_bounded_positive(x, 0.01, 1.0), torch.tensor([0.01, 0.1, 1.0]))


def test_tanh_bound_needs_an_upper_limit():
    with pytest.raises(ValueError, match="softplus"):
        tanh_bounded_positive(torch.zeros(1), 0.1, None)


def test_softplus_bound_starts_at_the_lower_limit_and_is_cut_at_the_upper():
    x = torch.tensor([-100.0, 0.0, 100.0])
    half = torch.log(torch.tensor(2.0)).item()
    assert_close(softplus_bounded_positive(x, 0.5), torch.tensor([0.5, 0.5 + half, 100.5]))
    assert softplus_bounded_positive(x, 0.5, 2.0).max() == 2.0
