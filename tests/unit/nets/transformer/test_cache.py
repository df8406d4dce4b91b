import numpy as np
import pytest
import torch

from amago.nets.transformer import Cache, TformerHiddenState


def make_state(batch: int = 3, slots: int = 4, layers: int = 2) -> TformerHiddenState:
    def cache() -> Cache:
        return Cache("cpu", torch.float32, layers, batch, slots, n_heads=2, head_dim=5)

    return TformerHiddenState(cache(), cache(), torch.zeros(batch, dtype=torch.int32))


def test_a_new_state_is_empty():
    state = make_state()
    keys, values, seq_lens = state[1]
    assert keys.shape == values.shape == (3, 4, 2, 5)
    assert not keys.any()
    assert not values.any()
    assert seq_lens.tolist() == [0, 0, 0]
    assert seq_lens.dtype == torch.int32
    assert state.n_layers == 2


def test_layers_are_views_to_be_written():
    state = make_state()
    state[1][0][2, 3] = 1.0
    assert state.key_cache.data[1, 2, 3].all()
    assert state.key_cache.data.sum() == 10.0


@pytest.mark.parametrize(
    "idxs", (np.array([False, True, True]), np.array([1, 2]), [1, 2], torch.tensor([1, 2]))
)
def test_reset_forgets_the_chosen_actors(idxs):
    state = make_state()
    state.update()
    state.update()
    state.reset(idxs)
    state.update()
    assert state.seq_lens.tolist() == [3, 1, 1]


def test_a_reset_of_nobody_changes_nothing():
    state = make_state()
    state.update()
    state.reset(np.zeros(3, dtype=bool))
    assert state.seq_lens.tolist() == [1, 1, 1]


def test_used_slots_grow_up_to_the_size_of_the_ring():
    state = make_state(slots=3)
    used = []
    for _ in range(5):
        used.append(state.used_slots())
        state.update()
    assert used == [1, 2, 3, 3, 3]


def test_roll_back_shifts_full_rows_left():
    cache = Cache("cpu", torch.float32, 1, 2, 3, n_heads=1, head_dim=1)
    cache.data[0, :, :, 0, 0] = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    cache.roll_back(torch.tensor([3, 2], dtype=torch.int32))
    assert cache.data[0, 0, :2, 0, 0].tolist() == [2.0, 3.0]
    assert cache.data[0, 1, :, 0, 0].tolist() == [4.0, 5.0, 6.0]


def test_rows_can_be_taken_to_another_state():
    state = make_state()
    state.seq_lens += torch.tensor([1, 2, 3], dtype=torch.int32)
    caches = []
    for cache in (state.key_cache, state.val_cache):
        part = Cache.__new__(Cache)
        part.data = cache.data[:, [2, 0]]
        caches.append(part)
    taken = TformerHiddenState(*caches, seq_lens=state.seq_lens[[2, 0]])
    assert taken[0][0].shape == (2, 4, 2, 5)
    assert taken.seq_lens.tolist() == [3, 1]
