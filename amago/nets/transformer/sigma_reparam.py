"""A linear layer whose spectral norm is a parameter."""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amago.core.config import configurable


@configurable(module="amago.nets.transformer")
class SigmaReparam(nn.Module):
    """A linear layer with weight `gamma * W / sigma(W)`; `sigma` is the largest singular value.

    It keeps attention logits from growing, which is what makes deep Transformers collapse.
    `sigma = u^T W v`, with singular vectors followed by one power iteration at every forward in
    training mode (buffers `u`, `v`).

    Args:
        fast_init: start from random singular vectors instead of a decomposition of the weight.
            For weights that are about to be loaded.

    Source: Zhai et al. (2023), "Stabilizing Transformer training by preventing attention entropy
    collapse", section 3.
    """

    u: Tensor
    v: Tensor

    def __init__(self, d_in: int, d_out: int, bias: bool = True, fast_init: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.trunc_normal_(torch.empty(d_out, d_in), std=0.02))
        self.bias = nn.Parameter(torch.zeros(d_out)) if bias else None
        self.gamma = nn.Parameter(torch.ones(1))
        u, v = _random_vectors(self.weight) if fast_init else _singular_vectors(self.weight)
        self.register_buffer("u", u)
        self.register_buffer("v", v)
        self._kept: tuple[object, Tensor] | None = None

    def train(self, mode: bool = True) -> Self:
        """See `torch.nn.Module.train`."""
        self._kept = None
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        """`x` `[..., d_in]` to `[..., d_out]`."""
        # A rollout has few rows: there, scaling these is cheaper than a copy of the weight.
        if self.training:
            return F.linear(x, self.weight * self._scale(), self.bias)
        return F.linear(x * self._scale_at_rest(), self.weight, self.bias)

    def _scale(self) -> Tensor:
        # sigma needs float32: in bfloat16 it would be off by 0.4 %.
        with torch.autocast(device_type=self.weight.device.type, enabled=False):
            return self.gamma / self._sigma()

    def _scale_at_rest(self) -> Tensor:
        """`_scale` of weights that nobody changes: finding it anew takes as long as using them."""
        if torch.is_grad_enabled():
            return self._scale()
        made_of = (self.weight, self.gamma, self.u, self.v)
        mark = [(tensor.data_ptr(), tensor._version) for tensor in made_of]
        if self._kept is None or self._kept[0] != mark:
            self._kept = (mark, self._scale())
        return self._kept[1]

    def _sigma(self) -> Tensor:
        u, v = self.u, self.v
        if self.training:
            with torch.no_grad():
                u = F.normalize(self.weight.mv(v), dim=0)
                v = F.normalize(self.weight.t().mv(u), dim=0)
                self.u.copy_(u)
                self.v.copy_(v)
        return torch.dot(u, self.weight.mv(v))


@torch.no_grad()
def _singular_vectors(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The left and right singular vector of the largest singular value, as tensors of their own."""
    left, _, right = torch.linalg.svd(weight, full_matrices=False)
    # Clones: views of the factors would share storage, which safetensors refuses to write.
    return left[:, 0].clone(), right[0].clone()


def _random_vectors(weight: Tensor) -> tuple[Tensor, Tensor]:
    d_out, d_in = weight.shape
    return F.normalize(torch.randn(d_out), dim=0), F.normalize(torch.randn(d_in), dim=0)
