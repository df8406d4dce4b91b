import pytest
import torch
from torch.testing import assert_close

from amago.rl.ensemble import random_subset, reduce_ensemble


def member_numbers(batch: int, length: int, critics: int, gammas: int) -> torch.Tensor:
    """An ensemble in which member `c` predicts `c`, `[B T C G 1]`."""
    c = torch.arange(critics).float()
    return c[None, None, :, None, None].expand(batch, length, critics, gammas, 1)


def test_members_are_drawn_uniformly_and_with_replacement():
    drawn = random_subset(member_numbers(20, 50, 4, 2), size=3)
    assert drawn.shape == (20, 50, 3, 2, 1)
    frequency = torch.bincount(drawn.long().flatten(), minlength=4) / drawn.numel()
    assert_close(frequency, torch.full((4,), 0.25), atol=0.02, rtol=0.0)
    repeats = (drawn[:, :, 0] == drawn[:, :, 1]).float().mean()
    assert repeats.item() == pytest.approx(0.25, abs=0.05)


def test_every_timestep_and_discount_draws_for_itself():
    drawn = random_subset(member_numbers(1, 200, 10, 2), size=1)
    assert drawn[0, :, 0, 0, 0].unique().numel() == 10
    assert (drawn[..., 0, :] != drawn[..., 1, :]).any()


def test_pessimistic_is_the_minimum_and_otherwise_the_mean():
    q = torch.tensor([1.0, 3.0])[None, None, :, None, None].expand(400, 1, 2, 1, 1)
    lowest = reduce_ensemble(q, size=2, pessimistic=True)
    mean = reduce_ensemble(q, size=2, pessimistic=False)
    assert lowest.shape == mean.shape == (400, 1, 1, 1, 1)
    assert set(lowest.flatten().tolist()) == {1.0, 3.0}
    assert set(mean.flatten().tolist()) == {1.0, 2.0, 3.0}
    assert (lowest == 3.0).float().mean().item() == pytest.approx(0.25, abs=0.07)


@pytest.mark.parametrize("pessimistic", [True, False])
def test_one_member_is_itself(pessimistic: bool):
    q = torch.randn(2, 3, 1, 4, 1)
    assert_close(reduce_ensemble(q, size=1, pessimistic=pessimistic), q)
