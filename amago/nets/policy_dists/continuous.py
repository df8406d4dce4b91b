"""Distributions over actions in [-1, 1].

Axes: as in `base`; `M` modes of a mixture.
"""

import math
from typing import Any

import torch
import torch.distributions as pyd
import torch.nn.functional as F
from torch.distributions import constraints

from amago.core.config import configurable
from amago.nets.policy_dists.base import (
    PolicyOutput,
    StdActivation,
    softplus_bounded_positive,
    tanh_bounded_positive,
)
from amago.nets.policy_dists.discrete import _Categorical
from amago.nets.utils import add_activation_log


class _TanhTransform(pyd.transforms.Transform):
    """`y = tanh(x)`. Remembers nothing: the inverse of a value does not depend on its origin."""

    domain = constraints.real
    codomain = constraints.interval(-1.0, 1.0)
    bijective = True

    @staticmethod
    def atanh(x: torch.Tensor) -> torch.Tensor:
        return 0.5 * (x.log1p() - (-x).log1p())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _TanhTransform)

    def _call(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x)

    def _inverse(self, y: torch.Tensor) -> torch.Tensor:
        return self.atanh(y)

    def log_abs_det_jacobian(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """`log(1 - tanh(x)**2)`, without the cancellation at large `x`."""
        return 2.0 * (math.log(2.0) - x - F.softplus(-2.0 * x))


class _ClippedTransformed(pyd.TransformedDistribution):
    """A transformed distribution whose density is read strictly inside the support.

    Args:
        clip: an action outside these limits has the density of the nearer limit; at -1 and 1 the
            density of a squashed distribution is degenerate.
    """

    def __init__(
        self, base: pyd.Distribution, transform: pyd.Transform, clip: tuple[float, float]
    ) -> None:
        super().__init__(base, [transform], validate_args=False)
        self.clip = clip

    @property
    def mean(self) -> torch.Tensor:
        """The transformed mean of the base: the greedy action, `[... A]`."""
        return self.transforms[0]._call(self.base_dist.mean)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        return super().log_prob(value.clamp(*self.clip))


@configurable(module="amago.nets.policy_dists")
class TanhGaussian(PolicyOutput):
    """A normal distribution squashed by a tanh, independent in each number of the action.

    Source: Haarnoja et al. (2018), "Soft actor-critic", appendix C.

    Args:
        std_low, std_high: limits of the standard deviation before squashing.
        std_activation: keeps the standard deviation within them.
        clip_actions_on_log_prob: limits of the action wherever a log-probability is taken.
    """

    def __init__(
        self,
        d_action: int,
        std_low: float = math.exp(-5.0),
        std_high: float = math.exp(2.0),
        std_activation: StdActivation = tanh_bounded_positive,
        clip_actions_on_log_prob: tuple[float, float] = (-0.99, 0.99),
    ) -> None:
        super().__init__(d_action)
        self.std_low = std_low
        self.std_high = std_high
        self.std_activation = std_activation
        self.clip_actions_on_log_prob = clip_actions_on_log_prob

    @property
    def is_discrete(self) -> bool:
        return False

    @property
    def actions_differentiable(self) -> bool:
        return True

    @property
    def input_dimension(self) -> int:
        return 2 * self.d_action

    def forward(
        self, vec: torch.Tensor, log_dict: dict[str, Any] | None = None
    ) -> _ClippedTransformed:
        mu, raw_std = vec.chunk(2, dim=-1)
        std = self.std_activation(raw_std, self.std_low, self.std_high)
        add_activation_log("TanhGaussian-mu", mu, log_dict)
        add_activation_log("TanhGaussian-raw_std", raw_std, log_dict)
        add_activation_log("TanhGaussian-std", std, log_dict)
        return _ClippedTransformed(
            base=pyd.Normal(mu, std, validate_args=False),
            transform=_TanhTransform(),
            clip=self.clip_actions_on_log_prob,
        )


@configurable(module="amago.nets.policy_dists")
class Beta(PolicyOutput):
    """A Beta distribution stretched over [-1, 1], independent in each number of the action.

    Source: Chou et al. (2017), "Improving stochastic policy gradients in continuous control with
    deep reinforcement learning using the Beta distribution".

    Args:
        alpha_low, alpha_high, beta_low, beta_high: limits of the two concentrations; above 1 the
            density has one peak.
        std_activation: keeps the concentrations within them.
        clip_actions_on_log_prob: limits of the action wherever a log-probability is taken.
    """

    def __init__(
        self,
        d_action: int,
        alpha_low: float = 1.0001,
        alpha_high: float | None = None,
        beta_low: float = 1.0001,
        beta_high: float | None = None,
        std_activation: StdActivation = softplus_bounded_positive,
        clip_actions_on_log_prob: tuple[float, float] = (-0.99, 0.99),
    ) -> None:
        super().__init__(d_action)
        self.alpha_low = alpha_low
        self.alpha_high = alpha_high
        self.beta_low = beta_low
        self.beta_high = beta_high
        self.std_activation = std_activation
        self.clip_actions_on_log_prob = clip_actions_on_log_prob

    @property
    def is_discrete(self) -> bool:
        return False

    @property
    def actions_differentiable(self) -> bool:
        return True

    @property
    def input_dimension(self) -> int:
        return 2 * self.d_action

    def forward(
        self, vec: torch.Tensor, log_dict: dict[str, Any] | None = None
    ) -> _ClippedTransformed:
        raw_alpha, raw_beta = vec.chunk(2, dim=-1)
        alpha = self.std_activation(raw_alpha, self.alpha_low, self.alpha_high)
        beta = self.std_activation(raw_beta, self.beta_low, self.beta_high)
        add_activation_log("Beta-alpha", alpha, log_dict)
        add_activation_log("Beta-beta", beta, log_dict)
        return _ClippedTransformed(
            base=pyd.Beta(alpha, beta, validate_args=False),
            transform=pyd.AffineTransform(loc=-1.0, scale=2.0),
            clip=self.clip_actions_on_log_prob,
        )


class _TanhMixture:
    """A mixture of normal distributions over the whole action, squashed by a tanh."""

    # Distance from -1 and 1 at which the inverse of the tanh stops growing. Published weights were
    # trained with these two floors, one under each logarithm (golden vectors policy_8, policy_9).
    _FLOOR = 1e-6

    def __init__(self, means: torch.Tensor, stds: torch.Tensor, logits: torch.Tensor) -> None:
        self._modes = pyd.Independent(pyd.Normal(means, stds, validate_args=False), 1)
        self._which = _Categorical(logits=logits, validate_args=False)
        self.base_dist = pyd.MixtureSameFamily(self._which, self._modes, validate_args=False)

    @property
    def mean(self) -> torch.Tensor:
        """The squashed mean of the mixture: the greedy action, `[... A]`."""
        return torch.tanh(self.base_dist.mean)

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Actions `[*sample_shape ... A]`, without gradient."""
        with torch.no_grad():
            of_every_mode = self._modes.sample(sample_shape)  # [... M A]
            mode = self._which.sample(sample_shape)[..., None]  # [... 1 1]
            return torch.tanh(of_every_mode.take_along_dim(mode, dim=-2).squeeze(-2))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Log-density of the whole action, `[... A] -> [... 1]`."""
        above = torch.log((1.0 + value).clamp(min=self._FLOOR))
        below = torch.log((1.0 - value).clamp(min=self._FLOOR))
        stretch = torch.log(1.0 - value.square() + self._FLOOR).sum(dim=-1)
        return (self.base_dist.log_prob(0.5 * (above - below)) - stretch).unsqueeze(-1)


@configurable(module="amago.nets.policy_dists")
class GMM(PolicyOutput):
    """A mixture of squashed normal distributions, for data with several ways to act.

    Source: Mandlekar et al. (2021), "What matters in learning from offline human demonstrations for
    robot manipulation", appendix C.

    Args:
        gmm_modes: number of normal distributions in the mixture.
        std_low, std_high: limits of the standard deviations before squashing.
        std_activation: keeps the standard deviations within them.
    """

    def __init__(
        self,
        d_action: int,
        gmm_modes: int = 5,
        std_low: float = 0.0001,
        std_high: float | None = None,
        std_activation: StdActivation = softplus_bounded_positive,
    ) -> None:
        super().__init__(d_action)
        self.gmm_modes = gmm_modes
        self.std_low = std_low
        self.std_high = std_high
        self.std_activation = std_activation

    @property
    def is_discrete(self) -> bool:
        return False

    @property
    def actions_differentiable(self) -> bool:
        return False

    @property
    def input_dimension(self) -> int:
        return 2 * self.gmm_modes * self.d_action + self.gmm_modes

    def forward(self, vec: torch.Tensor, log_dict: dict[str, Any] | None = None) -> _TanhMixture:
        width = self.gmm_modes * self.d_action
        means, raw_stds, logits = vec.split([width, width, self.gmm_modes], dim=-1)
        means = means.unflatten(-1, (self.gmm_modes, self.d_action))  # [... M A]
        raw_stds = raw_stds.unflatten(-1, (self.gmm_modes, self.d_action))
        stds = self.std_activation(raw_stds, self.std_low, self.std_high)
        add_activation_log("GMM-means", means, log_dict)
        add_activation_log("GMM-raw_std", raw_stds, log_dict)
        add_activation_log("GMM-stds", stds, log_dict)
        add_activation_log("GMM-logits", logits, log_dict)
        return _TanhMixture(means, stds, logits)
