"""`Agent`: the actor-critic that the published results were made with.

Axes: `B` sequences, `L` timesteps, `T = L - 1` transitions, `K` samples, `C` critics,
`G` discounts, `A` action.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import gymnasium as gym
import torch
from torch import nn

from amago.agent import diagnostics
from amago.agent.actions import Actions, ExactActions
from amago.agent.base import BaseAgent, register_agent
from amago.agent.multigammas import Multigammas
from amago.agent.update import Evaluation, Networks, Settings, Update, update
from amago.core.config import configurable
from amago.core.errors import ConfigError, amago_warning
from amago.envs.spaces import choices_of
from amago.loading.batch import Batch
from amago.nets.actor_critic.actors import Actor, BaseActorHead
from amago.nets.actor_critic.critics import BaseCriticHead, NCritics
from amago.nets.actor_critic.values import PopArtLayer, PopArtRegression, Values
from amago.nets.traj_encoders.base import TrajEncoder
from amago.nets.tstep_encoders.base import TstepEncoder
from amago.rl.ensemble import reduce_ensemble
from amago.rl.filters import binary_filter
from amago.rl.masking import masked_mean
from amago.rl.returns import nstep_return


@configurable(module="amago.agent")
@register_agent("agent")
class Agent(BaseAgent):
    """Off-policy actor-critic over long sequences. Every setting may be changed between updates.

    Args:
        obs_space, rl2_space, action_space, max_seq_len, tstep_encoder_type, traj_encoder_type: see
            `BaseAgent`.
        num_critics: size of the ensemble.
        num_critics_td: critics drawn from it for a target, at most `num_critics`.
        online_coeff: weight of the value of the policy's own actions in the actor's loss.
        offline_coeff: weight of imitating stored actions, filtered by their advantage.
        critic_loss_weight: weight of the critics' loss against the actor's.
        gamma: discount of the policy that acts, the last of `gammas`.
        reward_multiplier: rewards are scaled by this inside the loss.
        tau: fraction of the way that targets move in an update.
        fake_filter: imitate every stored action. With `online_coeff=0` this is behaviour cloning,
            and the critics are not trained.
        num_actions_for_value_in_critic_loss: actions sampled for the value of a next state (`K`);
            with discrete actions that value is exact.
        num_actions_for_value_in_actor_loss: actions sampled for the value of a state.
        fbc_filter_func: advantage to weight of imitation, `[B T G 1]`.
        popart: normalise targets by their running statistics.
        use_target_actor: targets follow a slow copy of the actor.
        use_multigamma: train the discounts of `Multigammas` too.
        n_step: rewards summed in a target, at least 1.
        actor_type, critic_type: classes of the heads; their settings come from gin.
        pass_obs_keys_to_actor: observations handed to the actor as `straight_from_obs`.
    """

    constants = ("gammas",)
    values_type: type[Values] = PopArtRegression
    actions_type: type[Actions] = ExactActions

    def __init__(
        self,
        obs_space: gym.spaces.Dict,
        rl2_space: gym.spaces.Box,
        action_space: gym.spaces.Space,
        max_seq_len: int,
        tstep_encoder_type: type[TstepEncoder],
        traj_encoder_type: type[TrajEncoder],
        num_critics: int = 4,
        num_critics_td: int = 2,
        online_coeff: float = 1.0,
        offline_coeff: float = 0.1,
        critic_loss_weight: float = 10.0,
        gamma: float = 0.999,
        reward_multiplier: float = 10.0,
        tau: float = 0.003,
        fake_filter: bool = False,
        num_actions_for_value_in_critic_loss: int = 1,
        num_actions_for_value_in_actor_loss: int = 1,
        fbc_filter_func: Callable[[torch.Tensor], torch.Tensor] = binary_filter,
        popart: bool = True,
        use_target_actor: bool = True,
        use_multigamma: bool = True,
        n_step: int = 1,
        actor_type: type[BaseActorHead] = Actor,
        critic_type: type[BaseCriticHead] = NCritics,
        pass_obs_keys_to_actor: Iterable[str] | None = None,
    ) -> None:
        super().__init__(
            obs_space=obs_space,
            rl2_space=rl2_space,
            action_space=action_space,
            max_seq_len=max_seq_len,
            tstep_encoder_type=tstep_encoder_type,
            traj_encoder_type=traj_encoder_type,
        )
        self.num_critics = num_critics
        self.num_critics_td = num_critics_td
        self.online_coeff = online_coeff
        self.offline_coeff = offline_coeff
        self.critic_loss_weight = critic_loss_weight
        self.gamma = gamma
        self.reward_multiplier = reward_multiplier
        self.tau = tau
        self.fake_filter = fake_filter
        self.num_actions_for_value_in_critic_loss = num_actions_for_value_in_critic_loss
        self.num_actions_for_value_in_actor_loss = num_actions_for_value_in_actor_loss
        self.fbc_filter_func = fbc_filter_func
        self.use_target_actor = use_target_actor
        self.use_multigamma = use_multigamma
        self.n_step = n_step
        self.actor_type = actor_type
        self.critic_type = critic_type
        self.pass_obs_keys_to_actor = pass_obs_keys_to_actor
        self._check_settings()
        self.gammas = self._make_gammas()
        self.popart = PopArtLayer(gammas=len(self.gammas), enabled=popart)
        self.init_actor_critic()
        if self.factored:
            for head in (self.actor, self.target_actor):
                head.factorize(choices_of(action_space))
        self.init_extra_networks()
        for copied in (self.target_critics, self.maximized_critics, self.target_actor):
            copied.requires_grad_(False)
        self.hard_sync_targets()

    def _check_settings(self) -> None:
        if self.num_critics_td > self.num_critics:
            raise ConfigError(
                f"num_critics_td ({self.num_critics_td}) critics cannot be drawn from an ensemble "
                f"of num_critics ({self.num_critics}). Lower the first or raise the second."
            )
        if self.n_step < 1:
            raise ConfigError(f"n_step is {self.n_step}: a target sums at least 1 reward.")
        for k in ("num_actions_for_value_in_critic_loss", "num_actions_for_value_in_actor_loss"):
            if getattr(self, k) < 1:
                raise ConfigError(f"{k} is {getattr(self, k)}: a value needs at least 1 action.")

    def _make_gammas(self) -> torch.Tensor:
        """`[G]`, the discount that acts last."""
        extra = Multigammas()
        others = extra.discrete if self.discrete else extra.continuous
        return torch.tensor([*(others if self.use_multigamma else []), self.gamma]).float()

    def init_actor_critic(self) -> None:
        """Make the heads and their copies; may be overridden."""
        shape: dict[str, Any] = {
            "state_dim": self.state_dim,
            "action_dim": self.action_dim,
            "discrete": self.discrete,
            "gammas": self.gammas,
        }
        self.critics = self.critic_type(**shape, num_critics=self.num_critics)
        self.target_critics = copy.deepcopy(self.critics)
        self.maximized_critics = copy.deepcopy(self.critics)
        self.actor = self.actor_type(**shape)
        self.target_actor = copy.deepcopy(self.actor)
        if self.online_coeff > 0 and not self.actor.actions_differentiable:
            self._refuse_online_loss()

    def _refuse_online_loss(self) -> None:
        amago_warning(
            f"online_coeff ({self.online_coeff}) has no effect on the policy: actions of "
            f"{type(self.actor.policy_dist).__name__} pass no gradient. Set online_coeff to 0."
        )

    def init_extra_networks(self) -> None:
        """Hook: make more networks, before targets are first synchronised."""

    # ------------------------------------------------------------------------------------- acting

    def get_actions(
        self,
        obs: dict[str, torch.Tensor],
        rl2s: torch.Tensor,
        time_idxs: torch.Tensor,
        hidden_state: Any = None,
        sample: bool = True,
    ) -> tuple[torch.Tensor, Any]:
        """See `BaseAgent.get_actions`.

        Returns:
            `[B L 1]` indices (discrete; uint8, or int64 above 256 choices), one int64 index for
            each factor (MultiDiscrete), `[B L A]` uint8 (multibinary) or `[B L A]` float32; and the
            new hidden state.
        """
        state, hidden_state = self.get_state_embedding(obs, rl2s, time_idxs, hidden_state)
        dist = self.actor(state, straight_from_obs=self._straight_from_obs(obs))
        actions = dist.sample() if sample else self._best_guess(dist)  # [B L G A]
        return actions[..., -1, :].to(self._action_dtype), hidden_state

    def _best_guess(self, dist: Any) -> torch.Tensor:
        if self.factored:
            return dist.mode
        if self.discrete:
            return dist.probs.argmax(dim=-1, keepdim=True)
        return dist.probs > 0.5 if self.multibinary else dist.mean

    @property
    def _action_dtype(self) -> torch.dtype:
        if self.factored or (self.discrete and self.action_dim > 256):
            return torch.int64
        return torch.uint8 if self.discrete or self.multibinary else torch.float32

    def _straight_from_obs(self, obs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
        keys = self.pass_obs_keys_to_actor
        return None if keys is None else {key: obs[key] for key in keys}

    # ----------------------------------------------------------------------------------- learning

    def forward(self, batch: Batch, log_step: bool) -> torch.Tensor:
        """See `BaseAgent.forward`, and `amago.agent.update` for the method."""
        self.update_info = {}
        log_dict = self.update_info if log_step else None
        state = self._encode(batch, log_dict)
        values, actions = self._values(), self._actions()
        result = update(
            batch=batch,
            state=state,
            net=self._networks(batch, log_dict),
            values=values,
            actions=actions,
            hp=self._settings(),
        )
        state_mask = batch.mask[..., None]  # [B T 1]
        loss = self._compute_loss(batch, result.actor_loss, result.critic_loss, state_mask)
        if log_step:
            with torch.no_grad():
                self.update_info |= self._statistics(batch, result, state_mask)
        return loss

    def _compute_loss(
        self,
        batch: Batch,
        actor_loss: torch.Tensor,
        critic_loss: torch.Tensor | None,
        state_mask: torch.Tensor,
    ) -> torch.Tensor:
        """Total loss, a scalar: masked means of the losses of every transition.

        Args:
            actor_loss: `[B T G 1]`.
            critic_loss: `[B T C G 1]`, or None if no critic was needed.
            state_mask: `[B T 1]`, before `edit_actor_mask` and `edit_critic_mask`.
        """
        # copies of the mask: hooks may edit in place
        actor_mask = state_mask[:, :, None].expand_as(actor_loss).clone()
        actor_mask = self.edit_actor_mask(batch, actor_loss, actor_mask)
        loss = masked_mean(actor_loss, actor_mask)
        self.update_info["Actor Loss"] = loss.detach()
        self.update_info["Critic Loss"] = 0.0
        self.update_info["Unmasked Batch Size (in Timesteps)"] = actor_mask[..., 0, 0].sum()
        if critic_loss is not None:
            critic_mask = state_mask[:, :, None, None].expand_as(critic_loss).clone()
            critic_mask = self.edit_critic_mask(batch, critic_loss, critic_mask)
            mean_critic_loss = masked_mean(critic_loss, critic_mask)
            self.update_info["Critic Loss"] = mean_critic_loss.detach()
            loss = loss + self.critic_loss_weight * mean_critic_loss
        return loss

    def _encode(self, batch: Batch, log_dict: dict[str, Any] | None) -> torch.Tensor:
        embedded = self.tstep_encoder(obs=batch.obs, rl2s=batch.rl2s, log_dict=log_dict)
        state, _ = self.traj_encoder(
            seq=embedded, time_idxs=batch.time_idxs, hidden_state=None, log_dict=log_dict
        )
        return state

    # What follows is made anew for every update, so that clients may change any setting, replace
    # any hook or module, and be heard.

    def _values(self) -> Values:
        return self.values_type(critics=self.critics, popart=self.popart)

    def _actions(self) -> Actions:
        return self.actions_type(
            policy_dist=self.actor.policy_dist,
            discrete=self.discrete,
            multibinary=self.multibinary,
            num_gammas=len(self.gammas),
            sample_k=self._sample_k_actions,
        )

    def _networks(self, batch: Batch, log_dict: dict[str, Any] | None) -> Networks:
        seen = self._straight_from_obs(batch.obs)
        slow_actor = partial(self.target_actor, straight_from_obs=seen)
        return Networks(
            actor=partial(self.actor, log_dict=log_dict, straight_from_obs=seen),
            target_actor=slow_actor if self.use_target_actor else None,
            critics=partial(self.critics, log_dict=log_dict),
            target_critics=self.target_critics,
            maximized_critics=self.maximized_critics,
        )

    def _settings(self) -> Settings:
        exact = self.discrete and issubclass(self.actions_type, ExactActions)
        return Settings(
            online=self.online_coeff,
            offline=self.offline_coeff,
            fake_filter=self.fake_filter,
            weigh=self.fbc_filter_func,
            gammas=self.gammas,
            reward_multiplier=self.reward_multiplier,
            n_step=self.n_step,
            k_critic=1 if exact else self.num_actions_for_value_in_critic_loss,
            k_actor=1 if exact else self.num_actions_for_value_in_actor_loss,
            reduce_ensemble=self._reduce_critic_ensemble,
            nstep_return=self._nstep_fn,
        )

    _nstep_fn = staticmethod(nstep_return)
    """How targets are made of rewards and values; may be replaced."""

    def _reduce_critic_ensemble(self, q: torch.Tensor) -> torch.Tensor:
        """One value of an ensemble, for targets: `[B T C G 1] -> [B T 1 G 1]`.

        The minimum of a random subset if actions are maximised, otherwise its mean.
        """
        return reduce_ensemble(q, self.num_critics_td, pessimistic=self.online_coeff > 0)

    def get_values(self, batch: Batch) -> dict[str, torch.Tensor]:
        """What the critics think of a batch, for inspection.

        Returns:
            `q_sa` (of stored actions), `v_s` (of the policy's), their difference `advantage`, the
            standard deviations of the first two over the ensemble (`q_sa_std`, `v_s_std`), all in
            units of scaled return, and `filter_weights`: each `[B T G 1]`. Also `state_mask`,
            `[B T 1]`; elsewhere numbers are meaningless.
        """
        with torch.no_grad():
            return diagnostics.inspect_values(
                batch=batch,
                state=self._encode(batch, log_dict=None),
                net=self._networks(batch, log_dict=None),
                values=self._values(),
                actions=self._actions(),
                hp=self._settings(),
            )

    # ----------------------------------------------------------------------- parameters and copies

    @property
    def trainable_params(self) -> Iterator[nn.Parameter]:
        """Parameters of both encoders, the critics and the actor."""
        online = (self.tstep_encoder, self.traj_encoder, self.critics, self.actor)
        return chain.from_iterable(module.parameters() for module in online)

    def hard_sync_targets(self) -> None:
        """Make every copy equal to what it copies."""
        self._full_copy(self.target_critics, self.critics)
        self._full_copy(self.target_actor, self.actor)
        self._full_copy(self.maximized_critics, self.critics)

    def soft_sync_targets(self) -> None:
        """Move targets by `tau`, and refresh the critics that the actor maximises."""
        self._ema_copy(self.target_critics, self.critics)
        self._ema_copy(self.target_actor, self.actor)
        self._full_copy(self.maximized_critics, self.critics)

    def get_grad_norms(self) -> dict[str, float]:
        """See `BaseAgent.get_grad_norms`."""
        return {
            "Actor Grad Norm": diagnostics.grad_norm(self.actor),
            "Critic Grad Norm": diagnostics.grad_norm(self.critics),
            "TrajEncoder Grad Norm": diagnostics.grad_norm(self.traj_encoder),
            "TstepEncoder Grad Norm": diagnostics.grad_norm(self.tstep_encoder),
        }

    # ----------------------------------------------------------------------------------- statistics

    def _statistics(self, batch: Batch, result: Update, mask: torch.Tensor) -> dict[str, Any]:
        stats = diagnostics.batch_stats(batch) | self._policy_stats(mask, result.policy)
        stats |= self._filter_stats(mask, result.log_prob, result.weight)
        if result.evaluation is not None:
            stats |= self._td_stats(mask, result.evaluation) | self._popart_stats()
        return stats

    def _td_stats(self, mask: torch.Tensor, evaluation: Evaluation) -> dict[str, Any]:
        return diagnostics.td_stats(mask, evaluation, self._values(), self.gammas)

    def _policy_stats(self, mask: torch.Tensor, a_dist: Any) -> dict[str, Any]:
        return diagnostics.policy_stats(mask, a_dist, self._actions())

    def _filter_stats(
        self, mask: torch.Tensor, logp_a: torch.Tensor, filter_: torch.Tensor
    ) -> dict[str, Any]:
        return diagnostics.filter_stats(mask, logp_a, filter_, self.gammas)

    def _popart_stats(self) -> dict[str, Any]:
        return diagnostics.popart_stats(self.popart)
