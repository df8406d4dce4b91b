"""How the output of a critic is read: the plug that makes one update out of two agents.

To add a representation of value: subclass `Values`, and name it as `values_type` of your agent.

Axes: `K` sampled actions, `B` sequences, `T` transitions, `D` state, `C` critics, `G` discounts,
`A` numbers in an action.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import nn

from amago.core.config import configurable
from amago.rl.losses import categorical_td_loss, squared_td_loss


@configurable(module="amago.nets.actor_critic", denylist=["enabled"])
class PopArtLayer(nn.Module):
    """Keeps values near unit scale: running statistics of the targets, one set per discount.

        rate  = beta / (1 - (1 - beta)**t)                   (t starts at 1 and is raised first)
        mu   <- (1 - rate) * mu + rate * mean(target)
        nu   <- (1 - rate) * nu + rate * mean(target**2)
        sigma = sqrt(nu - mu**2)

    `w` and `b` follow, so that what a critic says in units of return does not change with the
    statistics.

    Source: van Hasselt et al. (2016), "Learning values across many orders of magnitude"; Hessel et
    al. (2019), eq. 4 and 5, for the averages.

    Args:
        gammas: number of discounts.
        beta: rate of the averages after many updates.
        init_nu: second moment before the first update, in squared units of return.
        enabled: if false this layer changes nothing, and its statistics stay as they are.
    """

    mu: torch.Tensor
    nu: torch.Tensor
    w: torch.Tensor
    b: torch.Tensor
    _t: torch.Tensor

    def __init__(
        self, gammas: int, beta: float = 0.0005, init_nu: float = 100.0, enabled: bool = True
    ) -> None:
        super().__init__()
        self.beta = beta
        self.enabled = enabled
        self.register_buffer("mu", torch.zeros(gammas, 1))
        self.register_buffer("nu", torch.full((gammas, 1), float(init_nu)))
        self.register_buffer("w", torch.ones(gammas, 1))
        self.register_buffer("b", torch.zeros(gammas, 1))
        self.register_buffer("_t", torch.ones(gammas, 1))

    @property
    def sigma(self) -> torch.Tensor:
        """Standard deviation, limited to `[1e-4, 1e6]`, `[G 1]`."""
        return _deviation(self.mu, self.nu)

    @torch.no_grad()
    def update_stats(self, val: torch.Tensor, mask: torch.Tensor) -> None:
        """Move the statistics towards those of a batch; a batch without a valid entry is ignored.

        An entry whose square is not finite is not valid: one bad batch must not spoil statistics
        that every later batch is read with.

        Args:
            val: values in units of return, `[B T 1 G 1]`.
            mask: true where they are valid, `[B T 1 1 1]` or `[B T 1 G 1]`.
        """
        if not self.enabled:
            return
        unusable = ~val.square().isfinite()
        weight = torch.broadcast_to(mask, val.shape).to(val.dtype).masked_fill(unusable, 0.0)
        val = val.masked_fill(unusable, 0.0)  # 0 * nan is nan
        count = weight.sum(dim=(0, 1, 2))  # [G 1]
        mean = (val * weight).sum(dim=(0, 1, 2)) / count.clamp(min=1.0)
        mean_square = (val.square() * weight).sum(dim=(0, 1, 2)) / count.clamp(min=1.0)
        usable = (count > 0) & mean_square.isfinite()  # a sum may overflow where no entry does
        for name, value in self._moved(mean, mean_square).items():
            buffer = getattr(self, name)
            buffer.copy_(torch.where(usable, value, buffer))

    def _moved(self, mean: torch.Tensor, mean_square: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every buffer after an update towards these moments, `[G 1]`."""
        # In float32 on purpose: the published statistics were made so, and differ by 1.5e-4 in
        # float64 (golden vectors, popart_default).
        t = self._t + 1.0
        rate = self.beta / (1.0 - (1.0 - self.beta) ** t)
        mu = (1.0 - rate) * self.mu + rate * mean
        nu = (1.0 - rate) * self.nu + rate * mean_square
        old_sigma, sigma = self.sigma, _deviation(mu, nu)
        w = self.w * (old_sigma / sigma)
        b = (old_sigma * self.b + self.mu - mu) / sigma
        return {"mu": mu, "nu": nu, "w": w, "b": b, "_t": t}

    def normalize_values(self, val: torch.Tensor) -> torch.Tensor:
        """Units of return to normalised ones, `[... G 1]`."""
        return (val - self.mu) / self.sigma if self.enabled else val

    def forward(self, x: torch.Tensor, normalized: bool = True) -> torch.Tensor:
        """Output of a critic as a value, `[... G 1]`, in normalised units or in those of return."""
        if not self.enabled:
            return x
        normalized_x = self.w * x + self.b
        return normalized_x if normalized else self.sigma * normalized_x + self.mu


