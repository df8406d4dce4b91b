"""How an update sees actions: the plug that makes one update of exact and of sampled values.

Axes: `B` sequences, `L` timesteps, `T = L - 1`, `G` discounts, `A` numbers in an action,
`K` samples.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch

from amago.nets.policy_dists.base import PolicyOutput
from amago.nets.policy_dists.factored import like_continuous


class Actions(ABC):
    """Actions of the data and of policies. Made by an agent for each update.

    Args:
        policy_dist: what makes the policy's distributions.
        discrete, multibinary: the kind of action; neither is continuous. Discrete actions are
            one-hots, those of several factors side by side.
        num_gammas: number of discounts (`G`).
        sample_k: `(distribution, K) -> [K B L G A]`, the agent's own way to sample.
    """

    def __init__(
        self,
        policy_dist: PolicyOutput,
        discrete: bool,
        multibinary: bool,
        num_gammas: int,
        sample_k: Callable[[Any, int], torch.Tensor],
    ) -> None:
        self.policy_dist = policy_dist
        self.discrete = discrete
        self.multibinary = multibinary
        self.num_gammas = num_gammas
        self.sample_k = sample_k

    @abstractmethod
    def view(self, dist: Any) -> Any:
        """A policy's distribution as the methods below expect it."""

    @abstractmethod
    def draw(self, dist: Any, k: int, with_gradient: bool) -> torch.Tensor:
        """Actions of a policy, for critics, `[K B L G A]`.

        Args:
            with_gradient: they will be maximised, so a gradient must reach the policy.
        """

    def stored(self, actions: torch.Tensor) -> torch.Tensor:
        """Actions of the data, for every discount: `[B T A] -> [B L G A]`.

        Padding is brought into range. The last is repeated, since a policy has `L` of them.
        """
        limited = actions.clamp(0.0 if self.discrete else -1.0, 1.0)
        as_long_as_states = torch.cat((limited, limited[:, -1:]), dim=1)
        return as_long_as_states.unsqueeze(2).expand(-1, -1, self.num_gammas, -1)

    def seen_by_critics(self, stored: torch.Tensor) -> torch.Tensor:
        """Stored actions under the same limits as the policy's, `[B L G A]`."""
        return self.policy_dist.action_from_buffer(stored)

    def log_prob(self, dist: Any, stored: torch.Tensor) -> torch.Tensor:
        """Log-probability of whole actions, `[B L G A] -> [B L G 1]`.

        The *mean* over switches if multibinary.
        """
        if self.discrete:
            return self._log_prob_of_choice(dist, stored).unsqueeze(-1)
        per_number = dist.log_prob(stored)
        if self.multibinary:
            return per_number.mean(dim=-1, keepdim=True)
        return per_number.sum(dim=-1, keepdim=True)

    @abstractmethod
    def _log_prob_of_choice(self, dist: Any, stored: torch.Tensor) -> torch.Tensor:
        """`[B L G A] -> [B L G]`."""


class ExactActions(Actions):
    """Discrete policies are their probabilities, so values are exact expectations.

    Also of several choices at once, because the critics that read probabilities are linear in them.
    """

    def view(self, dist: Any) -> Any:
        return dist

    def draw(self, dist: Any, k: int, with_gradient: bool) -> torch.Tensor:
        return self.sample_k(dist, k)

    def _log_prob_of_choice(self, dist: Any, stored: torch.Tensor) -> torch.Tensor:
        return dist.log_prob(self.policy_dist.choice(stored))


class SampledActions(Actions):
    """Discrete policies are sampled too, as one-hot vectors, as if they were continuous."""

    def view(self, dist: Any) -> Any:
        return like_continuous(dist) if self.discrete else dist

    def draw(self, dist: Any, k: int, with_gradient: bool) -> torch.Tensor:
        if with_gradient:
            return torch.stack([dist.rsample() for _ in range(k)])
        return dist.sample((k,))

    def _log_prob_of_choice(self, dist: Any, stored: torch.Tensor) -> torch.Tensor:
        return dist.log_prob(stored)
