"""Actor heads: from the state of a sequence model to a policy for every discount.

To add one: subclass `BaseActorHead`, implement `actor_network_forward`, and bind
`Agent.actor_type`.

Axes: `B` sequences, `L` timesteps, `D` state, `G` discounts, `A` numbers in an action,
`P` parameters of the policy distribution.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from amago.core.config import configurable
from amago.core.errors import ConfigError
from amago.nets.actor_critic.constants import KeepsConstants
from amago.nets.ff import MLP, Normalization
from amago.nets.policy_dists.base import PolicyOutput
from amago.nets.policy_dists.continuous import TanhGaussian
from amago.nets.policy_dists.discrete import Discrete
from amago.nets.policy_dists.factored import FactoredDiscrete
from amago.nets.utils import activation_switch


class BaseActorHead(KeepsConstants, ABC):
    """A policy head. Made by the agent, which calls it with states.

    Args:
        state_dim: width of a state (`D`).
        action_dim: numbers in an action (`A`); the number of choices if `discrete`, of all factors
            together if there are several.
        gammas: discounts, `[G]`; there is a policy for each.
        continuous_dist_type, discrete_dist_type: makes the distribution, called with `action_dim`.
            Only the one that is needed is made, the other may be None.
    """

    constants = ("gammas",)

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        discrete: bool,
        gammas: torch.Tensor,
        continuous_dist_type: type[PolicyOutput] | None,
        discrete_dist_type: type[PolicyOutput] | None = Discrete,
    ) -> None:
        super().__init__()
        self.state_dim = state_dim
        self.action_dim = action_dim
        self.discrete = discrete
        self.gammas = gammas
        self.num_gammas = len(gammas)
        dist_type = discrete_dist_type if discrete else continuous_dist_type
        if dist_type is None:
            kind = "discrete" if discrete else "continuous"
            raise ConfigError(
                f"{type(self).__name__} got no {kind}_dist_type, which {kind} actions need: "
                f"bind it to a PolicyOutput, e.g. @{'Discrete' if discrete else 'TanhGaussian'}."
            )
        self._dist_type = dist_type
        self.policy_dist = dist_type(action_dim)
        self.actions_differentiable = self.policy_dist.actions_differentiable

    def factorize(self, choices: Sequence[int]) -> None:
        """Make the policy one of several independent choices; nothing that is learnt changes.

        The agent calls this on a head it has made, so that heads need not know the factors.

        Args:
            choices: the number of choices of each factor; `action_dim` is their sum.

        Raises:
            ConfigError: the distribution describes a choice by more numbers than it has choices.
        """
        whole, self.policy_dist = self.policy_dist, FactoredDiscrete(self._dist_type, choices)
        if self.policy_dist.input_dimension != whole.input_dimension:
            raise ConfigError(
                f"{type(whole).__name__} of {self.action_dim} choices reads "
                f"{whole.input_dimension} numbers, one for each of {list(choices)} choices "
                f"{self.policy_dist.input_dimension}: it cannot be split for MultiDiscrete actions."
            )
        self.actions_differentiable = self.policy_dist.actions_differentiable

    def forward(
        self,
        state: torch.Tensor,
        log_dict: dict[str, Any] | None = None,
        straight_from_obs: dict[str, torch.Tensor] | None = None,
    ) -> Any:
        """The policy of every discount: `[B L D]` to a distribution with samples `[B L G A]`.

        Args:
            log_dict: statistics of the activations are written here.
            straight_from_obs: observations the head was promised by `pass_obs_keys_to_actor`,
                untouched by the encoders, e.g. a mask of illegal actions.
        """
        vec = self.actor_network_forward(
            state=state, log_dict=log_dict, straight_from_obs=straight_from_obs
        )
        expected = (*state.shape[:2], self.num_gammas, self.policy_dist.input_dimension)
        assert vec.shape == expected, f"actor network gave {tuple(vec.shape)}, not {expected}"
        # float32 under autocast too: densities and renormalised probabilities need the digits
        return self.policy_dist(vec.float(), log_dict=log_dict)

    @abstractmethod
    def actor_network_forward(
        self,
        state: torch.Tensor,
        log_dict: dict[str, Any] | None = None,
        straight_from_obs: dict[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Parameters of every distribution: `[B L D] -> [B L G P]`, `P` the distribution's
        `input_dimension`. Arguments as in `forward`.
        """

    def _per_discount(self, flat: torch.Tensor) -> torch.Tensor:
        """`[B L G*P] -> [B L G P]`."""
        return flat.unflatten(-1, (self.num_gammas, self.policy_dist.input_dimension))


