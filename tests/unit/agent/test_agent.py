import copy

import gymnasium as gym
import pytest
import torch
from torch.testing import assert_close

from amago.agent import Agent, MultiTaskAgent, binary_filter
from amago.core.errors import AmagoWarning, ConfigError
from amago.nets.actor_critic import Actor, ResidualActor

KINDS = ["discrete", "continuous", "multibinary", "multidiscrete"]
BOTH = pytest.mark.parametrize("cls", [Agent, MultiTaskAgent])
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def loss_of(agent, batch, seed: int = 3) -> torch.Tensor:
    """Loss with the running statistics left as they were."""
    torch.manual_seed(seed)
    return copy.deepcopy(agent)(batch, log_step=False).detach()


# ------------------------------------------------------------------------------------- acting


def inputs(width: int, batch: int = 2, length: int = 1) -> dict[str, torch.Tensor]:
    return {
        "obs": {"observation": torch.randn(batch, length, 4)},
        "rl2s": torch.randn(batch, length, 1 + width),
        "time_idxs": torch.arange(length).expand(batch, length)[..., None],
    }


@pytest.mark.parametrize("sample", [True, False])
@BOTH
def test_actions_have_the_shape_and_type_of_their_space(make_agent, cls, sample: bool):
    for kind, width, shape, dtype in (
        ("discrete", 3, (2, 5, 1), torch.uint8),
        ("continuous", 2, (2, 5, 2), torch.float32),
        ("multibinary", 4, (2, 5, 4), torch.uint8),
    ):
        actions, _ = make_agent(kind, cls).get_actions(**inputs(width, length=5), sample=sample)
        assert actions.shape == shape
        assert actions.dtype == dtype


@pytest.mark.parametrize(("choices", "dtype"), [(256, torch.uint8), (257, torch.int64)])
def test_choices_that_do_not_fit_a_byte_are_int64(make_agent, choices: int, dtype):
    agent = make_agent("discrete", action_space=gym.spaces.Discrete(choices))
    actions, _ = agent.get_actions(**inputs(3))
    assert actions.dtype == dtype


def test_the_policy_of_the_last_discount_acts(make_agent):
    agent = make_agent("discrete")
    with torch.no_grad():
        agent.actor.base.out_layer.weight.zero_()
        agent.actor.base.out_layer.bias.copy_(
            torch.tensor([9.0, 0, 0, 9.0, 0, 0, 0, 0, 9.0])  # choice 2 at the last discount only
        )
    actions, _ = agent.get_actions(**inputs(3, batch=50), sample=False)
    assert (actions == 2).all()
    sampled, _ = agent.get_actions(**inputs(3, batch=50), sample=True)
    assert (sampled == 2).float().mean() > 0.9


def test_the_best_guess_of_switches_is_the_likelier_side(make_agent):  # item 21.5
    agent = make_agent("multibinary")
    with torch.no_grad():
        agent.actor.base.out_layer.weight.zero_()
        agent.actor.base.out_layer.bias.copy_(torch.tensor([0.4, -0.4, 3.0, -3.0]).repeat(3))
    actions, _ = agent.get_actions(**inputs(4), sample=False)
    assert actions[0, 0].tolist() == [1, 0, 1, 0]


def test_acting_step_by_step_equals_acting_on_the_whole(make_agent):
    agent, whole = make_agent("continuous").eval(), inputs(2, length=6)
    at_once, _ = agent.get_actions(**whole, sample=False)
    hidden, steps = agent.init_hidden_state(2, torch.device("cpu")), []
    for t in range(6):
        step = {
            "obs": {"observation": whole["obs"]["observation"][:, t : t + 1]},
            "rl2s": whole["rl2s"][:, t : t + 1],
            "time_idxs": whole["time_idxs"][:, t : t + 1],
        }
        action, hidden = agent.get_actions(**step, hidden_state=hidden, sample=False)
        steps.append(action)
    assert_close(torch.cat(steps, dim=1), at_once, atol=1e-5, rtol=1e-4)


