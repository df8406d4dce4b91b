import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from amago.core.config import bind
from amago.core.errors import ConfigError
from amago.nets.transformer import FixedPosEmb, LearnablePosEmb, RotaryPosEmb


def test_sinusoids_alternate_and_slow_down():
    emb = FixedPosEmb(4)(tensor([[0, 3]]))
    slow = 3 / math.sqrt(10_000)
    assert_close(emb[0, 0], tensor([0.0, 1.0, 0.0, 1.0]))
    assert_close(emb[0, 1], tensor([math.sin(3), math.cos(3), math.sin(slow), math.cos(slow)]))


def test_learnt_positions_come_from_a_table_whose_size_is_bound():
    bind({"LearnablePosEmb.max_time_idx": 7})
    emb = LearnablePosEmb(4)
    assert emb.embeddings.weight.shape == (7, 4)
    assert_close(emb(tensor([[6, 0]]))[0], emb.embeddings.weight[[6, 0]])


def test_a_time_beyond_the_table_names_the_setting():
    with pytest.raises(ConfigError, match=r"LearnablePosEmb\.max_time_idx=7"):
        LearnablePosEmb(4, max_time_idx=7)(tensor([[7]]))


def test_a_table_too_small_for_padding_is_refused():
    with pytest.raises(ConfigError, match="padded timesteps"):
        LearnablePosEmb(4, max_time_idx=4)
    LearnablePosEmb(4, max_time_idx=5)(tensor([[4]]))


def test_rotation_pairs_the_halves_of_a_head():
    x = tensor([1.0, 0.0, 0.0, 0.0]).view(1, 1, 1, 4)
    rotated = RotaryPosEmb(4)(x, tensor([[2]]))
    assert_close(rotated.flatten(), tensor([math.cos(2), 0.0, math.sin(2), 0.0]))


def test_rotated_products_depend_on_the_distance_in_time_only():
    rotary = RotaryPosEmb(8)
    query, key = torch.randn(1, 1, 8), torch.randn(1, 1, 8)

    def product(at: int, before: int) -> torch.Tensor:
        return (rotary(query, tensor([[at]])) * rotary(key, tensor([[before]]))).sum()

    assert_close(product(9, 4), product(105, 100), rtol=1e-4, atol=1e-4)
    assert abs(product(9, 4) - product(9, 3)) > 1e-3


@pytest.mark.parametrize("cls", (FixedPosEmb, RotaryPosEmb))
def test_pairs_need_an_even_dimension(cls):
    with pytest.raises(ConfigError, match="must be even"):
        cls(5)


@pytest.mark.parametrize("module", (FixedPosEmb(4), RotaryPosEmb(4)))
def test_fixed_positions_store_nothing(module):
    assert not module.state_dict()