@configurable(module="amago.nets.actor_critic")
class Actor(BaseActorHead):
    """A multi-layer network.

    Args:
        n_layers: hidden layers.
        d_hidden: their width.
        dropout_p: probability of dropping an activation.
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        discrete: bool,
        gammas: torch.Tensor,
        n_layers: int = 2,
        d_hidden: int = 256,
        activation: str = "leaky_relu",
        dropout_p: float = 0.0,
        continuous_dist_type: type[PolicyOutput] | None = TanhGaussian,
        discrete_dist_type: type[PolicyOutput] | None = Discrete,
    ) -> None:
        super().__init__(
            state_dim=state_dim,
            action_dim=action_dim,
            discrete=discrete,
            gammas=gammas,
            continuous_dist_type=continuous_dist_type,
            discrete_dist_type=discrete_dist_type,
        )
        self.base = MLP(
            d_inp=state_dim,
            d_hidden=d_hidden,
            n_layers=n_layers,
            d_output=self.num_gammas * self.policy_dist.input_dimension,
            activation=activation,
            dropout_p=dropout_p,
        )

    def actor_network_forward(
        self,
        state: torch.Tensor,
        log_dict: dict[str, Any] | None = None,
        straight_from_obs: dict[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        return self._per_discount(self.base(state))


class _Activation(nn.Module):
    """An activation by name, as a member of a `Sequential`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = activation_switch(name)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


@configurable(module="amago.nets.actor_critic")
class ResidualActor(BaseActorHead):
    """A wider and deeper head, of residual blocks.

    Args:
        feature_dim: width of the residual stream.
        residual_ff_dim: width inside a block.
        residual_blocks: number of blocks.
        normalization: see `amago.nets.ff.Normalization`.
        dropout_p: probability of dropping an activation.
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        discrete: bool,
        gammas: torch.Tensor,
        feature_dim: int = 256,
        residual_ff_dim: int = 512,
        residual_blocks: int = 2,
        activation: str = "leaky_relu",
        normalization: str = "layer",
        dropout_p: float = 0.0,
        continuous_dist_type: type[PolicyOutput] | None = TanhGaussian,
        discrete_dist_type: type[PolicyOutput] | None = Discrete,
    ) -> None:
        super().__init__(
            state_dim=state_dim,
            action_dim=action_dim,
            discrete=discrete,
            gammas=gammas,
            continuous_dist_type=continuous_dist_type,
            discrete_dist_type=discrete_dist_type,
        )
        self.inp = MLP(
            d_inp=state_dim,
            d_hidden=feature_dim,
            n_layers=1,
            d_output=feature_dim,
            activation=activation,
            dropout_p=dropout_p,
        )
        self.residual_blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(feature_dim, residual_ff_dim),
                Normalization(normalization, residual_ff_dim),
                _Activation(activation),
                nn.Linear(residual_ff_dim, feature_dim),
                Normalization(normalization, feature_dim),
                nn.Dropout(dropout_p),
            )
            for _ in range(residual_blocks)
        )
        self.out = nn.Linear(feature_dim, self.num_gammas * self.policy_dist.input_dimension)

    def actor_network_forward(
        self,
        state: torch.Tensor,
        log_dict: dict[str, Any] | None = None,
        straight_from_obs: dict[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        x = self.inp(state)
        for block in self.residual_blocks:
            x = x + block(x)
        return self._per_discount(self.out(x))
