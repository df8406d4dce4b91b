"""What both agents promise of a batch, whatever the actions and the sequence model.

A batch is a set of sequences: neither their order, nor padding, nor each other's company matters.
What a critic says of a timestep depends on nothing later. Critics are averaged rather than drawn at
random and policies act on their best guess, so that two computations of the same are comparable.
"""

import copy
from itertools import product
from typing import Any

import gymnasium as gym
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small_networks import SMALL as NETWORKS
from torch.testing import assert_close

from amago.agent import Agent, MultiTaskAgent, exp_filter
from amago.agent.actions import ExactActions, SampledActions
from amago.core.config import bind, clear
from amago.loading import Batch, RLData, RLData_pad_collate
from amago.nets.policy_dists import Multibinary
from amago.nets.traj_encoders import GRUTrajEncoder, TformerTrajEncoder
from amago.nets.tstep_encoders import FFTstepEncoder
from amago.rl.masking import PAD_VALUE

SPACES = {
    "discrete": (gym.spaces.Discrete(3), 3),
    "continuous": (gym.spaces.Box(-1.0, 1.0, (2,)), 2),
    "multibinary": (gym.spaces.MultiBinary(4), 4),
}
ENCODERS = [GRUTrajEncoder, TformerTrajEncoder]
AGENTS = list(product([Agent, MultiTaskAgent], SPACES))
EVERY = list(product([Agent, MultiTaskAgent], SPACES, ENCODERS))

SMALL = NETWORKS | {
    "TformerTrajEncoder.d_model": 8,
    "TformerTrajEncoder.n_heads": 2,
    "TformerTrajEncoder.d_ff": 8,
    "TformerTrajEncoder.n_layers": 1,
    "TformerTrajEncoder.dropout_ff": 0.0,
    "TformerTrajEncoder.dropout_emb": 0.0,
}

SIZE_OF_THE_PADDED_BATCH = {"Sequence Length", "Batch Size (in Timesteps)"}
ROUNDING = 5e-6  # of float32 sums, relative to the largest number

ESTIMATE = "Policy Entropy (test-time gamma)"  # of one random draw
OF_EVERYTHING_COMPUTED = "activation-"  # statistics of tensors, padding and all


class BestGuesses(SampledActions):
    """Instead of samples: the likeliest choice or the mean, with the gradient of a sample."""

    def draw(self, dist: Any, k: int, with_gradient: bool) -> torch.Tensor:
        if self.discrete:
            best = F.one_hot(dist.probs.argmax(dim=-1), dist.probs.shape[-1])
            best = best + dist.probs - dist.probs.detach()
        else:
            best = dist.mean
        return best.expand(k, *best.shape)


def soft_filter(advantage: torch.Tensor) -> torch.Tensor:
    return exp_filter(advantage, beta=0.1)


def make_agent(
    cls: type[Agent], kind: str, encoder: type = GRUTrajEncoder, random: bool = False, **options
) -> Agent:
    """A tiny agent in training mode, with targets and a maximised copy of their own."""
    clear()
    bind(SMALL)
    if kind == "multibinary":
        bind({"Actor.continuous_dist_type": Multibinary})
    action_space, width = SPACES[kind]
    defaults = {
        "online_coeff": 0.0 if kind == "multibinary" else 0.5,
        "offline_coeff": 1.0,
        "num_critics": 2,
        "fbc_filter_func": soft_filter,
    }
    agent = cls(
        obs_space=gym.spaces.Dict({"observation": gym.spaces.Box(-1.0, 1.0, (4,))}),
        rl2_space=gym.spaces.Box(-1.0, 1.0, (1 + width,)),
        action_space=action_space,
        max_seq_len=8,
        tstep_encoder_type=FFTstepEncoder,
        traj_encoder_type=encoder,
        **(defaults | options),
    ).train()
    for copied in (agent.target_critics, agent.target_actor, agent.maximized_critics):
        for p in copied.parameters():
            p.data.add_(0.05 * torch.randn_like(p))
    if not random:
        agent._reduce_critic_ensemble = lambda q: q.mean(dim=2, keepdim=True)
        if not (agent.discrete and issubclass(agent.actions_type, ExactActions)):
            agent.actions_type = BestGuesses
    return agent