class Listening(Actor):
    """Remembers what it was handed."""

    heard: list = []

    def actor_network_forward(self, state, log_dict=None, straight_from_obs=None):
        self.heard.append(straight_from_obs)
        return super().actor_network_forward(state, log_dict, straight_from_obs)


@pytest.mark.parametrize("keys", [None, ["observation"]])
def test_promised_observations_reach_the_actor_the_target_and_the_rollout(
    make_agent, make_batch, keys
):
    Listening.heard = []
    agent = make_agent("discrete", actor_type=Listening, pass_obs_keys_to_actor=keys)
    batch = make_batch("discrete")
    agent(batch, log_step=False)
    agent.get_actions(**inputs(3))
    agent.get_values(batch)
    assert len(Listening.heard) == 4  # actor, target actor, rollout, inspection
    for heard in Listening.heard:
        assert heard is None if keys is None else set(heard) == set(keys)
    if keys is not None:
        assert Listening.heard[1]["observation"] is batch.obs["observation"]


# ------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("critics", [1, 5])
@pytest.mark.parametrize("batch_size", [1, 5])
@EVERY_KIND
@BOTH
def test_any_number_of_samples_critics_and_sequences_gives_a_loss(
    make_agent, make_batch, cls, kind, k: int, critics: int, batch_size: int
):
    agent = make_agent(
        kind,
        cls,
        num_critics=critics,
        num_critics_td=1,
        num_actions_for_value_in_critic_loss=k,
        num_actions_for_value_in_actor_loss=k,
    )
    batch = make_batch(kind, lengths=(3,) * batch_size)
    loss = agent(batch, log_step=True)
    loss.backward()
    assert loss.shape == ()
    assert torch.isfinite(loss)
    values = agent.get_values(batch)
    assert values.pop("state_mask").shape == (batch_size, 3, 1)
    assert len(values) == 6
    for value in values.values():
        assert value.shape == (batch_size, 3, 3, 1)
        assert torch.isfinite(value).all()


def test_the_deviation_of_one_critic_is_zero(make_agent, make_batch):  # item 21.11
    agent = make_agent("discrete", num_critics=1, num_critics_td=1)
    values = agent.get_values(make_batch("discrete"))
    assert (values["q_sa_std"] == 0).all()
    assert (values["v_s_std"] == 0).all()


def test_inspection_changes_nothing(make_agent, make_batch):
    agent = make_agent("discrete").eval()
    before = copy.deepcopy(agent.state_dict())
    values = agent.get_values(make_batch("discrete"))
    assert_close(agent.state_dict(), before)
    assert_close(values["advantage"], values["q_sa"] - values["v_s"])
    assert not values["q_sa"].requires_grad


# -------------------------------------------------------------------------------------- hooks


@pytest.mark.parametrize("hook", ["edit_actor_mask", "edit_critic_mask"])
@BOTH
def test_a_mask_hook_replaced_on_the_instance_is_honoured(make_agent, make_batch, cls, hook):
    agent, batch, seen = make_agent("discrete", cls), make_batch("discrete"), []

    def nothing(batch, loss, pad_mask):
        seen.append((batch, loss, pad_mask))
        return torch.zeros_like(pad_mask)

    setattr(agent, hook, nothing)
    agent(batch, log_step=False)
    [(given, loss, mask)] = seen
    assert given is batch
    assert mask.dtype == torch.bool
    assert mask.shape == loss.shape == ((3, 6, 3, 1) if "actor" in hook else (3, 6, 4, 3, 1))
    name = "Actor Loss" if "actor" in hook else "Critic Loss"
    assert agent.update_info[name] == 0.0
    if "actor" in hook:
        assert agent.update_info["Unmasked Batch Size (in Timesteps)"] == 0


def test_a_hook_may_edit_its_mask_in_place(make_agent, make_batch):
    def drop_first(batch, loss, pad_mask):
        pad_mask[:, 0, ..., 0, :] = False
        return pad_mask

    agent, batch = make_agent("discrete"), make_batch("discrete", lengths=(4, 4))
    agent.edit_actor_mask = agent.edit_critic_mask = drop_first
    agent(batch, log_step=False)
    assert agent.update_info["Unmasked Batch Size (in Timesteps)"] == 6
    assert batch.mask.all()


