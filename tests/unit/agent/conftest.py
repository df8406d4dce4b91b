"""Tiny agents and batches of every kind of action."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
import torch
from small_networks import SMALL

from amago.agent import Agent
from amago.core.config import bind
from amago.loading import Batch, RLData, RLData_pad_collate
from amago.nets.policy_dists import Multibinary
from amago.nets.traj_encoders import GRUTrajEncoder
from amago.nets.tstep_encoders import FFTstepEncoder

SPACES = {
    "discrete": gym.spaces.Discrete(3),
    "continuous": gym.spaces.Box(-1.0, 1.0, (2,)),
    "multibinary": gym.spaces.MultiBinary(4),
    "multidiscrete": gym.spaces.MultiDiscrete([2, 3]),
}
WIDTH = {"discrete": 3, "continuous": 2, "multibinary": 4, "multidiscrete": 5}


@pytest.fixture
def make_agent() -> Callable[..., Any]:
    """`make_agent("discrete", cls=Agent, **settings)`, in training mode."""

    def make(kind: str, cls: type = Agent, action_space: gym.Space | None = None, **settings: Any):
        bind(SMALL)
        if kind == "multibinary":
            bind({"Actor.continuous_dist_type": Multibinary})
            settings.setdefault("online_coeff", 0.0)
        space = SPACES[kind] if action_space is None else action_space
        return cls(
            obs_space=gym.spaces.Dict({"observation": gym.spaces.Box(-1.0, 1.0, (4,))}),
            rl2_space=gym.spaces.Box(-1.0, 1.0, (1 + WIDTH[kind],)),
            action_space=space,
            max_seq_len=8,
            tstep_encoder_type=FFTstepEncoder,
            **({"traj_encoder_type": GRUTrajEncoder} | settings),
        ).train()

    return make


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """`make_batch("discrete", lengths=(6, 4, 2), seed=0)`: lengths count transitions."""

    def make(kind: str, lengths: tuple[int, ...] = (6, 4, 2), seed: int = 0) -> Batch:
        rng = torch.Generator().manual_seed(seed)
        return RLData_pad_collate([sequence(kind, length, rng) for length in lengths])

    return make


def sequence(kind: str, length: int, rng: torch.Generator) -> RLData:
    """Random actions, rewards and observations; half of all sequences terminate."""
    width = WIDTH[kind]
    if kind == "discrete":
        actions = torch.eye(width)[torch.randint(width, (length,), generator=rng)]
    elif kind == "multidiscrete":
        chosen = [torch.randint(n, (length,), generator=rng) for n in (2, 3)]
        actions = torch.cat([torch.eye(n)[i] for n, i in zip((2, 3), chosen, strict=True)], dim=-1)
    elif kind == "multibinary":
        actions = (torch.rand(length, width, generator=rng) < 0.5).float()
    else:
        actions = 2.0 * torch.rand(length, width, generator=rng) - 1.0
    dones = torch.zeros(length, 1, dtype=torch.bool)
    dones[-1] = bool(torch.rand((), generator=rng) < 0.5)
    return RLData(
        obs={"observation": torch.randn(length + 1, 4, generator=rng)},
        rews=torch.randn(length, 1, generator=rng),
        dones=dones,
        actions=actions,
        time_idxs=torch.arange(length + 1)[:, None],
    )
