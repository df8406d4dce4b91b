import math

import pytest
import torch
from torch.testing import assert_close

from amago.rl.symlog import symexp, symlog


def test_symlog_is_the_log_of_one_plus_with_the_sign_kept():
    x = torch.tensor([-1.0, 0.0, math.e - 1.0])
    assert_close(symlog(x), torch.tensor([-math.log(2.0), 0.0, 1.0]))


def test_symexp_is_the_inverse():
    x = torch.tensor([-1e4, -0.3, 0.0, 1e-6, 7.0])
    assert_close(symexp(symlog(x)), x)


@pytest.mark.parametrize("x", [-3.0, 0.0, 1e-9, 1e5])
def test_floats_give_floats(x: float):
    assert isinstance(symlog(x), float)
    assert symexp(symlog(x)) == pytest.approx(x)