def _deviation(mean: torch.Tensor, mean_square: torch.Tensor) -> torch.Tensor:
    return torch.sqrt((mean_square - mean.square()).clamp(min=1e-8)).clamp(max=1e6)


Draw = Callable[[bool], torch.Tensor]
"""`draw(with_gradient)`: fresh actions of the policy being trained, `[K B T G A]`."""


class Ensembles(Protocol):
    """The critics of a policy's own actions. Each is called with states and actions."""

    @property
    def critics(self) -> Callable[..., Any]: ...

    @property
    def maximized_critics(self) -> Callable[..., Any]: ...


class Values(ABC):
    """Reads critics. Made by an agent for each update, and called by it.

    Args:
        critics: the online ensemble, which knows how its outputs are encoded.
        popart: statistics of the targets.
    """

    def __init__(self, critics: Any, popart: PopArtLayer) -> None:
        self.critics = critics
        self.popart = popart

    @abstractmethod
    def read(self, output: Any) -> torch.Tensor:
        """What an ensemble predicts as numbers, in its own units, `[K B T C G 1]`."""

    @abstractmethod
    def to_returns(self, value: torch.Tensor) -> torch.Tensor:
        """What `read` gave, in units of (scaled) return."""

    @abstractmethod
    def normalized(self, value: torch.Tensor) -> torch.Tensor:
        """What `read` gave, in normalised units."""

    @abstractmethod
    def weighed(self, value: torch.Tensor) -> torch.Tensor:
        """What `read` gave, in the units that `get_values` hands to the advantage filter."""

    @abstractmethod
    def logged(self, value: torch.Tensor) -> torch.Tensor:
        """What `read` gave, in the units that metrics call the raw scale."""

    @abstractmethod
    def td_loss(self, output: Any, target: torch.Tensor) -> torch.Tensor:
        """Distance of predictions `[1 B T C G ...]` from targets `[B T 1 G 1]`: `[B T C G 1]`."""

    @abstractmethod
    def of_policy(
        self, net: Ensembles, state: torch.Tensor, draw: Draw, online: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Value of acting as the policy does, `[B T D]` to two of `[B T G 1]`.

        Args:
            online: whether the second is needed.

        Returns:
            The baseline of the advantage, in units of `read`, without gradient; and the value to
            maximise, in normalised units, with a gradient that reaches the policy only.
        """

    def observe(self, target: torch.Tensor, mask: torch.Tensor) -> None:
        """Take note of targets, `[B T 1 G 1]`. The one thing that an update changes."""
        self.popart.update_stats(target, mask)


class PopArtRegression(Values):
    """Critics predict a number; targets are normalised by their running statistics."""

    def read(self, output: torch.Tensor) -> torch.Tensor:
        return output

    def to_returns(self, value: torch.Tensor) -> torch.Tensor:
        return self.popart(value, normalized=False)

    def normalized(self, value: torch.Tensor) -> torch.Tensor:
        return self.popart(value)

    def weighed(self, value: torch.Tensor) -> torch.Tensor:
        return self.normalized(value)

    def logged(self, value: torch.Tensor) -> torch.Tensor:
        return value

    def td_loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return squared_td_loss(self.popart(output[0]), self.popart.normalize_values(target))

    def of_policy(
        self, net: Ensembles, state: torch.Tensor, draw: Draw, online: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `Values`. One evaluation serves both."""
        with torch.set_grad_enabled(online):
            v = net.maximized_critics(state.detach(), draw(online)).mean(dim=0)  # [B T C G 1]
        baseline = v.detach().mean(dim=2)
        return baseline, (self.normalized(v).amin(dim=2) if online else None)


class TwoHotClassification(Values):
    """Critics predict a distribution over bins of return, so nothing needs to be normalised."""

    def read(self, output: Any) -> torch.Tensor:
        return self.critics.bin_dist_to_raw_vals(output)

    def to_returns(self, value: torch.Tensor) -> torch.Tensor:
        return value

    def normalized(self, value: torch.Tensor) -> torch.Tensor:
        return self.popart.normalize_values(value)

    def weighed(self, value: torch.Tensor) -> torch.Tensor:
        return value

    def logged(self, value: torch.Tensor) -> torch.Tensor:
        return self.normalized(value)

    def td_loss(self, output: Any, target: torch.Tensor) -> torch.Tensor:
        return categorical_td_loss(output.logits[0], self.critics.raw_vals_to_labels(target))

    def of_policy(
        self, net: Ensembles, state: torch.Tensor, draw: Draw, online: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """See `Values`. The baseline is read from the online critics, with samples of its own."""
        with torch.no_grad():
            v = self.read(net.critics(state, draw(False))).mean(dim=0)  # [B T C G 1]
        if not online:
            return v.mean(dim=2), None
        q = self.read(net.maximized_critics(state.detach(), draw(True))).mean(dim=0)
        return v.mean(dim=2), self.normalized(q).amin(dim=2)
