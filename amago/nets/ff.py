"""Feed-forward building blocks: normalisation by name, a residual block, a multi-layer network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amago.core.config import configurable
from amago.core.errors import ConfigError
from amago.core.names import nearest
from amago.nets.dropout import Dropout
from amago.nets.utils import activation_switch

__all__ = ["FFBlock", "MLP", "Normalization", "SimNorm"]


@configurable(module="amago.nets.ff")
class SimNorm(nn.Module):
    """Softmax within groups of `dim` features: a point on a product of simplices.

    Source: Lavoie et al. (2022), Simplicial Embeddings; as used by TD-MPC2.
    """

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """`x` `[..., n * dim]`, same shape out.

        Raises:
            ConfigError: the last axis is not a multiple of `dim`.
        """
        if x.shape[-1] % self.dim:
            raise ConfigError(
                f"SimNorm makes groups of {self.dim} features and got {x.shape[-1]}: choose a "
                f"width that is a multiple of {self.dim}, or bind SimNorm.dim."
            )
        return x.unflatten(-1, (-1, self.dim)).softmax(dim=-1).flatten(-2)


class _RMSNorm(nn.Module):
    """`scale * x / sqrt(mean(x ** 2) + eps)` over the last axis."""

    eps = 1e-5

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.scale.shape, self.scale, self.eps)


class _UnitBall(nn.Module):
    """`x / (|x| + eps)`; the length is a constant for the gradient when `detach`."""

    eps = 1e-5

    def __init__(self, detach: bool) -> None:
        super().__init__()
        self.detach = detach

    def forward(self, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x / ((length.detach() if self.detach else length) + self.eps)


class _Hypersphere(nn.Module):
    """`sqrt(d) * x / |x|`: unit mean square, like RMSNorm without parameters."""

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1) * x.shape[-1] ** 0.5


_NORMS = {
    "none": lambda d_model: nn.Identity(),
    "layer": nn.LayerNorm,
    "rmsnorm": _RMSNorm,
    "unitball": lambda d_model: _UnitBall(detach=False),
    "unitball-detach": lambda d_model: _UnitBall(detach=True),
    "hypersphere": lambda d_model: _Hypersphere(),
    "simnorm": lambda d_model: SimNorm(),
}


class Normalization(nn.Module):
    """A normalisation of the last axis, by name.

    Args:
        method: "layer", "rmsnorm", "unitball" (length 1), "unitball-detach" (the same, without the
            gradient of the length), "hypersphere" (length `sqrt(d_model)`), "simnorm", or
            "none" / None for the identity.
        d_model: length of the last axis.

    Raises:
        ConfigError: unknown method.
    """

    def __init__(self, method: str | None, d_model: int) -> None:
        super().__init__()
        name = "none" if method is None else method
        if name not in _NORMS:
            raise ConfigError(
                f"unknown normalization '{method}'{nearest(name, _NORMS)} "
                f"Choose one of: {', '.join(_NORMS)}."
            )
        self.norm = _NORMS[name](d_model)

    def forward(self, x: Tensor) -> Tensor:
        """`x` `[..., d_model]`, same shape out."""
        return self.norm(x)


def rows(x: Tensor) -> Tensor:
    """`[..., d]` as `[N, d]`.

    What a linear layer makes of more than two axes is a view of what it computed, and an activation
    that overwrites a view makes the backward pass copy the gradient four times.
    """
    return x.reshape(-1, x.shape[-1])


class FFBlock(nn.Module):
    """Residual block: `x + f2(f1(x))`, where `f(x) = drop(act(norm(W x)))`.

    Args:
        d_ff: width inside the block.
        layer_type: called as `layer_type(d_in, d_out)`.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        dropout: float = 0.0,
        activation: str = "leaky_relu",
        norm: str | None = None,
        layer_type: type[nn.Module] = nn.Linear,
    ) -> None:
        super().__init__()
        self.ff1 = layer_type(d_model, d_ff)
        self.norm1 = Normalization(norm, d_ff)
        self.ff2 = layer_type(d_ff, d_model)
        self.norm2 = Normalization(norm, d_model)
        self.dropout = Dropout(dropout)
        self.activation = activation_switch(activation)

    def forward(self, x: Tensor) -> Tensor:
        """`x` `[..., d_model]`, same shape out."""
        hidden = self.dropout(self.activation(self.norm1(self.ff1(x))))
        return x + self.dropout(self.activation(self.norm2(self.ff2(hidden))))


class MLP(nn.Module):
    """`n_layers` hidden layers of `d_hidden`, each normalised and activated, then a linear map.

    Args:
        n_layers: at least 1.
        normalization: see `Normalization`.
        layer_type: called as `layer_type(d_in, d_out)`.

    Raises:
        ConfigError: `n_layers < 1`.
    """

    def __init__(
        self,
        d_inp: int,
        d_hidden: int,
        n_layers: int,
        d_output: int,
        activation: str = "leaky_relu",
        normalization: str | None = None,
        dropout_p: float = 0.0,
        layer_type: type[nn.Module] = nn.Linear,
    ) -> None:
        super().__init__()
        if n_layers < 1:
            raise ConfigError(f"an MLP needs at least one hidden layer; n_layers is {n_layers}.")
        self.in_layer = layer_type(d_inp, d_hidden)
        self.in_norm = Normalization(normalization, d_hidden)
        deeper = range(n_layers - 1)
        self.layers = nn.ModuleList(layer_type(d_hidden, d_hidden) for _ in deeper)
        self.norms = nn.ModuleList(Normalization(normalization, d_hidden) for _ in deeper)
        self.out_layer = layer_type(d_hidden, d_output)
        self.dropout = Dropout(dropout_p)
        is_bare = normalization in (None, "none")
        self.activation = activation_switch(activation, may_overwrite=is_bare)

    def forward(self, x: Tensor) -> Tensor:
        """`x` `[..., d_inp]` to `[..., d_output]`."""
        *leading, _ = x.shape
        x = self.dropout(self.activation(self.in_norm(self.in_layer(rows(x)))))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.dropout(self.activation(norm(layer(x))))
        out = self.out_layer(x)
        return out.view(*leading, out.shape[-1])
