"""What clients replace in an agent is really used: in a subclass, on the instance, at any time.

A subclass that replaces most of it, in a whole run: `test_agent_subclass.py`.
"""

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
import torch
from small_networks import SMALL as NETWORKS
from torch.testing import assert_close

from amago.agent import Agent, MultiTaskAgent
from amago.core import config
from amago.loading import Batch, RLData, RLData_pad_collate
from amago.nets import actor_critic
from amago.nets.policy_dists import Discrete, _Categorical
from amago.nets.traj_encoders import GRUTrajEncoder
from amago.nets.tstep_encoders import FFTstepEncoder

SMALL = NETWORKS | {"Multigammas.discrete": [0.5]}
B, T, G, CHOICES = 2, 5, 2, 4
BOTH = pytest.mark.parametrize("cls", [Agent, MultiTaskAgent])


def make(cls: type[Agent] = Agent, **settings: Any) -> Any:
    """An agent that chooses among four actions; it observes which ones are illegal."""
    config.bind(SMALL)
    seen = gym.spaces.Box(-1.0, 1.0, (3,))
    return cls(
        obs_space=gym.spaces.Dict(
            {"observation": seen, "illegal_actions": gym.spaces.MultiBinary(CHOICES)}
        ),
        rl2_space=gym.spaces.Box(-1.0, 1.0, (1 + CHOICES,)),
        action_space=gym.spaces.Discrete(CHOICES),
        max_seq_len=8,
        tstep_encoder_type=OnlyObservation,
        traj_encoder_type=GRUTrajEncoder,
        **settings,
    ).train()


class OnlyObservation(FFTstepEncoder):
    """Does not encode the mask of illegal actions."""

    def __init__(self, obs_space: gym.spaces.Dict, rl2_space: gym.spaces.Box) -> None:
        read = gym.spaces.Dict({"observation": obs_space["observation"]})
        super().__init__(obs_space=read, rl2_space=rl2_space)

    def inner_forward(self, obs, rl2s, log_dict=None):
        return super().inner_forward({"observation": obs["observation"]}, rl2s, log_dict)


def sequence(length: int, seed: int) -> RLData:
    rng = torch.Generator().manual_seed(seed)
    illegal = torch.zeros(length + 1, CHOICES, dtype=torch.bool)
    illegal[:, 2] = True
    chosen = torch.tensor([0, 1, 3])[torch.randint(3, (length,), generator=rng)]
    return RLData(
        obs={
            "observation": torch.randn(length + 1, 3, generator=rng),
            "illegal_actions": illegal,
        },
        rews=torch.randn(length, 1, generator=rng),
        dones=torch.zeros(length, 1, dtype=torch.bool),
        actions=torch.eye(CHOICES)[chosen],
        time_idxs=torch.arange(length + 1)[:, None],
    )


@pytest.fixture
def batch() -> Batch:
    """Two sequences, of 5 and 3 transitions."""
    return RLData_pad_collate([sequence(T, seed=0), sequence(T - 2, seed=1)])


def loss_of(agent: Agent, batch: Batch, log_step: bool = False) -> torch.Tensor:
    """Loss with the same random numbers, and the running statistics as they were."""
    torch.manual_seed(0)
    before = copy.deepcopy(agent.state_dict())
    loss = agent(batch, log_step=log_step).detach()
    agent.load_state_dict(before)
    return loss


