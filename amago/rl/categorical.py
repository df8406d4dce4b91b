"""Values as distributions over bins, and back. Bins are equally spaced.

Axes: `U` bins; everything else is carried along.
"""

import math

import torch
from torch.distributions import Categorical, Distribution
from torch.distributions.utils import lazy_property

_NEGLIGIBLE = 1e-4
"""Probability mass inside the support below which an HL-Gauss label counts as outside it."""


class BinDistribution(Categorical):
    """torch's `Categorical` of unnormalised scores `[... U]`, normalised when it is asked for.

    Most readers want probabilities and never see the logits.
    """

    def __init__(self, scores: torch.Tensor) -> None:
        self._param = scores
        self._num_events = scores.shape[-1]
        Distribution.__init__(self, scores.shape[:-1], validate_args=False)

    @lazy_property
    def logits(self) -> torch.Tensor:
        """Log-probabilities, `[... U]`."""
        return self._param.log_softmax(dim=-1)

    @lazy_property
    def probs(self) -> torch.Tensor:
        """Probabilities, `[... U]`."""
        return self._param.softmax(dim=-1)


def two_hot(values: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
    """Weight on the two nearest bins, so that their mean is the value: `[... 1] -> [... U]`.

    A value outside the support gets the end bin.

    Source: Schrittwieser et al. (2020), "MuZero", appendix F.
    """
    position = _position(values, bins).clamp(0, len(bins) - 1)
    lower = position.floor().clamp(max=len(bins) - 2)
    upper_weight = position - lower
    labels = torch.zeros(*values.shape[:-1], len(bins), device=values.device, dtype=values.dtype)
    labels.scatter_(-1, lower.long(), 1.0 - upper_weight)
    return labels.scatter_(-1, lower.long() + 1, upper_weight)


def hl_gauss(values: torch.Tensor, bins: torch.Tensor, sigma: float) -> torch.Tensor:
    """A normal distribution around the value, cut to the support: `[... 1] -> [... U]`.

    Far outside the support nothing is left of it; the value gets the end bin, as with `two_hot`.

    Source: Imani & White (2018), "Improving regression performance with distributional losses".

    Args:
        sigma: standard deviation, in widths of a bin.
    """
    edges = torch.arange(len(bins) + 1, device=values.device, dtype=values.dtype) - 0.5
    cdf = 0.5 * torch.erf((edges - _position(values, bins)) / (sigma * math.sqrt(2.0)))
    mass = cdf[..., -1:] - cdf[..., :1]
    inside = cdf.diff(dim=-1) / mass.clamp(min=_NEGLIGIBLE)
    return torch.where(mass > _NEGLIGIBLE, inside, two_hot(values, bins))


def expected_value(probs: torch.Tensor, bins: torch.Tensor) -> torch.Tensor:
    """Mean of a distribution over bins: `[... U] -> [... 1]`."""
    return (probs * bins).sum(dim=-1, keepdim=True)


def peaked_logits(value: float, bins: torch.Tensor, width: float = 4.0) -> torch.Tensor:
    """Logits `[U]` of a normal distribution around `value`.

    Args:
        width: standard deviation, in widths of a bin.
    """
    index = torch.arange(len(bins), dtype=bins.dtype, device=bins.device)
    return -0.5 * ((index - _position(value, bins)) / width) ** 2


def _position(values: torch.Tensor | float, bins: torch.Tensor) -> torch.Tensor:
    """Where values lie on the axis of bin indices."""
    # over the whole range: the difference of two neighbours has lost too many digits
    return (values - bins[0]) * ((len(bins) - 1) / (bins[-1] - bins[0]))
