import copy

import pytest
import torch
from torch.testing import assert_close

from amago.agent import Agent, MultiTaskAgent, exp_filter
from amago.loading import Batch
from amago.rl.masking import PAD_VALUE

ONE_CRITIC = {"num_critics": 1, "num_critics_td": 1}  # then the random subset is no choice


def gradients(agent) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in agent.named_parameters() if p.grad is not None}


def plain_loss(agent: Agent, batch: Batch) -> torch.Tensor:
    """`Agent`'s loss for discrete actions and one critic, one number at a time."""
    state, _ = agent.get_state_embedding(batch.obs, batch.rl2s, batch.time_idxs)
    pi, slow_pi = agent.actor(state).probs, agent.target_actor(state).probs
    stored = agent.actor.policy_dist.action_from_buffer(batch.actions.clamp(0, 1))

    def q(critics, b, t, g, action):
        every_gamma = action.expand(1, 1, 1, len(agent.gammas), -1)
        return critics(state[b, t][None, None], every_gamma)[0, 0, 0, 0, g, 0]

    targets = {}
    for b, t in batch.mask.nonzero().tolist():
        for g, gamma in enumerate(agent.gammas.tolist()):
            y, k = 0.0, 0
            while k < agent.n_step and t + k < batch.mask.shape[1] and batch.mask[b, t + k]:
                y += gamma**k * agent.reward_multiplier * batch.rews[b, t + k, 0]
                k += 1
                if batch.dones[b, t + k - 1, 0]:
                    break
            else:
                raw = q(agent.target_critics, b, t + k, g, slow_pi[b, t + k, g])
                scaled = agent.popart.w[g, 0] * raw + agent.popart.b[g, 0]
                y += gamma**k * (agent.popart.sigma[g, 0] * scaled + agent.popart.mu[g, 0])
            targets[b, t, g] = y.detach()

    y = torch.full((*batch.mask.shape, 1, len(agent.gammas), 1), 0.0)
    for (b, t, g), value in targets.items():
        y[b, t, 0, g, 0] = value
    agent.popart.update_stats(y, batch.mask[..., None, None, None])

    actor, critic = 0.0, 0.0
    for (b, t, g), value in targets.items():
        mu, sigma, w, bias = (getattr(agent.popart, k)[g, 0] for k in ("mu", "sigma", "w", "b"))
        q_sa = q(agent.critics, b, t, g, stored[b, t])
        v = q(agent.maximized_critics, b, t, g, pi[b, t, g])
        critic += (w * q_sa + bias - (value - mu) / sigma) ** 2
        log_prob = pi[b, t, g][batch.actions[b, t].argmax()].log()
        weight = agent.fbc_filter_func((q_sa - v).detach())
        actor += agent.offline_coeff * -(weight * log_prob)
        actor += agent.online_coeff * -(w * v + bias)
    count = len(targets) + 1e-5
    return (actor + agent.critic_loss_weight * critic) / count


@pytest.mark.parametrize("n_step", [1, 3, 50])
def test_loss_equals_the_definition_worked_one_number_at_a_time(make_agent, make_batch, n_step):
    settings = {"fbc_filter_func": exp_filter, "offline_coeff": 0.7, "n_step": n_step}
    agent = make_agent("discrete", **ONE_CRITIC, **settings).eval()
    perturb(agent.target_critics, agent.target_actor)
    plain = copy.deepcopy(agent)
    loss = agent(make_batch("discrete"), log_step=False)
    assert_close(loss, plain_loss(plain, make_batch("discrete")), atol=1e-4, rtol=1e-4)
    assert_close(agent.popart.state_dict(), plain.popart.state_dict(), atol=1e-4, rtol=1e-4)


def perturb(*modules: torch.nn.Module) -> None:
    with torch.no_grad():
        for module in modules:
            for p in module.parameters():
                p.add_(0.1 * torch.randn_like(p))


def pad_more(batch: Batch, extra: int) -> Batch:
    """The same batch, with more padding on the right."""

    def pad(x: torch.Tensor) -> torch.Tensor:
        filler = torch.full((x.shape[0], extra, *x.shape[2:]), PAD_VALUE).to(x.dtype)
        return torch.cat((x, filler), dim=1)

    fields = {k: pad(getattr(batch, k)) for k in ("rl2s", "rews", "dones", "actions", "time_idxs")}
    return Batch(obs={k: pad(v) for k, v in batch.obs.items()}, **fields)


@pytest.mark.parametrize("n_step", [1, 4])
@pytest.mark.parametrize("fake_filter", [False, True])
def test_padding_changes_neither_loss_nor_gradients(make_agent, make_batch, n_step, fake_filter):
    agent = make_agent("discrete", **ONE_CRITIC, n_step=n_step, fake_filter=fake_filter)
    other = copy.deepcopy(agent)
    loss = agent(make_batch("discrete"), log_step=False)
    more = other(pad_more(make_batch("discrete"), extra=5), log_step=False)
    assert_close(more, loss)
    loss.backward()
    more.backward()
    assert_close(gradients(other), gradients(agent), atol=1e-5, rtol=1e-4)
    assert_close(dict(other.named_buffers()), dict(agent.named_buffers()))