def sequence(kind: str, length: int, rng: torch.Generator) -> RLData:
    """Random actions, rewards and observations; about half of all sequences terminate."""
    width = SPACES[kind][1]
    actions = 2.0 * torch.rand(length, width, generator=rng) - 1.0
    if kind == "discrete":
        actions = F.one_hot(actions.argmax(dim=-1), width).float()
    elif kind == "multibinary":
        actions = (actions < 0.0).float()
    dones = torch.zeros(length, 1, dtype=torch.bool)
    dones[-1] = bool(torch.rand((), generator=rng) < 0.5)
    return RLData(
        obs={"observation": torch.randn(length + 1, 4, generator=rng)},
        rews=torch.randn(length, 1, generator=rng),
        dones=dones,
        actions=actions,
        time_idxs=torch.arange(length + 1)[:, None],
    )


def make_batch(kind: str, lengths: tuple[int, ...] = (6, 4, 2), seed: int = 0) -> Batch:
    """Lengths count transitions."""
    rng = torch.Generator().manual_seed(seed)
    return RLData_pad_collate([sequence(kind, length, rng) for length in lengths])


def every_field(batch: Batch, change: Any) -> Batch:
    """A batch made of `change(field)` for every field."""
    return every_pair(batch, batch, lambda x, _: change(x))


def every_pair(batch: Batch, other: Batch, merge: Any) -> Batch:
    """A batch made of `merge(field, field of the other)` for every field."""
    names = ("rl2s", "rews", "dones", "actions", "time_idxs")
    fields = {name: merge(getattr(batch, name), getattr(other, name)) for name in names}
    obs = {key: merge(value, other.obs[key]) for key, value in batch.obs.items()}
    return Batch(obs=obs, **fields)


def filler(x: torch.Tensor, *shape: int) -> torch.Tensor:
    return torch.full((*shape, *x.shape[2:]), PAD_VALUE).to(x.dtype)


def longer(batch: Batch, extra: int) -> Batch:
    """With `extra` more timesteps of padding."""
    return every_field(batch, lambda x: torch.cat((x, filler(x, x.shape[0], extra)), dim=1))


def with_empty_row(batch: Batch) -> Batch:
    """With one more sequence, which is nothing but padding."""
    return every_field(batch, lambda x: torch.cat((x, filler(x, 1, x.shape[1]))))