def test_an_edited_mask_selects_transitions(make_agent, make_batch):
    agent, batch = make_agent("discrete"), make_batch("discrete", lengths=(4, 4))
    agent.edit_actor_mask = lambda batch, loss, mask: mask & (torch.arange(4) < 1)[:, None, None]
    agent(batch, log_step=False)
    assert agent.update_info["Unmasked Batch Size (in Timesteps)"] == 2


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fbc_filter_func", torch.zeros_like),
        ("reward_multiplier", 1.0),
        ("n_step", 3),
        ("online_coeff", 0.0),
        ("offline_coeff", 3.0),
        ("critic_loss_weight", 0.0),
        ("fake_filter", True),
        ("use_target_actor", False),
        ("gammas", torch.tensor([0.1, 0.2, 0.3])),
        ("_reduce_critic_ensemble", lambda q: 100.0 + q.mean(dim=2, keepdim=True)),
        ("_nstep_fn", lambda r, d, q, gamma, n, mask: 1.0 + r + gamma * q),
        ("_sample_k_actions", lambda dist, k: torch.zeros(k, *dist.mean.shape)),
    ],
)
def test_a_setting_changed_after_construction_takes_effect(make_agent, make_batch, setting, value):
    agent, batch = make_agent("continuous"), make_batch("continuous")
    with torch.no_grad():
        for p in agent.target_actor.parameters():
            p.add_(0.3)
    before = loss_of(agent, batch)
    setattr(agent, setting, value)
    after = loss_of(agent, batch)
    assert (after - before).abs() > 1e-6


def test_a_replaced_module_is_used(make_agent, make_batch):
    agent, batch = make_agent("discrete"), make_batch("discrete")
    before = loss_of(agent, batch)
    agent.critics = copy.deepcopy(agent.critics)
    with torch.no_grad():
        agent.critics.net.output_layer.bias.add_(1.0)
    assert (loss_of(agent, batch) - before).abs() > 1e-4


def test_a_client_may_compute_the_loss_itself(make_agent, make_batch):
    class Half(Agent):
        def _compute_loss(self, batch, actor_loss, critic_loss, state_mask):
            assert state_mask.shape == (3, 6, 1)
            return 0.5 * super()._compute_loss(batch, actor_loss, critic_loss, state_mask)

    one_critic = {"num_critics": 1, "num_critics_td": 1}
    torch.manual_seed(0)
    whole = make_agent("discrete", **one_critic)
    half = make_agent("discrete", Half, **one_critic)
    half.load_state_dict(whole.state_dict())
    batch = make_batch("discrete")
    assert_close(half(batch, log_step=False), 0.5 * whole(batch, log_step=False))


def test_extra_networks_are_made_before_targets_are_synchronised(make_agent):
    class Extra(Agent):
        def init_extra_networks(self):
            self.extra = torch.nn.Linear(self.state_dim, 1)

        def hard_sync_targets(self):
            assert hasattr(self, "extra")
            super().hard_sync_targets()

    assert "extra.weight" in make_agent("discrete", Extra).state_dict()


# --------------------------------------------------------------------- parameters, copies, state


def test_state_is_stored_in_the_published_order(make_agent):
    keys = make_agent("discrete").state_dict()
    prefixes = list(dict.fromkeys(key.split(".")[0] for key in keys))
    assert prefixes == [
        "tstep_encoder",
        "traj_encoder",
        "popart",
        "critics",
        "target_critics",
        "maximized_critics",
        "actor",
        "target_actor",
    ]
    assert [key for key in keys if "gammas" in key or "bin_vals" in key] == []


def test_trainable_parameters_are_a_fresh_iterator_over_the_online_networks(make_agent):
    agent = make_agent("discrete")
    first, second = list(agent.trainable_params), list(agent.trainable_params)
    assert len(first) == len(second) > 0
    assert all(p.requires_grad for p in first)
    wanted = ("tstep_encoder.", "traj_encoder.", "critics.", "actor.")
    assert len(first) == sum(name.startswith(wanted) for name, _ in agent.named_parameters())


