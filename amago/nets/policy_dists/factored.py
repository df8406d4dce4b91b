"""Several choices at once, each with a distribution of its own (`MultiDiscrete` actions).

The vector of an action is the one-hots of all its factors side by side. A critic that is linear in
that vector is the sum of a value for each factor, so its expectation under independent factors is
exact, as for a single choice: the vector of all probabilities in place of the one-hots.

Axes: as in `base`; `F` factors, `A` numbers in the one-hots of all of them.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
import torch.distributions as pyd

from amago.core.errors import ConfigError
from amago.nets.policy_dists.base import PolicyOutput
from amago.nets.policy_dists.discrete import DiscreteLikeContinuous
from amago.nets.utils import add_activation_log


class FactoredCategorical:
    """Independent choices.

    Args:
        factors: `[B L G]` Categoricals, one for each factor, whose samples keep an axis of 1.
    """

    def __init__(self, factors: Sequence[pyd.Categorical]) -> None:
        self.factors = tuple(factors)

    @cached_property
    def probs(self) -> torch.Tensor:
        """Probabilities of all factors side by side, `[B L G A]`; they sum to `F`."""
        return torch.cat([factor.probs for factor in self.factors], dim=-1)

    @cached_property
    def logits(self) -> torch.Tensor:
        """Log-probabilities, likewise."""
        return torch.cat([factor.logits for factor in self.factors], dim=-1)

    @property
    def mode(self) -> torch.Tensor:
        """Index of the likeliest choice of each factor, `[B L G F]`."""
        best = [factor.probs.argmax(dim=-1) for factor in self.factors]
        return torch.stack(best, dim=-1)

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Indices, `[*sample_shape B L G F]`."""
        return torch.cat([factor.sample(sample_shape) for factor in self.factors], dim=-1)

    def log_prob(self, choices: torch.Tensor) -> torch.Tensor:
        """Log-probability of whole actions: indices `[B L G F] -> [B L G]`."""
        pairs = zip(self.factors, choices.unbind(dim=-1), strict=True)
        return _sum([factor.log_prob(choice) for factor, choice in pairs])

    def entropy(self) -> torch.Tensor:
        """Entropy in nats, `[B L G]`."""
        return _sum([factor.entropy() for factor in self.factors])


class FactoredDiscrete(PolicyOutput):
    """Independent choices, each described by a part of the vector.

    Args:
        make_factor: makes the distribution of one factor, called with its number of choices.
        choices: those numbers (`F` of them).
    """

    def __init__(self, make_factor: Callable[[int], PolicyOutput], choices: Sequence[int]) -> None:
        super().__init__(sum(choices))
        self.choices = tuple(choices)
        self.factors = tuple(make_factor(n) for n in choices)
        for factor in self.factors:
            if not factor.is_discrete:
                raise ConfigError(
                    f"{type(factor).__name__} is no distribution over choices: bind "
                    "discrete_dist_type to Discrete or a subclass."
                )
        self._widths = [factor.input_dimension for factor in self.factors]

    @property
    def is_discrete(self) -> bool:
        return True

    @property
    def actions_differentiable(self) -> bool:
        return all(factor.actions_differentiable for factor in self.factors)

    @property
    def input_dimension(self) -> int:
        return sum(self._widths)

    def forward(
        self, vec: torch.Tensor, log_dict: dict[str, Any] | None = None
    ) -> FactoredCategorical:
        parts = zip(self.factors, vec.split(self._widths, dim=-1), strict=True)
        dist = FactoredCategorical([factor(part, log_dict=log_dict) for factor, part in parts])
        add_activation_log("Discrete-probs", dist.probs, log_dict)  # of all, not of the last one
        return dist

    def action_from_buffer(self, action: torch.Tensor) -> torch.Tensor:
        """Stored one-hots, each as its factor would show it to the critics."""
        parts = zip(self.factors, action.split(self.choices, dim=-1), strict=True)
        return torch.cat([factor.action_from_buffer(part) for factor, part in parts], dim=-1)

    def choice(self, action: torch.Tensor) -> torch.Tensor:
        """Which choices stored one-hots are, `[... A] -> [... F]`."""
        parts = action.split(self.choices, dim=-1)
        return torch.stack([part.argmax(dim=-1) for part in parts], dim=-1)


class FactoredLikeContinuous:
    """Independent choices seen as a distribution over their one-hots side by side.

    Args:
        factored: the choices; each is seen through `DiscreteLikeContinuous`, whose settings hold.
    """

    def __init__(self, factored: FactoredCategorical) -> None:
        self.factored = factored
        self._factors = [DiscreteLikeContinuous(factor) for factor in factored.factors]
        self._choices = [factor.probs.shape[-1] for factor in self._factors]

    @property
    def probs(self) -> torch.Tensor:
        return self.factored.probs

    @property
    def logits(self) -> torch.Tensor:
        return self.factored.logits

    @property
    def mean(self) -> torch.Tensor:
        """Expected one-hots: the probabilities."""
        return self.factored.probs

    def entropy(self) -> torch.Tensor:
        """Entropy in nats, `[B L G]`."""
        return self.factored.entropy()

    def log_prob(self, action: torch.Tensor) -> torch.Tensor:
        """Log-probability of the largest entry of each factor, `[B L G A] -> [B L G]`."""
        parts = zip(self._factors, action.split(self._choices, dim=-1), strict=True)
        return _sum([factor.log_prob(part) for factor, part in parts])

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Exact one-hots, `[*sample_shape B L G A]`, without gradient."""
        return torch.cat([factor.sample(sample_shape) for factor in self._factors], dim=-1)

    def rsample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Exact one-hots whose gradient is that of the softened samples."""
        return torch.cat([factor.rsample(sample_shape) for factor in self._factors], dim=-1)


def like_continuous(
    dist: pyd.Categorical | FactoredCategorical,
) -> DiscreteLikeContinuous | FactoredLikeContinuous:
    """A distribution over choices as one over one-hots, with differentiable samples."""
    if isinstance(dist, FactoredCategorical):
        return FactoredLikeContinuous(dist)
    return DiscreteLikeContinuous(dist)


def _sum(terms: Sequence[torch.Tensor]) -> torch.Tensor:
    """The sum of tensors of one shape."""
    return torch.stack(list(terms)).sum(dim=0)
