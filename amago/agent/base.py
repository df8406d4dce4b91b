"""What an agent is: encoders, a way to act, a loss, and hooks for subclasses and clients.

To write another algorithm: subclass `BaseAgent` and implement its abstract members; `Agent` is the
example. To change a part of the existing one, see its hooks.

Axes: `B` sequences, `L` timesteps, `T = L - 1` transitions, `D` state, `K` samples, `C` critics,
`G` discounts, `A` action.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn

from amago.agent.targets import ema_copy, full_copy
from amago.core.errors import amago_warning
from amago.core.registry import Registry
from amago.envs.spaces import choices_of, unsupported_actions
from amago.loading.batch import Batch
from amago.nets.actor_critic.constants import KeepsConstants
from amago.nets.traj_encoders.base import TrajEncoder
from amago.nets.tstep_encoders.base import TstepEncoder
from amago.rl.masking import PAD_VALUE

_REGISTRY: "Registry[BaseAgent]" = Registry(
    "agent", builtin_modules=("amago.agent.agent", "amago.agent.multitask")
)


def register_agent(name: str) -> Callable:
    """Class decorator: make an agent available by name. Put it below `@configurable`.

    Raises:
        ValueError: the name is taken.
    """
    return _REGISTRY.register(name)


def get_agent_cls(name: str) -> "type[BaseAgent]":
    """The agent class of that name.

    Raises:
        KeyError: unknown name; the message lists those there are.
    """
    return _REGISTRY.get(name)


def list_registered_agents() -> list[str]:
    """Every registered name."""
    return _REGISTRY.names()


def get_action_dim_and_type(action_space: gym.spaces.Space) -> tuple[int, bool, bool]:
    """`(A, is discrete, is multibinary)`; neither is continuous.

    MultiDiscrete is discrete too, and `A` counts the choices of all its factors.

    Raises:
        ConfigError: a space of another kind.
    """
    if choices := choices_of(action_space):
        return sum(choices), True, False
    if isinstance(action_space, gym.spaces.MultiBinary) and len(action_space.shape) == 1:
        return action_space.shape[0], False, True
    if isinstance(action_space, gym.spaces.Box) and action_space.shape:
        return action_space.shape[-1], False, False
    raise unsupported_actions(action_space)


class BaseAgent(KeepsConstants, ABC):
    """A policy and how it learns. Made by the experiment; owns all networks.

    Args:
        obs_space: the `Dict` space of one observation.
        rl2_space: the `Box` space of `concat(previous reward [1], previous action [A])`.
        action_space: see `get_action_dim_and_type`. Several choices at once (MultiDiscrete) make
            the agent `factored`.
        max_seq_len: timesteps that a rollout remembers, at least.
        tstep_encoder_type, traj_encoder_type: classes; their settings come from gin.
    """

    update_info: dict[str, Any]
    """Metrics of the latest forward pass."""
    actor: Any
    """The policy head; made by subclasses that have one."""
    tau: float
    """Fraction of the way that targets move in an update."""

    def __init__(
        self,
        obs_space: gym.spaces.Dict,
        rl2_space: gym.spaces.Box,
        action_space: gym.spaces.Space,
        max_seq_len: int,
        tstep_encoder_type: type[TstepEncoder],
        traj_encoder_type: type[TrajEncoder],
    ) -> None:
        super().__init__()
        self.obs_space = obs_space
        self.rl2_space = rl2_space
        self.action_space = action_space
        self.max_seq_len = max_seq_len
        self.tstep_encoder_type = tstep_encoder_type
        self.traj_encoder_type = traj_encoder_type
        self.pad_val = PAD_VALUE
        self.action_dim, self.discrete, self.multibinary = get_action_dim_and_type(action_space)
        self.factored = isinstance(action_space, gym.spaces.MultiDiscrete)
        self.update_info = {}
        self.init_encoders()

    def init_encoders(self) -> None:
        """Make `tstep_encoder` and `traj_encoder`."""
        self.tstep_encoder = self.tstep_encoder_type(
            obs_space=self.obs_space, rl2_space=self.rl2_space
        )
        self.traj_encoder = self.traj_encoder_type(
            tstep_dim=self.tstep_encoder.emb_dim, max_seq_len=self.max_seq_len
        )

    # ------------------------------------------------------------------------------- to implement

    @abstractmethod
    def forward(self, batch: Batch, log_step: bool) -> torch.Tensor:
        """Scalar loss of a batch. Fills `update_info`.

        Args:
            log_step: compute metrics that cost something; at other times nothing may wait for the
                device.
        """

    @abstractmethod
    def get_actions(
        self,
        obs: dict[str, torch.Tensor],
        rl2s: torch.Tensor,
        time_idxs: torch.Tensor,
        hidden_state: Any = None,
        sample: bool = True,
    ) -> tuple[torch.Tensor, Any]:
        """Actions of the policy, and the new hidden state.

        Args:
            obs: observations, each `[B L ...]`.
            rl2s: previous rewards and actions, `[B L 1+A]`.
            time_idxs: index of each timestep in its trajectory, int64 `[B L 1]`.
            hidden_state: from `init_hidden_state` or the previous call; then `L` is 1.
            sample: draw from the policy rather than take its best guess.
        """

    @property
    @abstractmethod
    def trainable_params(self) -> Iterable[nn.Parameter]:
        """What the optimiser changes: a fresh iterator at each access."""

    @abstractmethod
    def hard_sync_targets(self) -> None:
        """Make the target networks equal to the online ones."""

    @abstractmethod
    def soft_sync_targets(self) -> None:
        """Move the target networks towards the online ones; once an update, before its step."""

    @abstractmethod
    def get_grad_norms(self) -> dict[str, float]:
        """Norm of the gradient in each part of the agent, by metric name."""

    # -------------------------------------------------------------------------------------- state

    @property
    def state_dim(self) -> int:
        """Width of a state (`D`)."""
        return self.traj_encoder.emb_dim

    @property
    def tstep_encoder_Cls(self) -> type[TstepEncoder]:
        """What AMAGO 2 called `tstep_encoder_type`."""
        amago_warning("tstep_encoder_Cls is now tstep_encoder_type", DeprecationWarning)
        return self.tstep_encoder_type

    def get_state_embedding(
        self,
        obs: dict[str, torch.Tensor],
        rl2s: torch.Tensor,
        time_idxs: torch.Tensor,
        hidden_state: Any = None,
    ) -> tuple[torch.Tensor, Any]:
        """States `[B L D]`, and the new hidden state. Arguments as in `get_actions`."""
        embedded = self.tstep_encoder(obs=obs, rl2s=rl2s)
        return self.traj_encoder(seq=embedded, time_idxs=time_idxs, hidden_state=hidden_state)

    def init_hidden_state(self, batch_size: int, device: torch.device) -> Any:
        """What `batch_size` actors remember before their first timestep."""
        return self.traj_encoder.init_hidden_state(batch_size, device)

    def reset_hidden_state(self, hidden_state: Any, dones: np.ndarray) -> Any:
        """`hidden_state`, after the actors whose `dones` `[B]` is true have forgotten it all."""
        return self.traj_encoder.reset_hidden_state(hidden_state, dones)

    # -------------------------------------------------------------------------------------- hooks

    def edit_actor_mask(
        self, batch: Batch, actor_loss: torch.Tensor, pad_mask: torch.Tensor
    ) -> torch.Tensor:
        """Which transitions the actor learns from. May be replaced, also on an instance.

        Args:
            actor_loss: `[B T G 1]`.
            pad_mask: true where the batch is not padded, bool `[B T G 1]`.

        Returns:
            The mask to use, of the same shape.
        """
        return pad_mask

    def edit_critic_mask(
        self, batch: Batch, critic_loss: torch.Tensor | None, pad_mask: torch.Tensor
    ) -> torch.Tensor:
        """Which transitions the critics learn from. May be replaced, also on an instance.

        Args:
            critic_loss: `[B T C G 1]`; may be None.
            pad_mask: true where the batch is not padded, bool `[B T C G 1]`.

        Returns:
            The mask to use, of the same shape.
        """
        return pad_mask

    def on_checkpoint_loaded(self, is_resume: bool = False) -> None:
        """Called after weights were restored.

        Args:
            is_resume: the whole run was, not the weights alone.
        """

    # ----------------------------------------------------------------------------- for subclasses

    def _full_copy(self, target: nn.Module, online: nn.Module) -> None:
        """Set the parameters of `target` to those of `online`."""
        full_copy(target, online)

    def _ema_copy(self, target: nn.Module, online: nn.Module, tau: float | None = None) -> None:
        """Move the parameters of `target` towards those of `online`.

        Args:
            tau: fraction of the way; None is the agent's `tau`.
        """
        ema_copy(target, online, self.tau if tau is None else tau)

    def _sample_k_actions(self, dist: Any, k: int) -> torch.Tensor:
        """Actions of a policy for critics, `[K B L G A]`; differentiable if the policy can be.

        Discrete actions are the probabilities: an expectation needs no samples, and `k` is 1.
        """
        if self.discrete:
            if k != 1:
                raise ValueError(f"a discrete policy is its probabilities: k is 1, not {k}.")
            return dist.probs.unsqueeze(0)
        if self.actor.actions_differentiable:
            return torch.stack([dist.rsample() for _ in range(k)])
        return dist.sample((k,))
