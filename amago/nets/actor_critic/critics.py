"""Critic heads: from states and actions to the value of every discount, by an ensemble.

To add one: subclass `BaseCriticHead`, implement `critic_network_forward`, and bind
`Agent.critic_type`.

Axes: `B` sequences, `L` timesteps, `D` state, `A` numbers in an action, `K` sampled actions,
`C` critics, `G` discounts, `U` bins, `H` hidden units.
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.distributions as pyd
from torch import nn

from amago.core.config import configurable
from amago.core.errors import ConfigError, amago_warning
from amago.nets.actor_critic.constants import KeepsConstants
from amago.nets.utils import activation_switch
from amago.rl.categorical import BinDistribution, expected_value, hl_gauss, peaked_logits, two_hot
from amago.rl.symlog import symexp, symlog

_ACTION_LIMIT = 0.999
"""Actions are clamped to this: published weights never saw the exact borders."""


def gammas_as_input_seq(gammas: torch.Tensor, batch_size: int, length: int) -> torch.Tensor:
    """What a critic is told about each discount, `[B*G L 1]`, all discounts of a sequence in a row.

    It is the symlog of the effective horizon, `1 / (1 - gamma)`, which is limited to a million.
    """
    feature = _horizon_feature(gammas)
    return feature.repeat(batch_size)[:, None, None].expand(-1, length, 1)


def _horizon_feature(gammas: torch.Tensor) -> torch.Tensor:
    """`[G] -> [G]`."""
    return symlog(1.0 / (1.0 - gammas).clamp(1e-6, 1.0))


class BaseCriticHead(KeepsConstants, ABC):
    """An ensemble of critics. Made by the agent, which calls it with states and actions.

    Args:
        state_dim: width of a state (`D`).
        action_dim: numbers in an action (`A`); the number of choices if `discrete`, of all factors
            together if there are several.
        gammas: discounts, `[G]`; there is a value for each.
        num_critics: members of the ensemble (`C`).
    """

    constants = ("gammas",)

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        discrete: bool,
        gammas: torch.Tensor,
        num_critics: int,
    ) -> None:
        super().__init__()
        self.state_dim = state_dim
        self.action_dim = action_dim
        self.discrete = discrete
        self.gammas = gammas
        self.num_gammas = len(gammas)
        self.num_critics = num_critics

    def __len__(self) -> int:
        return self.num_critics

    def forward(
        self,
        state: torch.Tensor,
        action: torch.Tensor,
        log_dict: dict[str, Any] | None = None,
    ) -> Any:
        """Values of actions: `[B L D]`, `[K B L G A]` to whatever the ensemble predicts, with
        leading axes `[K B L C G]`.
        """
        expected = (len(action), *state.shape[:2], self.num_gammas, self.action_dim)
        assert action.shape == expected, f"actions are {tuple(action.shape)}, not {expected}"
        return self.critic_network_forward(state=state, action=action, log_dict=log_dict)

    @abstractmethod
    def critic_network_forward(
        self,
        state: torch.Tensor,
        action: torch.Tensor,
        log_dict: dict[str, Any] | None = None,
    ) -> Any:
        """See `forward`."""


class _EnsembleLinear(nn.Module):
    """`C` linear layers side by side. The weight is `[C in out]`, the bias `[1 1 C out]`."""

    def __init__(self, num_critics: int, d_in: int, d_out: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(d_in)
        self.weight = nn.Parameter(torch.empty(num_critics, d_in, d_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(1, 1, num_critics, d_out).uniform_(-bound, bound))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs of each member `[C N in]`, or the same for all `[N in]`, to `[C N out]`."""
        x = _for_all(x, len(self.weight))
        return torch.baddbmm(self.bias[0].transpose(0, 1), x, self.weight)


def _for_all(x: torch.Tensor, num_critics: int) -> torch.Tensor:
    """`[C N in]`, or the same for all `[N in]`, as `[C N in]`."""
    return x.expand(num_critics, -1, -1)


