"""Small parts that many networks share: activations, input normalisation, activation logging."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amago.core.config import configurable
from amago.core.errors import ConfigError
from amago.core.names import nearest
from amago.rl.masking import PAD_VALUE
from amago.rl.symlog import symexp, symlog

__all__ = [
    "InputNorm",
    "SlowAdaptiveRational",
    "activation_switch",
    "add_activation_log",
    "symexp",
    "symlog",
]


def add_activation_log(
    root_key: str, activation: Tensor, log_dict: dict[str, Any] | None = None
) -> None:
    """Write `activation-{root_key}-{max,min,std,mean}` into `log_dict`; nothing when it is None.

    The values stay on their device: reading them is the logger's business.
    """
    if log_dict is None:
        return
    with torch.no_grad():
        x = activation.detach().float()
        log_dict[f"activation-{root_key}-max"] = x.max()
        log_dict[f"activation-{root_key}-min"] = x.min()
        log_dict[f"activation-{root_key}-std"] = x.std(correction=int(x.numel() > 1))
        log_dict[f"activation-{root_key}-mean"] = x.mean()


@configurable(module="amago.nets.utils")
class InputNorm(nn.Module):
    """Running standardisation of each input feature; timesteps made of padding do not count.

        rate  = beta / (1 - (1 - beta) ** _t)        # bias correction, as in Adam
        mu   <- (1 - rate) * mu + rate * mean(x)
        nu   <- (1 - rate) * nu + rate * mean(x ** 2)
        sigma = sqrt(nu - mu ** 2 + 1e-5)

    Args:
        dim: number of features, the last axis of the input.
        beta: rate of the moving averages once `_t` is large.
        init_nu: second moment before the first update.
        skip: `forward` is the identity (statistics are still kept, and saved).

    Source: PopArt (Hessel et al. 2019), eq. 4 and 5, applied to inputs. Differs: `_t` starts at 1
    and is incremented first, so the first rate is about 1/2.
    """

    mu: Tensor
    nu: Tensor
    _t: Tensor

    def __init__(
        self, dim: int, beta: float = 1e-4, init_nu: float = 1.0, skip: bool = False
    ) -> None:
        super().__init__()
        self.skip = skip
        self.beta = beta
        self.register_buffer("mu", torch.zeros(dim))
        self.register_buffer("nu", torch.ones(dim) * init_nu)
        self.register_buffer("_t", torch.ones(1))

    @property
    def sigma(self) -> Tensor:
        """Standard deviation of each feature, limited to [1e-4, 1e6]."""
        variance = (self.nu - self.mu**2).clamp(min=0.0)
        return torch.sqrt(variance + 1e-5).clamp(1e-4, 1e6)

    def masked_stats(self, val: Tensor) -> tuple[Tensor, Tensor]:
        """First and second moment of each feature over the timesteps that are not padding.

        An entry whose square is not finite does not count. Both moments of a feature are zero when
        nothing counts.
        """
        counts = _counts(val)
        axes = tuple(range(val.ndim - 1))
        val = val.masked_fill(~counts, 0.0)
        number = counts.sum(dim=axes).clamp(min=1)
        return val.sum(dim=axes) / number, val.square().sum(dim=axes) / number

    @torch.no_grad()
    def update_stats(self, val: Tensor) -> None:
        """Move the statistics towards those of `val` `[..., dim]`. All padding changes nothing."""
        val = val.float()
        mean, mean_of_square = self.masked_stats(val)
        # one bad batch must not spoil statistics that every later input is read with
        usable = _counts(val).flatten(0, -2).any(dim=0) & mean_of_square.isfinite()  # [dim]
        t = self._t + 1
        # In float32 on purpose: the published numbers were made that way, and the difference of
        # two nearly equal numbers shows it (golden vectors, 1.5e-4).
        rate = self.beta / (1.0 - (1.0 - self.beta) ** t)
        for moment, found in ((self.mu, mean), (self.nu, mean_of_square)):
            moment.copy_(torch.where(usable, torch.lerp(moment, found, rate), moment))
        self._t.copy_(torch.where(usable.any(), t, self._t))

    def normalize_values(self, val: Tensor) -> Tensor:
        """`(val - mu) / sigma`."""
        return (val - self.mu) / self.sigma

    def denormalize_values(self, val: Tensor) -> Tensor:
        """`val * sigma + mu`, the inverse of `normalize_values`."""
        return val * self.sigma + self.mu

    def forward(self, x: Tensor, denormalize: bool = False) -> Tensor:
        """`x` `[..., dim]` in normalised units, or back in its own with `denormalize`."""
        if self.skip:
            return x
        return self.denormalize_values(x) if denormalize else self.normalize_values(x)


def _counts(val: Tensor) -> Tensor:
    """Which entries of `val` `[..., dim]` statistics are made of: no padding, nothing unbounded."""
    return (val != PAD_VALUE).any(dim=-1, keepdim=True) & val.square().isfinite()


@configurable(module="amago.nets.utils")
class SlowAdaptiveRational(nn.Module):
    """A learnt activation: a ratio of two polynomials that starts close to a leaky ReLU.

        y = sum_{i=0..5} a[i] x**i  /  (1 + sum_{j=1..4} |b[j] x**j|)

    "Slow", because it is plain torch, without a fused kernel.

    Source: Molina et al. (2020), Padé Activation Units, eq. 3; starting values: table of
    approximations of leaky ReLU (slope 0.01), degrees 5 and 4.
    """

    _NUMERATOR = (0.02979278, 0.61837353, 2.32330906, 3.05193624, 1.48542033, 0.25102450)
    _DENOMINATOR = (-1.14195484, 4.39315997, 0.87147123, 0.34719662)

    def __init__(self, trainable: bool = True) -> None:
        super().__init__()
        self.numerator = nn.Parameter(torch.tensor(self._NUMERATOR), requires_grad=trainable)
        self.denominator = nn.Parameter(torch.tensor(self._DENOMINATOR), requires_grad=trainable)

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise; same shape as `x`."""
        a, b = self.numerator, self.denominator.abs()
        size = x.abs()
        above, below = a[5], b[3]
        for i in (4, 3, 2, 1, 0):  # Horner's rule
            above = above * x + a[i]
        for j in (2, 1, 0):
            below = below * size + b[j]
        return above / (1.0 + below * size)


_ACTIVATIONS: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "leaky_relu": lambda: F.leaky_relu,
    "relu": lambda: F.relu,
    "gelu": lambda: F.gelu,
    "mish": lambda: F.mish,
    "adaptive": SlowAdaptiveRational,
}
_IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "leaky_relu": partial(F.leaky_relu, inplace=True),
    "relu": partial(F.relu, inplace=True),
}


def activation_switch(activation: str, may_overwrite: bool = False) -> Callable[[Tensor], Tensor]:
    """The activation of that name; "adaptive" is a new module with parameters of its own.

    Args:
        may_overwrite: the result may take the place of the input. For inputs that nothing else
            reads, such as the output of a linear layer: it saves their memory, and the time to
            fill it.

    Raises:
        ConfigError: unknown name.
    """
    if activation not in _ACTIVATIONS:
        raise ConfigError(
            f"unknown activation '{activation}'{nearest(activation, _ACTIVATIONS)} "
            f"Choose one of: {', '.join(_ACTIVATIONS)}."
        )
    if may_overwrite and activation in _IN_PLACE:
        return _IN_PLACE[activation]
    return _ACTIVATIONS[activation]()
