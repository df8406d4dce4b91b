"""What a policy distribution has to say of itself, and how a scale is kept positive.

A `PolicyOutput` owns no parameters: swapping one for another of the same input width never breaks a
checkpoint. The actor network owns the weights and hands over a vector per timestep and discount.

To add one: subclass `PolicyOutput`, then bind `Actor.continuous_dist_type` (or
`discrete_dist_type`) to it.

Axes: `B` sequences, `L` timesteps, `G` discounts, `A` numbers in an action.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

StdActivation = Callable[[torch.Tensor, float, float | None], torch.Tensor]
"""`(network output, lowest, highest) -> positive number`."""


class PolicyOutput(ABC):
    """Turns vectors into distributions over actions. Made by the actor head, which calls it.

    Args:
        d_action: numbers in an action (`A`); the number of choices if discrete.
    """

    def __init__(self, d_action: int) -> None:
        self.d_action = d_action

    def __call__(self, vec: torch.Tensor, log_dict: dict[str, Any] | None = None) -> Any:
        return self.forward(vec, log_dict=log_dict)

    @property
    @abstractmethod
    def actions_differentiable(self) -> bool:
        """Whether the distribution has `rsample`, so that gradients of a critic reach the actor."""

    @property
    @abstractmethod
    def is_discrete(self) -> bool:
        """Whether actions are choices, given as one-hots."""

    @property
    @abstractmethod
    def input_dimension(self) -> int:
        """Width of the vector that describes one distribution."""

    @abstractmethod
    def forward(self, vec: torch.Tensor, log_dict: dict[str, Any] | None = None) -> Any:
        """The distribution of each vector: `[... input_dimension]` to samples `[... A]`.

        Args:
            log_dict: statistics of the activations are written here; None in most updates.
        """

    def action_from_buffer(self, action: torch.Tensor) -> torch.Tensor:
        """A stored action as the critics should see it, `[... A]`."""
        return action

    def choice(self, action: torch.Tensor) -> torch.Tensor:
        """Which choice a stored one-hot is, as the distribution's `log_prob` takes it.

        `[... A] -> [...]`. The vector need not be an exact one-hot: padding is constant.
        """
        return action.argmax(dim=-1)


def tanh_bounded_positive(x: torch.Tensor, low: float, high: float | None) -> torch.Tensor:
    """`x` squashed into `(low, high)` on a logarithmic scale: 0 gives their geometric mean."""
    if high is None:
        raise ValueError(
            "tanh_bounded_positive needs an upper bound and got None: set the `_high` parameter of "
            "the distribution, or use softplus_bounded_positive."
        )
    log_low, log_high = math.log(low), math.log(high)
    return torch.exp(log_low + 0.5 * (log_high - log_low) * (torch.tanh(x) + 1.0))


def softplus_bounded_positive(
    x: torch.Tensor, low: float, high: float | None = None
) -> torch.Tensor:
    """`low + softplus(x)`, cut at `high` if there is one."""
    y = low + F.softplus(x)
    return y if high is None else y.clamp(max=high)
