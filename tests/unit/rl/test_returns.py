import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from amago.rl.returns import nstep_return, nstep_target

TRUE, FALSE = torch.tensor([[True]]), torch.tensor([[False]])


def plain_nstep(reward, terminal, valid, next_value, discount, n):
    """Slow and plain: the definition, one number at a time."""
    batch, length = reward.shape
    y = torch.zeros_like(next_value)
    for b in range(batch):
        for t in range(length):
            for g, gamma in enumerate(discount.tolist()):
                total, k = 0.0, 0
                while k < n and t + k < length and (k == 0 or valid[b, t + k]):
                    total += gamma**k * reward[b, t + k].item()
                    k += 1
                    if terminal[b, t + k - 1]:
                        break
                if not terminal[b, t + k - 1]:
                    total += gamma**k * next_value[b, t + k - 1, g].item()
                y[b, t, g] = total
    return y


def random_batch(seed: int, batch: int, length: int, num_gammas: int):
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, length + 1, (batch, 1), generator=rng)
    return {
        "reward": torch.randn(batch, length, generator=rng),
        "terminal": torch.rand(batch, length, generator=rng) < 0.2,
        "valid": torch.arange(length) < lengths,
        "next_value": torch.randn(batch, length, num_gammas, generator=rng),
        "discount": torch.rand(num_gammas, generator=rng),
    }


@given(
    seed=st.integers(0, 10_000),
    batch=st.integers(1, 3),
    length=st.integers(1, 9),
    n=st.integers(1, 14),
)
def test_target_equals_the_plain_loop(seed: int, batch: int, length: int, n: int):
    example = random_batch(seed, batch, length, num_gammas=2)
    got, want = nstep_target(**example, n=n), plain_nstep(**example, n=n)
    valid = example["valid"]
    assert_close(got[valid], want[valid])


def test_target_sums_n_rewards_and_the_value_after_them():
    y = nstep_target(
        reward=torch.tensor([[1.0, 2.0, 4.0]]),
        terminal=FALSE.expand(1, 3),
        valid=TRUE.expand(1, 3),
        next_value=torch.tensor([[[10.0], [20.0], [40.0]]]),
        discount=torch.tensor([0.5]),
        n=2,
    )
    # 1 + 2/2 + 20/4; 2 + 4/2 + 40/4; at the end of the sequence 4 + 40/2
    assert_close(y[0, :, 0], torch.tensor([7.0, 14.0, 24.0]))


def test_target_ignores_rewards_after_a_terminal():
    y = nstep_target(
        reward=torch.tensor([[1.0, 1.0, 100.0]]),
        terminal=torch.tensor([[False, True, False]]),
        valid=TRUE.expand(1, 3),
        next_value=torch.full((1, 3, 1), 1000.0),
        discount=torch.tensor([0.5]),
        n=3,
    )
    assert_close(y[0, 0, 0], torch.tensor(1.5))  # 1 + 0.5 * 1, and no more


def test_target_bootstraps_from_the_last_state_before_padding():
    y = nstep_target(
        reward=torch.tensor([[1.0, 1.0, 100.0]]),
        terminal=torch.tensor([[False, False, True]]),  # padded flags read true
        valid=torch.tensor([[True, True, False]]),
        next_value=torch.tensor([[[7.0], [8.0], [1000.0]]]),
        discount=torch.tensor([0.5]),
        n=3,
    )
    assert_close(y[0, 0, 0], torch.tensor(1.0 + 0.5 + 0.25 * 8.0))


@pytest.mark.parametrize("n", [4, 5, 6, 100])
def test_n_may_exceed_the_length_of_the_batch(n: int):  # item 21.2
    example = random_batch(seed=1, batch=2, length=4, num_gammas=3)
    assert_close(nstep_target(**example, n=n), nstep_target(**example, n=4))


def test_a_target_of_no_reward_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        nstep_target(**random_batch(0, 1, 3, 1), n=0)


@pytest.mark.parametrize("num_flags", [1, 3])
def test_nstep_return_is_the_same_in_the_shapes_of_an_ensemble(num_flags: int):
    example = random_batch(seed=2, batch=2, length=5, num_gammas=3)
    shape = (2, 5, 1, num_flags, 1)
    y = nstep_return(
        r=example["reward"][:, :, None, None, None].expand(shape),
        d=example["terminal"][:, :, None, None, None].expand(shape).float(),
        q=example["next_value"][:, :, None, :, None],
        gamma=example["discount"][:, None],
        n=3,
        mask=example["valid"][:, :, None, None, None].float(),
    )
    assert y.shape == (2, 5, 1, 3, 1)
    assert_close(y[:, :, 0, :, 0], nstep_target(**example, n=3))


def test_nstep_return_takes_rewards_that_differ_by_discount():
    r = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2, 1)
    zero = torch.zeros(1, 1, 1, 2, 1)
    y = nstep_return(r, zero, zero, torch.tensor([[0.5], [0.9]]), 1, torch.ones(1, 1, 1, 1, 1))
    assert_close(y, r)