class Recorded:
    """Calls a function, and remembers with what."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((args, kwargs))
        return self.function(*args, **kwargs)


# --------------------------------------------------------------------------------------- the loss


@BOTH
def test_compute_loss_of_a_subclass_is_the_loss(cls, batch):
    class Changed(cls):
        def _compute_loss(self, batch, actor_loss, critic_loss, state_mask):
            assert actor_loss.shape == (B, T, G, 1)
            assert critic_loss.shape == (B, T, self.num_critics, G, 1)
            assert state_mask.shape == (B, T, 1)
            loss = super()._compute_loss(batch, actor_loss, critic_loss, state_mask)
            self.update_info["Extra Loss"] = torch.tensor(7.0)
            return loss + 7.0

    plain, changed = make(cls), make(Changed)
    changed.load_state_dict(plain.state_dict())
    assert_close(loss_of(changed, batch), loss_of(plain, batch) + 7.0)
    assert changed.update_info["Extra Loss"] == 7.0


@BOTH
def test_the_reduction_of_the_ensemble_makes_the_targets(cls, batch):
    agent = make(cls)
    own = Recorded(lambda q: torch.full_like(q[:, :, :1], 30.0))
    before = loss_of(agent, batch)
    agent._reduce_critic_ensemble = own
    assert loss_of(agent, batch) != before
    assert own.calls[0][0][0].shape == (B, T, agent.num_critics, G, 1)


@BOTH
def test_the_n_step_function_makes_the_targets(cls, batch):
    class Constant(cls):
        def _nstep_fn(self, r, d, q, gamma, n, mask):
            assert r.shape == d.shape == (B, T, 1, 1, 1)
            assert q.shape == (B, T, 1, G, 1)
            assert gamma.shape == (G, 1)
            return torch.full_like(q, 12.5)

    agent = make(cls)
    own = Recorded(agent._nstep_fn)
    before = loss_of(agent, batch)
    agent._nstep_fn = own
    assert_close(loss_of(agent, batch), before)
    assert own.calls[0][1]["n"] == agent.n_step
    constant = make(Constant)
    loss_of(constant, batch, log_step=True)
    assert constant.update_info["Min TD Target"] == constant.update_info["Max TD Target"] == 12.5


def test_sampling_of_actions_is_what_the_critics_are_asked_about(batch):
    class Uniform(Agent):
        def _sample_k_actions(self, dist, k):
            assert k == 1
            return torch.full_like(dist.probs, 1.0 / CHOICES)[None]

    agent = make(Uniform, online_coeff=1.0, offline_coeff=0.0, critic_loss_weight=0.0)
    agent(batch, log_step=False).backward()
    gradients = [p.grad for p in agent.actor.parameters()]
    assert all(g is None or not g.any() for g in gradients)  # its value does not depend on it


# ---------------------------------------------------------------------------------- the statistics


@BOTH
def test_statistics_of_a_subclass_are_reported(cls, batch):
    class More(cls):
        def _td_stats(self, mask, evaluation):
            return super()._td_stats(mask, evaluation) | {"td": evaluation.q.shape}

        def _policy_stats(self, mask, a_dist):
            return super()._policy_stats(mask, a_dist) | {"policy": a_dist.probs.shape}

        def _filter_stats(self, mask, logp_a, filter_):
            shapes = mask.shape, logp_a.shape, filter_.shape
            return super()._filter_stats(mask, logp_a, filter_) | {"filter": shapes}

        def _popart_stats(self):
            return super()._popart_stats() | {"popart": len(self.popart.mu)}

    agent = make(More)
    agent(batch, log_step=True)
    assert agent.update_info["td"] == (B, T, agent.num_critics, G, 1)
    assert agent.update_info["policy"] == (B, T + 1, G, CHOICES)
    assert agent.update_info["filter"] == ((B, T, 1), (B, T, G, 1), (B, T, G, 1))
    assert agent.update_info["popart"] == G
    agent(batch, log_step=False)
    assert not {"td", "policy", "filter", "popart"} & agent.update_info.keys()


# ---------------------------------------------------------------------------------- masks, filters


@BOTH
def test_masks_replaced_on_the_instance_decide_what_is_learnt_from(cls, batch):
    agent = make(cls)
    nothing = Recorded(lambda batch, loss, pad_mask: torch.zeros_like(pad_mask))
    agent.edit_actor_mask = agent.edit_critic_mask = nothing
    assert loss_of(agent, batch) == 0.0
    (_, actor_loss, actor_mask), (_, critic_loss, critic_mask) = (args for args, _ in nothing.calls)
    assert actor_loss.shape == actor_mask.shape == (B, T, G, 1)
    assert critic_loss.shape == critic_mask.shape == (B, T, agent.num_critics, G, 1)
    for mask in (actor_mask, critic_mask):
        assert mask.dtype == torch.bool
        assert mask.flatten(2).all(dim=-1).sum(dim=1).tolist() == [T, T - 2]


@BOTH
def test_a_mask_may_be_edited_in_place(cls, batch):
    agent = make(cls)
    loss_of(agent, batch)
    whole = agent.update_info["Critic Loss"]

    def only_the_last_gamma(batch, actor_loss, pad_mask):
        pad_mask[:, :, :-1] = False
        return pad_mask

    agent.edit_actor_mask = only_the_last_gamma
    loss_of(agent, batch)
    assert agent.update_info["Critic Loss"] == whole


@BOTH
def test_a_filter_set_later_weighs_the_next_update(cls, batch):
    agent = make(cls, online_coeff=0.0)
    loss_of(agent, batch)
    agent.fbc_filter_func = torch.zeros_like
    loss_of(agent, batch)
    assert agent.update_info["Actor Loss"] == 0.0


class MaskedFilter:
    """A client's filter: an object with hooks that its training step calls before the update."""

    seq_enabled = True

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.mask: torch.Tensor | None = None

    def set_mask(self, mask: torch.Tensor) -> None:
        self.mask = mask

    def __call__(self, adv: torch.Tensor) -> torch.Tensor:
        assert self.mask is not None
        assert adv.shape == (B, T, G, 1)
        return self.scale * self.mask[:, :, None, None].expand_as(adv)