def learnt(agent: Agent, batch: Batch) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Loss and metrics by name; gradients and running statistics by name. Leaves `agent` alone."""
    agent = copy.deepcopy(agent)
    loss = agent(batch, log_step=True)
    loss.backward()
    found = {name: p.grad for name, p in agent.named_parameters() if p.grad is not None}
    found |= dict(agent.named_buffers())
    info = {k: v for k, v in agent.update_info.items() if isinstance(v, torch.Tensor | float)}
    comparable = {k: v for k, v in info.items() if not k.startswith(OF_EVERYTHING_COMPUTED)}
    comparable.pop(ESTIMATE, None)
    return {"loss": loss.detach()} | comparable, found


def assert_learns_the_same(agent: Agent, batch: Batch, other: Batch) -> None:
    info, tensors = learnt(agent, batch)
    other_info, other_tensors = learnt(agent, other)
    for name, value in info.items():
        assert_close(other_info[name], value, rtol=1e-5, atol=1e-6, msg=lambda m, n=name: n + m)
    scale = max(float(x.abs().max()) for x in tensors.values())
    assert tensors.keys() == other_tensors.keys()
    for name, x in tensors.items():
        assert (other_tensors[name] - x).abs().max() <= ROUNDING * max(1.0, scale), name


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize(("cls", "kind", "encoder"), EVERY)
def test_padding_changes_no_loss_metric_or_gradient(cls, kind, encoder, n_step):
    batch = make_batch(kind)
    agent = make_agent(cls, kind, encoder, n_step=n_step)
    assert_learns_the_same(agent, batch, longer(batch, extra=5))


@pytest.mark.parametrize(("cls", "kind", "encoder"), EVERY)
def test_a_row_of_nothing_but_padding_changes_nothing(cls, kind, encoder):
    batch = make_batch(kind)
    assert_learns_the_same(make_agent(cls, kind, encoder), batch, with_empty_row(batch))


@pytest.mark.parametrize(("cls", "kind", "encoder"), EVERY)
def test_the_order_of_sequences_does_not_matter(cls, kind, encoder):
    agent, batch = make_agent(cls, kind, encoder), make_batch(kind)
    shuffled = every_field(batch, lambda x: x[[2, 0, 1]])
    assert_learns_the_same(agent, batch, shuffled)
    values, others = agent.eval().get_values(batch), agent.get_values(shuffled)
    assert_close(others, {name: x[[2, 0, 1]] for name, x in values.items()}, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("cls", "kind", "encoder"), EVERY)
def test_losses_of_a_batch_are_the_weighted_mean_of_those_of_its_sequences(cls, kind, encoder):
    # without running statistics, which see a batch as a whole
    agent = make_agent(cls, kind, encoder, popart=False).eval()
    rng = torch.Generator().manual_seed(3)
    sequences = [sequence(kind, length, rng) for length in (5, 2)]
    together = RLData_pad_collate(sequences)
    for name, each in (("Actor Loss", 3), ("Critic Loss", 2 * 3)):  # discounts; critics
        sums, counts = 0.0, 0
        for one in sequences:
            agent(RLData_pad_collate([one]), log_step=False)
            sums += agent.update_info[name] * (len(one) * each + 1e-5)
            counts += len(one) * each
        agent(together, log_step=False)
        assert_close(agent.update_info[name], sums / (counts + 1e-5), rtol=1e-5, atol=1e-6)


@settings(max_examples=8)
@given(st.sampled_from(EVERY), st.integers(0, 5), st.integers(0, 1000))
def test_values_do_not_depend_on_the_future(which, t, seed):
    torch.manual_seed(0)
    agent = make_agent(*which).eval()
    batch, other = (make_batch(which[1], (6, 6), s) for s in (seed, seed + 1))

    mixed = every_pair(batch, other, lambda x, y: torch.cat((x[:, : t + 1], y[:, t + 1 :]), dim=1))
    values, found = agent.get_values(batch), agent.get_values(mixed)
    for name in ("q_sa", "v_s", "advantage", "filter_weights", "q_sa_std", "v_s_std"):
        assert_close(found[name][:, : t + 1], values[name][:, : t + 1], rtol=1e-5, atol=1e-5)
    if t < 5:
        assert not torch.allclose(found["q_sa"][:, t + 1 :], values["q_sa"][:, t + 1 :])


@pytest.mark.parametrize(("cls", "kind"), AGENTS)
def test_more_steps_than_the_batch_has_are_all_of_them(cls, kind):
    batch = make_batch(kind)
    exact, beyond = (learnt(make_seeded(cls, kind, n_step=n), batch)[0] for n in (6, 60))
    assert_close(beyond, exact)


def make_seeded(cls: type[Agent], kind: str, **options: Any) -> Agent:
    torch.manual_seed(7)
    return make_agent(cls, kind, **options)


def plain_value(agent: Agent, state: torch.Tensor, actions: torch.Tensor, g: int) -> torch.Tensor:
    """What each critic says of one state `[D]` and action `[A]`, in units of return, `[C]`."""
    every_gamma = actions.expand(1, 1, 1, len(agent.gammas), -1)
    output = agent.critics(state[None, None], every_gamma)
    if isinstance(agent, MultiTaskAgent):
        probs, bins = output.probs[0, 0, 0, :, g], agent.critics.bin_vals
        centred = (probs * bins).sum(dim=-1)
        return torch.sign(centred) * torch.expm1(centred.abs())
    normalized = agent.popart.w[g] * output[0, 0, 0, :, g, 0] + agent.popart.b[g]
    return agent.popart.sigma[g] * normalized + agent.popart.mu[g]


@torch.no_grad()
@pytest.mark.parametrize(("cls", "kind"), AGENTS)
def test_values_agree_with_one_number_at_a_time(cls, kind):
    agent, batch = make_agent(cls, kind), make_batch(kind)
    agent(batch, log_step=False)  # then statistics are not those of a new layer
    values = agent.eval().get_values(batch)
    state, _ = agent.get_state_embedding(batch.obs, batch.rl2s, batch.time_idxs)
    dist = agent.actor(state)
    own = dist.mean if kind != "discrete" else dist.probs
    if cls is MultiTaskAgent and kind == "discrete":
        own = F.one_hot(own.argmax(dim=-1), 3).float()
    stored = agent.actor.policy_dist.action_from_buffer(batch.actions)
    for b, t in batch.mask.nonzero().tolist():
        for g in range(len(agent.gammas)):
            q = plain_value(agent, state[b, t], stored[b, t], g)
            v = plain_value(agent, state[b, t], own[b, t, g], g)
            unit = 1.0 if cls is MultiTaskAgent else agent.popart.sigma[g, 0]
            expected = {
                "q_sa": q.mean(),
                "v_s": v.mean(),
                "advantage": q.mean() - v.mean(),
                "filter_weights": (0.1 * (q.mean() - v.mean()) / unit).exp(),
                "q_sa_std": (q[0] - q[1]).abs() / 2**0.5,
                "v_s_std": (v[0] - v[1]).abs() / 2**0.5,
            }
            found = {name: values[name][b, t, g, 0] for name in expected}
            assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert_close(values["state_mask"], batch.mask[..., None])


@pytest.mark.parametrize(("cls", "kind"), AGENTS)
@pytest.mark.parametrize("seed", range(3))
def test_hooks_decide_which_transitions_count_and_how_much_each(cls, kind, seed):
    agent, batch = make_agent(cls, kind), make_batch(kind)
    seen = {}

    def keep_some(loss: torch.Tensor, mask: torch.Tensor, name: str) -> torch.Tensor:
        kept = mask & (torch.rand(mask.shape, generator=torch.Generator().manual_seed(seed)) < 0.5)
        loss.retain_grad()
        seen[name] = (loss, mask, kept)
        return kept

    agent.edit_actor_mask = lambda batch, actor_loss, pad_mask: keep_some(
        actor_loss, pad_mask, "Actor Loss"
    )
    agent.edit_critic_mask = lambda batch, critic_loss, pad_mask: keep_some(
        critic_loss, pad_mask, "Critic Loss"
    )
    agent(batch, log_step=False).backward()
    for name, weight in (("Actor Loss", 1.0), ("Critic Loss", agent.critic_loss_weight)):
        loss, mask, kept = seen[name]
        assert (mask == batch.mask.reshape(3, 6, *(1,) * (mask.ndim - 2))).all()
        assert_close(agent.update_info[name], loss[kept].mean(), rtol=1e-4, atol=1e-5)
        assert_close(loss.grad, weight * kept / (kept.sum() + 1e-5), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("online_coeff", [0.0, 1.0])
def test_choices_of_many_tasks_are_learnt_with_torch_s_argument_checks_on(online_coeff):
    assert torch.distributions.Distribution._validate_args
    agent = make_agent(MultiTaskAgent, "discrete", random=True, online_coeff=online_coeff)
    optimizer = torch.optim.AdamW(agent.trainable_params, lr=3e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = agent(make_batch("discrete"), log_step=True)
        loss.backward()
        agent.soft_sync_targets()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(("cls", "kind"), AGENTS)
def test_one_critic_disagrees_with_nobody(cls, kind):
    agent = make_agent(cls, kind, random=True, num_critics=1, num_critics_td=1).eval()
    values = agent.get_values(make_batch(kind))
    assert not values["q_sa_std"].any()
    assert not values["v_s_std"].any()


@pytest.mark.parametrize(("cls", "kind", "encoder"), EVERY)
def test_one_valid_transition_is_enough(cls, kind, encoder):
    agent = make_agent(cls, kind, encoder, random=True)
    for batch in (make_batch(kind, (1,)), longer(with_empty_row(make_batch(kind, (1,))), extra=3)):
        info, tensors = learnt(agent, batch)
        assert all(torch.as_tensor(value).isfinite().all() for value in info.values())
        assert all(x.isfinite().all() for x in tensors.values())


@pytest.mark.parametrize(("cls", "kind", "encoder"), EVERY)
def test_a_batch_of_nothing_but_padding_teaches_nothing(cls, kind, encoder):
    agent = make_agent(cls, kind, encoder, random=True)
    spectral = (".u", ".v")  # of weights: they follow whatever the batch
    before = {k: x.clone() for k, x in agent.named_buffers() if not k.endswith(spectral)}
    loss = agent(every_field(make_batch(kind), lambda x: filler(x, *x.shape[:2])), log_step=False)
    loss.backward()
    assert loss == 0.0
    assert not any(p.grad is not None and p.grad.any() for p in agent.parameters())
    now = dict(agent.named_buffers())
    assert_close({name: now[name] for name in before}, before, rtol=0.0, atol=0.0)
