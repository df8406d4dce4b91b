"""What a trajectory encoder is, and the names under which encoders are found."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from amago.core.registry import Registry

_REGISTRY: "Registry[TrajEncoder]" = Registry(
    "trajectory encoder",
    builtin_modules=(
        "amago.nets.traj_encoders.feedforward",
        "amago.nets.traj_encoders.gru",
        "amago.nets.traj_encoders.attention",
        "amago.nets.traj_encoders.mamba",
    ),
)


def register_traj_encoder(name: str) -> Callable:
    """Class decorator: make a `TrajEncoder` available by name. Put it below `@configurable`.

    Raises:
        ValueError: the name is taken.
    """
    return _REGISTRY.register(name)


def get_traj_encoder_cls(name: str) -> "type[TrajEncoder]":
    """The encoder class of that name.

    Raises:
        KeyError: unknown name; the message lists those there are.
    """
    return _REGISTRY.get(name)


def list_registered_traj_encoders() -> list[str]:
    """Every registered name."""
    return _REGISTRY.names()


class TrajEncoder(nn.Module, ABC):
    """Maps a sequence of timesteps to a sequence of states: output `t` depends on inputs `<= t`.

    It is used in two ways that must agree. Training passes a whole sequence and no hidden state.
    A rollout passes one timestep at a time with the hidden state of the previous call.

    To write one, set up the layers in `__init__`, and define `emb_dim` and `forward`; with memory,
    also `init_hidden_state` and `reset_hidden_state`. The agent makes it as
    `cls(tstep_dim=..., max_seq_len=...)`: everything else needs a default.

    Args:
        tstep_dim: length of a timestep's embedding.
        max_seq_len: timesteps that a rollout remembers, at least.
    """

    def __init__(self, tstep_dim: int, max_seq_len: int) -> None:
        super().__init__()
        self.tstep_dim = tstep_dim
        self.max_seq_len = max_seq_len

    def init_hidden_state(self, batch_size: int, device: torch.device) -> Any:
        """What `batch_size` actors remember before their first timestep; None: no memory."""
        return None

    def reset_hidden_state(self, hidden_state: Any, dones: np.ndarray) -> Any:
        """`hidden_state`, after the actors whose `dones` `[N]` is true have forgotten it all."""
        return hidden_state

    @abstractmethod
    def forward(
        self,
        seq: Tensor,
        time_idxs: Tensor,
        hidden_state: Any = None,
        log_dict: dict[str, Any] | None = None,
    ) -> tuple[Tensor, Any]:
        """States of a sequence.

        Args:
            seq: embedded timesteps, `[B, L, tstep_dim]`.
            time_idxs: index of each timestep in its trajectory, int64 `[B, L, 1]`.
            hidden_state: None for a whole sequence; otherwise `L` is 1.
            log_dict: filled with statistics of activations, unless None.

        Returns:
            The states `[B, L, emb_dim]`, and the new hidden state. The one passed in may have been
            changed, and must not be used again.
        """

    @property
    @abstractmethod
    def emb_dim(self) -> int:
        """Length of a state."""
