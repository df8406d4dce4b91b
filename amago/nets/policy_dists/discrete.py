"""Distributions over choices and switches.

Nothing here checks its arguments (`validate_args=False`): each check of torch's would read a number
back from the device, and so stall it once per distribution.

Axes: as in `base`; `K` samples.
"""

from typing import Any

import torch
import torch.distributions as pyd
import torch.nn.functional as F

from amago.core.config import configurable
from amago.nets.policy_dists.base import PolicyOutput
from amago.nets.utils import add_activation_log


class _Categorical(pyd.Categorical):
    """A Categorical whose samples keep an axis of 1, as the actions of every other policy do."""

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Indices, `[*sample_shape ... 1]`."""
        shape = (*sample_shape, *self.probs.shape)
        # A race of exponential clocks: the first to ring is distributed as `probs`. What
        # torch.multinomial does, without its read-back of two checks.
        clocks = torch.empty(shape, device=self.probs.device, dtype=self.probs.dtype).exponential_()
        return (self.probs / clocks).argmax(dim=-1, keepdim=True)


@configurable(module="amago.nets.policy_dists")
class Discrete(PolicyOutput):
    """One choice among `d_action`, with probabilities bounded away from 0 and 1.

    Args:
        clip_prob_low: lower limit of a probability, before the sum is made 1 again.
        clip_prob_high: upper limit.
    """

    def __init__(
        self, d_action: int, clip_prob_low: float = 0.001, clip_prob_high: float = 0.99
    ) -> None:
        super().__init__(d_action)
        self.clip_prob_low = clip_prob_low
        self.clip_prob_high = clip_prob_high

    @property
    def is_discrete(self) -> bool:
        return True

    @property
    def actions_differentiable(self) -> bool:
        return True

    @property
    def input_dimension(self) -> int:
        return self.d_action

    def forward(self, vec: torch.Tensor, log_dict: dict[str, Any] | None = None) -> _Categorical:
        probs = self.clip_and_normalize(F.softmax(vec, dim=-1))
        add_activation_log("Discrete-probs", probs, log_dict)
        return _Categorical(probs=probs, validate_args=False)

    def clip_and_normalize(self, probs: torch.Tensor) -> torch.Tensor:
        """`probs` within the limits, summing to 1 again. A clipped entry passes no gradient."""
        clipped = probs.clamp(self.clip_prob_low, self.clip_prob_high)
        return clipped / clipped.sum(dim=-1, keepdim=True)

    def action_from_buffer(self, action: torch.Tensor) -> torch.Tensor:
        """A stored one-hot under the same limits as the policy's probabilities."""
        return self.clip_and_normalize(action)


class _Bernoulli(pyd.Bernoulli):
    """A Bernoulli per switch that also tells its more likely value."""

    @property
    def mode(self) -> torch.Tensor:
        return (self.probs >= 0.5).to(self.probs.dtype)


@configurable(module="amago.nets.policy_dists")
class Multibinary(PolicyOutput):
    """Independent switches. Chosen for `MultiBinary` actions through `continuous_dist_type`."""

    def __init__(self, d_action: int) -> None:
        super().__init__(d_action)

    @property
    def is_discrete(self) -> bool:
        return False

    @property
    def actions_differentiable(self) -> bool:
        return False

    @property
    def input_dimension(self) -> int:
        return self.d_action

    def forward(self, vec: torch.Tensor, log_dict: dict[str, Any] | None = None) -> pyd.Bernoulli:
        dist = _Bernoulli(logits=vec, validate_args=False)
        add_activation_log("Multibinary-probs", dist.probs, log_dict)
        return dist


@configurable(module="amago.nets.policy_dists")
class DiscreteLikeContinuous:
    """A Categorical seen as a distribution over one-hot vectors, with differentiable samples.

    Source: Jang et al. (2017), "Categorical reparameterization with Gumbel-softmax", section 2.2
    (the straight-through estimator).

    Args:
        categorical: `[B L G]` distributions over `A` choices.
        gumbel_softmax_temperature: of the gradient; samples are exact one-hots at any temperature.
    """

    def __init__(
        self, categorical: pyd.Categorical | _Categorical, gumbel_softmax_temperature: float = 0.5
    ) -> None:
        self.categorical = categorical
        self.gumbel_softmax_temperature = gumbel_softmax_temperature

    @property
    def logits(self) -> torch.Tensor:
        return self.categorical.logits

    @property
    def probs(self) -> torch.Tensor:
        return self.categorical.probs

    @property
    def mean(self) -> torch.Tensor:
        """Expected one-hot: the probabilities."""
        return self.categorical.probs

    def entropy(self) -> torch.Tensor:
        """Entropy in nats, `[B L G]`."""
        return self.categorical.entropy()

    def log_prob(self, action: torch.Tensor) -> torch.Tensor:
        """Log-probability of the largest entry, `[B L G A] -> [B L G]`.

        The vector need not be an exact one-hot: a padded action is constant, and a stored one may
        have been softened by the probability limits.
        """
        return self.categorical.log_prob(action.argmax(dim=-1))

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Exact one-hots, `[*sample_shape B L G A]`, without gradient."""
        with torch.no_grad():
            return self._gumbel_softmax(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Exact one-hots whose gradient is that of the softened sample."""
        return self._gumbel_softmax(sample_shape)

    def _gumbel_softmax(self, sample_shape: Any) -> torch.Tensor:
        logits = self.logits.expand(*sample_shape, *self.logits.shape)
        return F.gumbel_softmax(logits, tau=self.gumbel_softmax_temperature, hard=True, dim=-1)
