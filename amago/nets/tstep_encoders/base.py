"""What a timestep encoder is, and the names under which encoders are found."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from torch import Tensor, nn

from amago.core.registry import Registry

_REGISTRY: "Registry[TstepEncoder]" = Registry(
    "timestep encoder",
    builtin_modules=(
        "amago.nets.tstep_encoders.feedforward",
        "amago.nets.tstep_encoders.image",
    ),
)


def register_tstep_encoder(name: str) -> Callable:
    """Class decorator: make a `TstepEncoder` available by name. Put it below `@configurable`.

    Raises:
        ValueError: the name is taken.
    """
    return _REGISTRY.register(name)


def get_tstep_encoder_cls(name: str) -> "type[TstepEncoder]":
    """The encoder class of that name.

    Raises:
        KeyError: unknown name; the message lists those there are.
    """
    return _REGISTRY.get(name)


def list_registered_tstep_encoders() -> list[str]:
    """Every registered name."""
    return _REGISTRY.names()


class TstepEncoder(nn.Module, ABC):
    """Maps each timestep to a vector, looking at no other timestep.

    To write one, set up the layers in `__init__`, and define `emb_dim` and `inner_forward`. The
    agent makes it as `cls(obs_space=..., rl2_space=...)`: everything else needs a default.

    Args:
        obs_space: the `Dict` space of one observation.
        rl2_space: the `Box` space of `concat(previous reward [1], previous action [A])`.
        hide_rl2s: the network sees zeros for previous rewards and actions.
        hide_rewards: the network sees zeros for previous rewards.
    """

    def __init__(
        self,
        obs_space: gym.Space,
        rl2_space: gym.Space,
        hide_rl2s: bool = False,
        hide_rewards: bool = False,
    ) -> None:
        super().__init__()
        self.obs_space = obs_space
        self.rl2_space = rl2_space
        self.hide_rl2s = hide_rl2s
        self.hide_rewards = hide_rewards

    def forward(
        self, obs: dict[str, Tensor], rl2s: Tensor, log_dict: dict[str, Any] | None = None
    ) -> Tensor:
        """Embedding of every timestep.

        Args:
            obs: observations, each `[B, L, ...]`.
            rl2s: previous rewards and actions, `[B, L, 1 + A]`.
            log_dict: filled with statistics of activations, unless None.

        Returns:
            `[B, L, emb_dim]`.
        """
        if self.hide_rl2s:
            rl2s = rl2s * 0.0
        elif self.hide_rewards:
            rl2s = rl2s.clone()
            rl2s[..., 0] = 0.0
        return self.inner_forward(obs, rl2s, log_dict=log_dict)

    @abstractmethod
    def inner_forward(
        self, obs: dict[str, Tensor], rl2s: Tensor, log_dict: dict[str, Any] | None = None
    ) -> Tensor:
        """As `forward`, after what is to be hidden has been hidden."""

    @property
    @abstractmethod
    def emb_dim(self) -> int:
        """Length of a timestep's embedding."""
