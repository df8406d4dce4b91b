import pytest
import torch
from torch.testing import assert_close

from amago.nets.dropout import Dropout


@pytest.mark.parametrize("p", (0.05, 0.5, 0.9))
def test_the_share_that_is_dropped_and_the_scale_of_the_rest(p):
    x = torch.ones(200_001, requires_grad=True)
    out = Dropout(p)(x)
    assert float((out == 0).float().mean()) == pytest.approx(p, abs=0.005)
    assert_close(out[out != 0], torch.full_like(out[out != 0], 1 / (1 - p)), rtol=1e-3, atol=0.0)
    out.sum().backward()
    assert_close(x.grad, out.detach())


def test_neighbours_are_independent():
    kept = (Dropout(0.5)(torch.ones(400_000)) != 0).float()
    for distance in (1, 2, 3, 4, 8):
        both = (kept[:-distance] * kept[distance:]).mean()
        assert float(both) == pytest.approx(0.25, abs=0.005)


def test_evaluation_and_rate_zero_change_nothing():
    x = torch.randn(3, 5)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_rate_one_drops_everything():
    assert not Dropout(1.0)(torch.ones(7)).any()


def test_the_type_is_kept_and_any_shape_works():
    for shape in ((), (1,), (2, 3), (0, 4)):
        x = torch.ones(shape, dtype=torch.bfloat16)
        out = Dropout(0.5)(x)
        assert out.shape == x.shape
        assert out.dtype == torch.bfloat16


def test_the_same_seed_drops_the_same():
    outs = []
    for _ in range(2):
        torch.manual_seed(3)
        outs.append(Dropout(0.5)(torch.ones(100)))
    assert torch.equal(*outs)
