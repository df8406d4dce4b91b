"""Advantage filters: how much an action in the data is worth imitating.

A filter is any callable `advantage [B T G 1] -> weights` of the same shape. Write one in your
script and bind `Agent.fbc_filter_func` to it.
"""

import torch
import torch.nn.functional as F

from amago.core.config import configurable


@configurable(module="amago.agent")
def binary_filter(adv: torch.Tensor, threshold: float = 0.0) -> torch.Tensor:
    """True where the advantage exceeds the threshold.

    Source: Wang et al. (2020), "Critic regularized regression", eq. 3.

    Args:
        threshold: in the units of the advantage.
    """
    return adv > threshold


@configurable(module="amago.agent")
def exp_filter(
    adv: torch.Tensor,
    beta: float = 1.0,
    clip_adv_low: float | None = None,
    clip_adv_high: float | None = None,
    clip_weights_low: float | None = 1e-7,
    clip_weights_high: float | None = None,
) -> torch.Tensor:
    """`exp(beta * advantage)`.

    Source: Peng et al. (2019), "Advantage-weighted regression", eq. 7. Differs: `beta` multiplies.

    Args:
        beta: inverse of the unit of the advantage; larger is pickier.
        clip_adv_low, clip_adv_high: limits of the advantage; None is no limit.
        clip_weights_low, clip_weights_high: limits of the result; None is no limit.
    """
    weights = torch.exp(beta * _clip(adv, clip_adv_low, clip_adv_high))
    return _clip(weights, clip_weights_low, clip_weights_high)


@configurable(module="amago.agent")
def leaky_relu_filter(
    adv: torch.Tensor,
    beta: float = 2.0,
    tau: float = 0.01,
    neg_slope: float = 0.05,
    target_f0: float = 0.01,
    clip_weights_low: float | None = 1e-7,
    clip_weights_high: float | None = 10.0,
    add_binary: bool = True,
) -> torch.Tensor:
    """A ramp that grows with the advantage, with a gentler slope below `tau`.

        f(adv) = bias + leaky_relu((adv - tau) / beta),   with the bias for which f(0) = target_f0

    Args:
        beta: inverse of the slope above `tau`, in units of the advantage.
        tau: advantage at which the slope changes.
        neg_slope: slope below `tau`, relative to the one above.
        target_f0: weight of an action that is as good as the policy's.
        clip_weights_low, clip_weights_high: limits of the ramp; None is no limit.
        add_binary: add 1 where `binary_filter` is true.
    """
    bias = target_f0 + neg_slope * tau / beta
    weights = bias + F.leaky_relu((adv - tau) / beta, negative_slope=neg_slope)
    weights = _clip(weights, clip_weights_low, clip_weights_high)
    return weights + binary_filter(adv) if add_binary else weights


def _clip(x: torch.Tensor, low: float | None, high: float | None) -> torch.Tensor:
    return x if low is None and high is None else torch.clamp(x, low, high)