class _EnsembleMLP(nn.Module):
    """`C` multi-layer networks of the same input, evaluated as one."""

    def __init__(
        self,
        num_critics: int,
        d_inp: int,
        d_hidden: int,
        n_layers: int,
        d_output: int,
        activation: str,
        dropout_p: float,
    ) -> None:
        super().__init__()
        if n_layers < 1:
            raise ConfigError(f"critics need at least one hidden layer; n_layers is {n_layers}.")
        self.num_critics = num_critics
        self.inp_layer = _EnsembleLinear(num_critics, d_inp, d_hidden)
        self.core_layers = nn.ModuleList(
            _EnsembleLinear(num_critics, d_hidden, d_hidden) for _ in range(n_layers - 1)
        )
        self.output_layer = _EnsembleLinear(num_critics, d_hidden, d_output)
        self.dropout = nn.Dropout(dropout_p)
        self.activation = activation_switch(activation, may_overwrite=True)

    def of_state(self, state: torch.Tensor) -> torch.Tensor:
        """`[B L D] -> [B L C out]`."""
        x = self._after_first(self.inp_layer(state.flatten(0, 1)))  # [C B*L out]
        return x.unflatten(1, state.shape[:2]).permute(1, 2, 0, 3)

    def of_state_and_action(
        self, state: torch.Tensor, horizon: torch.Tensor, action: torch.Tensor
    ) -> torch.Tensor:
        """`[B L D]`, `[G]`, `[K B L G A] -> [K B L C G out]`.

        The first layer is linear, so what it makes of a state is computed once, and not for every
        action and discount.
        """
        layer, d_state = self.inp_layer, state.shape[-1]
        of_state, of_rest = layer.weight[:, :d_state], layer.weight[:, d_state:]
        bias = layer.bias[0].transpose(0, 1)  # [C 1 H]
        rest = torch.cat((horizon[:, None].expand(*action.shape[:-1], 1), action), dim=-1)
        once = torch.baddbmm(bias, _for_all(state.flatten(0, 1), self.num_critics), of_state)
        # Every action and discount gets a copy of it, to which its own part is added in place.
        sizes = (-1, len(action), -1, len(horizon), -1)  # C, K, B*L, G, H
        x = once[:, None, :, None].expand(*sizes).flatten(1, 3).contiguous()
        # (Autocast leaves operations in place alone.)
        rest = _for_all(rest.flatten(0, 3), self.num_critics).to(x.dtype)
        x = self._after_first(x.baddbmm_(rest, of_rest.to(x.dtype)))  # [C K*B*L*G out]
        return x.unflatten(1, action.shape[:-1]).permute(1, 2, 3, 0, 4, 5)

    def _after_first(self, x: torch.Tensor) -> torch.Tensor:
        """`[C N H] -> [C N out]`."""
        x = self.dropout(self.activation(x))
        for layer in self.core_layers:
            x = self.dropout(self.activation(layer(x)))
        return self.output_layer(x)


@configurable(module="amago.nets.actor_critic")
class NCritics(BaseCriticHead):
    """Critics that predict a number.

    With discrete actions there is an output for every discount and choice, weighted by the action
    (a vector of probabilities gives an expectation; of several factors, the sum of theirs).
    Otherwise the action is an input.

    Args:
        d_hidden: width of the hidden layers.
        n_layers: number of hidden layers.
        dropout_p: probability of dropping an activation.
    """

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        discrete: bool,
        gammas: torch.Tensor,
        num_critics: int,
        d_hidden: int = 256,
        n_layers: int = 2,
        dropout_p: float = 0.0,
        activation: str = "leaky_relu",
    ) -> None:
        super().__init__(
            state_dim=state_dim,
            action_dim=action_dim,
            discrete=discrete,
            gammas=gammas,
            num_critics=num_critics,
        )
        self.net = _EnsembleMLP(
            num_critics=num_critics,
            d_inp=state_dim if discrete else state_dim + 1 + action_dim,
            d_hidden=d_hidden,
            n_layers=n_layers,
            d_output=self.num_gammas * action_dim if discrete else 1,
            activation=activation,
            dropout_p=dropout_p,
        )

    def critic_network_forward(
        self,
        state: torch.Tensor,
        action: torch.Tensor,
        log_dict: dict[str, Any] | None = None,
    ) -> torch.Tensor:
        """`[B L D]`, `[K B L G A] -> [K B L C G 1]`."""
        if self.discrete:
            out = self.net.of_state(state).float()
            per_choice = out.unflatten(-1, (self.num_gammas, self.action_dim))  # [B L C G A]
            return (per_choice * action[:, :, :, None]).sum(dim=-1, keepdim=True)
        action = action.clamp(-_ACTION_LIMIT, _ACTION_LIMIT)
        return self.net.of_state_and_action(state, _horizon_feature(self.gammas), action).float()