@BOTH
def test_a_filter_object_keeps_its_hooks_and_is_the_one_that_is_asked(cls, batch):
    agent = make(cls, online_coeff=0.0, fbc_filter_func=MaskedFilter())
    assert agent.fbc_filter_func.seq_enabled
    losses = []
    for mask in (batch.mask, torch.zeros_like(batch.mask)):
        agent.fbc_filter_func.set_mask(mask)
        loss_of(agent, batch)
        losses.append(float(agent.update_info["Actor Loss"]))
    assert losses[0] > 0.0 == losses[1]


def test_a_filter_object_may_be_made_by_gin(batch):
    config.configurable(module="override_points")(MaskedFilter)
    config.parse_bindings(
        ["Agent.fbc_filter_func = @override_points.MaskedFilter()", "MaskedFilter.scale = 0.0"]
    )
    agent = make(online_coeff=0.0)
    agent.fbc_filter_func.set_mask(batch.mask)
    loss_of(agent, batch)
    assert agent.update_info["Actor Loss"] == 0.0


# -------------------------------------------------------------------------------------- the policy


class MyDiscrete(Discrete):
    """A client's policy: with a temperature, and without limits, so that -inf means never."""

    temperature = 1.0

    def forward(self, vec, log_dict=None):
        return _Categorical(logits=vec / self.temperature)


class LegalActor(actor_critic.Actor):
    """A client's actor: rules out illegal actions in place."""

    def actor_network_forward(self, state, log_dict=None, straight_from_obs=None):
        vec = super().actor_network_forward(state, log_dict, straight_from_obs)
        illegal = straight_from_obs["illegal_actions"].bool()
        illegal = illegal & ~illegal.all(dim=-1, keepdim=True)  # padding reads as all illegal
        vec[illegal.unsqueeze(2).expand_as(vec)] = -float("inf")
        return vec


def acting(agent: Agent, count: int, sample: bool = True) -> torch.Tensor:
    """What `count` actors choose, `[count]`."""
    illegal = torch.zeros(count, 1, CHOICES, dtype=torch.bool)
    illegal[..., 2] = True
    with torch.no_grad():
        actions, _ = agent.get_actions(
            obs={"observation": torch.zeros(count, 1, 3), "illegal_actions": illegal},
            rl2s=torch.zeros(count, 1, 1 + CHOICES),
            time_idxs=torch.zeros(count, 1, 1, dtype=torch.int64),
            sample=sample,
        )
    return actions.flatten()


@BOTH
def test_illegal_actions_are_never_chosen_nor_learnt(cls, batch):
    config.bind({"Actor.discrete_dist_type": MyDiscrete})
    agent = make(cls, actor_type=LegalActor, pass_obs_keys_to_actor=["illegal_actions"])
    assert set(acting(agent, 200).tolist()) == {0, 1, 3}
    unchanged = copy.deepcopy(batch.obs)
    loss = agent(batch, log_step=True)
    loss.backward()
    assert torch.isfinite(loss)
    assert agent.update_info["Policy Per-timstep Low Prob. (test-time gamma)"] == 0.0
    for parameter in agent.trainable_params:
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    assert_close(batch.obs, unchanged)


def test_a_temperature_set_at_run_time_changes_the_next_action():
    config.bind({"Actor.discrete_dist_type": MyDiscrete})
    agent = make()
    best = acting(agent, 1, sample=False)
    assert len(set(acting(agent, 200).tolist())) > 1
    agent.actor.policy_dist.temperature = 1e-4
    assert set(acting(agent, 200).tolist()) == set(best.tolist())


# ----------------------------------------------------------------------------------------- copies


@BOTH
def test_every_copy_goes_through_the_overridden_ones(cls):
    class Counting(cls):
        def _full_copy(self, target, online):
            self.update_info.setdefault("full", []).append((target, online))
            super()._full_copy(target, online)

        def _ema_copy(self, target, online, tau=None):
            self.update_info.setdefault("ema", []).append((target, online))
            super()._ema_copy(target, online, tau=0.5)

    agent = make(Counting)
    assert len(agent.update_info["full"]) == 3
    agent.update_info.clear()
    online, target = next(agent.actor.parameters()), next(agent.target_actor.parameters())
    with torch.no_grad():
        online.add_(1.0)
    halfway = (online + target) / 2
    agent.soft_sync_targets()
    assert_close(target, halfway)
    assert agent.update_info["ema"] == [
        (agent.target_critics, agent.critics),
        (agent.target_actor, agent.actor),
    ]
    assert agent.update_info["full"] == [(agent.maximized_critics, agent.critics)]