def test_copies_start_equal_and_are_not_the_same(make_agent):
    agent = make_agent("continuous")
    for copied, online in (
        (agent.target_critics, agent.critics),
        (agent.maximized_critics, agent.critics),
        (agent.target_actor, agent.actor),
    ):
        assert_close(copied.state_dict(), online.state_dict())
        shared = {p.data_ptr() for p in copied.parameters()} & {
            p.data_ptr() for p in online.parameters()
        }
        assert not shared


def test_targets_follow_by_tau_and_the_maximised_copy_at_once(make_agent):
    agent = make_agent("discrete", tau=0.25)
    bias = "net.output_layer.bias"
    old = agent.critics.state_dict()[bias].clone()
    with torch.no_grad():
        agent.critics.net.output_layer.bias.add_(1.0)
        agent.actor.base.out_layer.bias.add_(2.0)
    old_actor = agent.target_actor.base.out_layer.bias.detach().clone()
    agent.soft_sync_targets()
    assert_close(agent.target_critics.state_dict()[bias], old + 0.25)
    assert_close(agent.maximized_critics.state_dict()[bias], old + 1.0)
    assert_close(agent.target_actor.base.out_layer.bias.detach(), old_actor + 0.5)
    agent.tau = 1.0
    agent.soft_sync_targets()
    assert_close(agent.target_critics.state_dict()[bias], old + 1.0)


def test_an_explicit_tau_wins_over_the_agent_s(make_agent):
    agent = make_agent("discrete", tau=0.9)
    target, online = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(target.weight)
    torch.nn.init.ones_(online.weight)
    agent._ema_copy(target, online, tau=0.1)
    assert_close(target.weight.detach(), torch.tensor([[0.1]]))
    agent._ema_copy(target, online)
    assert_close(target.weight.detach(), torch.tensor([[0.91]]))


def test_discounts_move_with_the_agent_and_keep_their_digits(make_agent):
    agent = make_agent("discrete")
    assert agent.to(torch.bfloat16).gammas.dtype == torch.float32
    agent.to("meta")
    assert agent.gammas.device.type == "meta"
    assert agent.critics.gammas.device.type == "meta"


def test_gradient_norms_are_named_numbers(make_agent, make_batch):
    agent = make_agent("discrete")
    assert set(agent.get_grad_norms().values()) == {0.0}
    agent(make_batch("discrete"), log_step=False).backward()
    norms = agent.get_grad_norms()
    assert list(norms) == [
        "Actor Grad Norm",
        "Critic Grad Norm",
        "TrajEncoder Grad Norm",
        "TstepEncoder Grad Norm",
    ]
    squares = sum(p.grad.square().sum() for p in agent.critics.parameters())
    assert norms["Critic Grad Norm"] == pytest.approx(squares.sqrt().item())


# ------------------------------------------------------------------------------- construction


def test_settings_are_kept_under_their_own_names(make_agent):
    agent = make_agent("discrete", tau=0.1, n_step=2, actor_type=ResidualActor)
    assert (agent.tau, agent.n_step, agent.actor_type) == (0.1, 2, ResidualActor)
    assert agent.fbc_filter_func is binary_filter
    assert agent.pad_val == 4.0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_critics": 1}, "num_critics_td"),
        ({"n_step": 0}, "n_step"),
        ({"num_actions_for_value_in_actor_loss": 0}, "num_actions_for_value_in_actor_loss"),
    ],
)
def test_impossible_settings_are_refused(make_agent, settings: dict, says: str):
    with pytest.raises(ConfigError, match=says):
        make_agent("continuous", **settings)


def test_an_online_loss_without_effect_is_warned_of(make_agent):
    with pytest.warns(AmagoWarning, match="online_coeff"):
        make_agent("multibinary", online_coeff=1.0)


def test_exact_values_take_no_more_than_one_sample(make_agent):
    agent = make_agent("discrete")
    dist = agent.actor(torch.zeros(1, 1, 6))
    assert_close(agent._sample_k_actions(dist, 1), dist.probs[None])
    with pytest.raises(ValueError, match="k is 1"):
        agent._sample_k_actions(dist, 2)
