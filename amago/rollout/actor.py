"""A policy that acts: it turns timesteps into actions and keeps its memory between them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import torch

from amago.hindsight import Timestep


class Policy(Protocol):
    """What acting needs of an agent."""

    def get_actions(
        self,
        obs: dict[str, torch.Tensor],
        rl2s: torch.Tensor,
        time_idxs: torch.Tensor,
        hidden_state: Any = None,
        sample: bool = True,
    ) -> tuple[torch.Tensor, Any]: ...

    def init_hidden_state(self, batch_size: int, device: torch.device) -> Any: ...

    def reset_hidden_state(self, hidden_state: Any, dones: np.ndarray) -> Any: ...


class Actor:
    """Chooses actions for `N` environments and remembers what they have seen.

    Args:
        sample: draw actions from the policy; otherwise take its best guess (argmax or mean).
        autocast: makes the context the network runs in, e.g. bfloat16.
        hidden_state: the memory to go on with; None begins with an empty one.
    """

    def __init__(
        self,
        policy: Policy,
        num_envs: int,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[Any]],
        sample: bool,
        hidden_state: Any = None,
    ) -> None:
        self.policy = policy
        self.device = device
        self.autocast = autocast
        self.sample = sample
        self.hidden_state = (
            policy.init_hidden_state(num_envs, device) if hidden_state is None else hidden_state
        )

    def observe(self, timestep: Timestep) -> dict[str, Any]:
        """The timestep as the policy's input: tensors with a time axis of one."""
        obs, rl2s, time_idxs = timestep.as_input()
        return {
            "obs": {key: self._with_time_axis(value) for key, value in obs.items()},
            "rl2s": self._with_time_axis(rl2s),
            "time_idxs": self._with_time_axis(time_idxs),
        }

    def act(self, inputs: dict[str, Any]) -> np.ndarray:
        """Actions for what `observe` returned: `[N, 1]` indices, or `[N, A]`."""
        with torch.no_grad(), self.autocast():
            actions, self.hidden_state = self.policy.get_actions(
                **inputs, sample=self.sample, hidden_state=self.hidden_state
            )
        return actions.squeeze(1).cpu().numpy()

    def forget(self, started: np.ndarray) -> None:
        """Empty the memory of the rows (`[N]` bool) that begin a new episode."""
        if started.any():
            self.hidden_state = self.policy.reset_hidden_state(self.hidden_state, started)

    def _with_time_axis(self, array: np.ndarray) -> torch.Tensor:
        # A copy: the pool overwrites its buffers at the next step, a hidden state may keep views.
        # By numpy, which takes a quarter of the time that `torch.tensor` does for a small array.
        return torch.from_numpy(array[:, np.newaxis].copy()).to(self.device)
