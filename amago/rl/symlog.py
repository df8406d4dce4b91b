"""Logarithms that keep the sign, for numbers of any magnitude.

Source: Hafner et al. (2023), "Mastering diverse domains through world models", eq. 1.
"""

import math
from typing import TypeVar

import torch

Number = TypeVar("Number", float, torch.Tensor)


def symlog(x: Number) -> Number:
    """`sign(x) * log(1 + |x|)`, of a tensor or a float."""
    if isinstance(x, torch.Tensor):
        return torch.sign(x) * torch.log1p(torch.abs(x))
    return math.copysign(math.log1p(abs(x)), x)


def symexp(x: Number) -> Number:
    """The inverse of `symlog`: `sign(x) * (exp(|x|) - 1)`, of a tensor or a float."""
    if isinstance(x, torch.Tensor):
        return torch.sign(x) * torch.expm1(torch.abs(x))
    return math.copysign(math.expm1(abs(x)), x)