@configurable(module="amago.nets.actor_critic")
class NCriticsTwoHot(BaseCriticHead):
    """Critics that predict a distribution over bins of return. The action is always an input.

    Source: Farebrother et al. (2024), "Stop regressing"; Hafner et al. (2023), for the symlog axis.

    Args:
        d_hidden: width of the hidden layers.
        n_layers: number of hidden layers.
        dropout_p: probability of dropping an activation.
        min_return, max_return: the support, in units of return *after* `reward_multiplier`.
        output_bins: number of bins (`U`).
        use_symlog: space the bins equally after `symlog` instead of equally.
        label_type: "twohot", or "hlgauss" for a normal distribution around the target.
        sigma: its standard deviation, in widths of a bin.
        init_value: return that a new critic predicts; None leaves that to chance.
    """

    constants = ("gammas", "bin_vals")

    def __init__(
        self,
        state_dim: int,
        action_dim: int,
        gammas: torch.Tensor,
        discrete: bool,
        num_critics: int,
        d_hidden: int = 256,
        n_layers: int = 2,
        dropout_p: float = 0.0,
        activation: str = "leaky_relu",
        min_return: float | None = None,
        max_return: float | None = None,
        output_bins: int = 128,
        use_symlog: bool = True,
        label_type: str = "twohot",
        sigma: float = 0.75,
        init_value: float | None = None,
    ) -> None:
        super().__init__(
            state_dim=state_dim,
            action_dim=action_dim,
            discrete=discrete,
            gammas=gammas,
            num_critics=num_critics,
        )
        self.use_symlog = use_symlog
        self.label_type = label_type
        self.sigma = sigma
        self.num_bins = output_bins
        self.bin_vals = self._make_bins(min_return, max_return)
        self.net = _EnsembleMLP(
            num_critics=num_critics,
            d_inp=state_dim + 1 + action_dim,
            d_hidden=d_hidden,
            n_layers=n_layers,
            d_output=output_bins,
            activation=activation,
            dropout_p=dropout_p,
        )
        if init_value is not None:
            self._predict_at_first(init_value)

    def critic_network_forward(
        self,
        state: torch.Tensor,
        action: torch.Tensor,
        log_dict: dict[str, Any] | None = None,
    ) -> pyd.Categorical:
        """`[B L D]`, `[K B L G A]` to distributions over bins `[K B L C G U]`."""
        action = action.clamp(-_ACTION_LIMIT, _ACTION_LIMIT)
        scores = self.net.of_state_and_action(state, _horizon_feature(self.gammas), action)
        return BinDistribution(scores.float())

    def bin_dist_to_raw_vals(self, bin_dist: pyd.Categorical) -> torch.Tensor:
        """Expected return of distributions over bins: `[... U] -> [... 1]`."""
        value = expected_value(bin_dist.probs, self.bin_vals)
        return symexp(value) if self.use_symlog else value

    def raw_vals_to_labels(self, raw_vals: torch.Tensor) -> torch.Tensor:
        """Returns as distributions over bins: `[... 1] -> [... U]`."""
        value = symlog(raw_vals) if self.use_symlog else raw_vals
        if self.label_type == "twohot":
            return two_hot(value, self.bin_vals)
        return hl_gauss(value, self.bin_vals, self.sigma)

    def _make_bins(self, min_return: float | None, max_return: float | None) -> torch.Tensor:
        """The position of every bin, on the symlog axis if that is used, `[U]`."""
        if self.label_type not in ("twohot", "hlgauss"):
            raise ConfigError(f"label_type is 'twohot' or 'hlgauss', not '{self.label_type}'.")
        if self.num_bins < 2:
            raise ConfigError(f"a range of returns needs two bins; output_bins is {self.num_bins}.")
        if min_return is None or max_return is None:
            amago_warning(
                "NCriticsTwoHot.min_return or .max_return is not set: the bins cover -100,000 to "
                "100,000, and most of them are wasted. Bind both to the returns you expect, after "
                "`reward_multiplier`."
            )
        low = -100_000.0 if min_return is None else float(min_return)
        high = 100_000.0 if max_return is None else float(max_return)
        if low >= high:
            raise ConfigError(f"min_return ({low}) is not below max_return ({high}).")
        if self.use_symlog:
            low, high = symlog(low), symlog(high)
        return torch.linspace(low, high, self.num_bins)

    def _predict_at_first(self, init_value: float) -> None:
        value = symlog(float(init_value)) if self.use_symlog else float(init_value)
        margin = 2 * (self.bin_vals[1] - self.bin_vals[0])
        if not self.bin_vals[0] + margin <= value <= self.bin_vals[-1] - margin:
            amago_warning(
                f"init_value ({init_value}) is within two bins of the edge of the support, or "
                f"outside: new critics will predict another value. Widen min_return and max_return."
            )
        with torch.no_grad():
            self.net.output_layer.bias.copy_(peaked_logits(value, self.bin_vals))
