"""`MultiTaskAgent`: for data of many tasks, whose returns differ by orders of magnitude."""

from collections.abc import Callable, Iterable
from typing import Any

import gymnasium as gym
import torch

from amago.agent import diagnostics
from amago.agent.actions import SampledActions
from amago.agent.agent import Agent
from amago.agent.base import register_agent
from amago.agent.update import Evaluation
from amago.core.config import configurable
from amago.core.errors import ConfigError
from amago.nets.actor_critic.actors import Actor, BaseActorHead
from amago.nets.actor_critic.critics import BaseCriticHead, NCriticsTwoHot
from amago.nets.actor_critic.values import TwoHotClassification
from amago.nets.traj_encoders.base import TrajEncoder
from amago.nets.tstep_encoders.base import TstepEncoder
from amago.rl.filters import binary_filter


@configurable(module="amago.agent")
@register_agent("multitask")
class MultiTaskAgent(Agent):
    """`Agent` with critics that classify returns into bins, and imitation before maximisation.

    A binary filter and a cross-entropy do not care how large a task's returns are. Discrete actions
    are sampled as if they were continuous, so critics take state and action.

    Args: see `Agent`. `critic_type` must have `num_bins`, `bin_dist_to_raw_vals` and
        `raw_vals_to_labels`.

    Source: Grigsby et al. (2024), "AMAGO-2: Breaking the multi-task barrier in meta-reinforcement
    learning with transformers".
    """

    values_type = TwoHotClassification
    actions_type = SampledActions

    def __init__(
        self,
        obs_space: gym.spaces.Dict,
        rl2_space: gym.spaces.Box,
        action_space: gym.spaces.Space,
        tstep_encoder_type: type[TstepEncoder],
        traj_encoder_type: type[TrajEncoder],
        max_seq_len: int,
        num_critics: int = 4,
        num_critics_td: int = 2,
        online_coeff: float = 0.0,
        offline_coeff: float = 1.0,
        critic_loss_weight: float = 10.0,
        gamma: float = 0.999,
        reward_multiplier: float = 10.0,
        tau: float = 0.003,
        fake_filter: bool = False,
        num_actions_for_value_in_critic_loss: int = 1,
        num_actions_for_value_in_actor_loss: int = 3,
        fbc_filter_func: Callable[[torch.Tensor], torch.Tensor] = binary_filter,
        popart: bool = True,
        use_target_actor: bool = True,
        use_multigamma: bool = True,
        n_step: int = 1,
        actor_type: type[BaseActorHead] = Actor,
        critic_type: type[BaseCriticHead] = NCriticsTwoHot,
        pass_obs_keys_to_actor: Iterable[str] | None = None,
    ) -> None:
        super().__init__(
            obs_space=obs_space,
            rl2_space=rl2_space,
            action_space=action_space,
            max_seq_len=max_seq_len,
            tstep_encoder_type=tstep_encoder_type,
            traj_encoder_type=traj_encoder_type,
            num_critics=num_critics,
            num_critics_td=num_critics_td,
            online_coeff=online_coeff,
            offline_coeff=offline_coeff,
            critic_loss_weight=critic_loss_weight,
            gamma=gamma,
            reward_multiplier=reward_multiplier,
            tau=tau,
            fake_filter=fake_filter,
            num_actions_for_value_in_critic_loss=num_actions_for_value_in_critic_loss,
            num_actions_for_value_in_actor_loss=num_actions_for_value_in_actor_loss,
            fbc_filter_func=fbc_filter_func,
            popart=popart,
            use_target_actor=use_target_actor,
            use_multigamma=use_multigamma,
            n_step=n_step,
            actor_type=actor_type,
            critic_type=critic_type,
            pass_obs_keys_to_actor=pass_obs_keys_to_actor,
        )

    def init_actor_critic(self) -> None:
        super().init_actor_critic()
        needed = ("num_bins", "bin_dist_to_raw_vals", "raw_vals_to_labels")
        missing = [name for name in needed if not hasattr(self.critics, name)]
        if missing:
            raise ConfigError(
                f"MultiTaskAgent reads critics as bins of return, but "
                f"{type(self.critics).__name__} has no {', '.join(missing)}. Use NCriticsTwoHot, "
                f"or Agent with this critic."
            )

    def _refuse_online_loss(self) -> None:
        raise ConfigError(
            f"online_coeff is {self.online_coeff}, but actions of "
            f"{type(self.actor.policy_dist).__name__} pass no gradient. Set online_coeff to 0."
        )

    def _sample_k_actions(self, dist: Any, k: int) -> torch.Tensor:
        raise NotImplementedError(
            "MultiTaskAgent samples with and without gradient in one update: see `actions_type`."
        )

    def _td_stats(self, mask: torch.Tensor, evaluation: Evaluation) -> dict[str, Any]:
        stats = super()._td_stats(mask, evaluation)
        return stats | diagnostics.bin_stats(mask, evaluation.output.logits[0])