@pytest.mark.parametrize("field", ["rews", "actions", "dones", "obs"])
def test_what_stands_in_padding_has_no_influence(make_agent, make_batch, field: str):
    agent = make_agent("discrete", **ONE_CRITIC, n_step=3)
    agent.eval()  # the running statistics of inputs see whole rows of padding only
    other, batch, changed = copy.deepcopy(agent), make_batch("discrete"), make_batch("discrete")
    padded = ~batch.mask
    assert padded.any()
    if field == "obs":
        changed.obs["observation"][:, 1:][padded] = 17.0
    elif field == "dones":
        changed.dones[padded] = False
    else:
        getattr(changed, field)[padded] = -100.0
    assert_close(other(changed, log_step=False), agent(batch, log_step=False))


@pytest.mark.parametrize("cls", [Agent, MultiTaskAgent])
@pytest.mark.parametrize("kind", ["discrete", "continuous", "multidiscrete"])
def test_no_gradient_reaches_targets_or_the_maximised_copy(
    make_agent, make_batch, cls, kind
):  # item 21.4
    agent = make_agent(kind, cls, online_coeff=1.0, offline_coeff=1.0)
    agent(make_batch(kind), log_step=False).backward()
    for copied in (agent.target_critics, agent.target_actor, agent.maximized_critics):
        assert all(p.grad is None and not p.requires_grad for p in copied.parameters())
    for p in agent.trainable_params:
        assert p.grad is not None


@pytest.mark.parametrize("cls", [Agent, MultiTaskAgent])
@pytest.mark.parametrize("kind", ["discrete", "continuous", "multidiscrete"])
def test_the_online_loss_moves_the_actor_and_not_the_state_through_its_value(
    make_agent, make_batch, cls, kind
):
    agent = make_agent(kind, cls, online_coeff=1.0, offline_coeff=0.0, critic_loss_weight=0.0)
    with torch.no_grad():  # a policy that ignores the state: only the value depends on it
        agent.actor.base.in_layer.weight.zero_()
    agent(make_batch(kind), log_step=False).backward()
    assert agent.actor.base.out_layer.bias.grad.abs().sum() > 0
    assert sum(p.grad.abs().sum() for p in agent.tstep_encoder.parameters()) == 0


@pytest.mark.parametrize("cls", [Agent, MultiTaskAgent])
def test_plain_imitation_asks_no_critic(make_agent, make_batch, cls, monkeypatch):
    agent = make_agent("continuous", cls, fake_filter=True, online_coeff=0.0, offline_coeff=1.0)
    for critics in (agent.critics, agent.target_critics, agent.maximized_critics):
        monkeypatch.setattr(critics, "forward", None)  # not callable
    before = copy.deepcopy(agent.popart.state_dict())
    agent(make_batch("continuous"), log_step=True).backward()
    assert agent.update_info["Critic Loss"] == 0.0
    assert all(p.grad is None for p in agent.critics.parameters())
    assert_close(agent.popart.state_dict(), before)


def test_a_fake_filter_imitates_everything(make_agent, make_batch):
    agent = make_agent("discrete", **ONE_CRITIC, online_coeff=0.0, fake_filter=True)
    everything = copy.deepcopy(agent)
    everything.fake_filter, everything.fbc_filter_func = False, torch.ones_like
    batch = make_batch("discrete")
    agent(batch, log_step=False)
    everything(batch, log_step=False)
    assert_close(agent.update_info["Actor Loss"], everything.update_info["Actor Loss"])


@pytest.mark.parametrize(("cls", "reads_maximised"), [(Agent, True), (MultiTaskAgent, False)])
def test_agents_read_their_baseline_from_different_critics(
    make_agent, make_batch, cls, reads_maximised: bool
):
    agent = make_agent("continuous", cls, online_coeff=0.0).eval()
    advantages: list[torch.Tensor] = []
    agent.fbc_filter_func = lambda advantage: advantages.append(advantage) or advantage
    for change in (lambda: None, lambda: perturb(agent.maximized_critics)):
        change()
        torch.manual_seed(1)  # the same actions are drawn
        agent(make_batch("continuous"), log_step=False)
    assert torch.equal(*advantages) != reads_maximised
    assert not advantages[0].requires_grad


def test_terminals_alone_stop_the_bootstrap(make_agent, make_batch):
    agent, batch = make_agent("discrete", **ONE_CRITIC), make_batch("discrete", lengths=(1, 1))
    batch.dones = torch.tensor([True, False])[:, None, None]
    seen = []
    agent._nstep_fn = lambda **kw: (seen.append(kw), Agent._nstep_fn(**kw))[1]
    agent(batch, log_step=False)
    y = Agent._nstep_fn(**seen[0])
    reward = 10.0 * batch.rews[:, 0]
    assert_close(y[0, 0, 0], reward[0].expand(3, 1))
    assert_close(y[1, 0, 0], reward[1] + agent.gammas[:, None] * seen[0]["q"][1, 0, 0])


def test_the_loss_is_float32_under_autocast(make_agent, make_batch):
    for cls in (Agent, MultiTaskAgent):
        agent = make_agent("continuous", cls, online_coeff=1.0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = agent(make_batch("continuous"), log_step=True)
        loss.backward()
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss)
