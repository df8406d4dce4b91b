"""The count of operations, against torch's own counter on networks written out here."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from amago_bench import flops
from amago_bench.cases.train import TRAININGS
from amago_bench.flops import Shape
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

ROWS, LENGTH = 3, 6
SHAPE = Shape(
    obs=3,
    actions=2,
    discrete=True,
    encoder="ff",
    layers=2,
    width=8,
    heads=2,
    tstep_hidden=10,
    tstep_out=12,
    heads_hidden=14,
    critics=3,
    gammas=5,
)


def counted(run) -> float:
    """Multiply-adds per timestep of `run`."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2 / (ROWS * LENGTH)


def dense(*widths: int) -> nn.Sequential:
    layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
    return nn.Sequential(*[module for layer in layers for module in (layer, nn.Tanh())])


class Block(nn.Module):
    """What is dense in a Transformer's block, and attention without a mask."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.ff = dense(d, 4 * d, d)
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        return self.ff(self.out(attended.transpose(1, 2).flatten(-2)))


def encoder_of(shape: Shape) -> nn.Module:
    tstep = dense(shape.obs + 1 + shape.actions, *[shape.tstep_hidden] * 2, shape.tstep_out)
    d = shape.width
    if shape.encoder == "ff":
        blocks = [dense(d, 4 * d, d) for _ in range(shape.layers)]
        return nn.Sequential(tstep, nn.Linear(shape.tstep_out, d), *blocks, nn.Linear(d, d))
    blocks = [Block(d, shape.heads) for _ in range(shape.layers)]
    return nn.Sequential(tstep, nn.Linear(shape.tstep_out, d), *blocks)


def seen(shape: Shape) -> torch.Tensor:
    return torch.randn(ROWS, LENGTH, shape.obs + 1 + shape.actions)


def test_feed_forward_encoders_are_counted_like_torch_counts_them():
    encoder = encoder_of(SHAPE)
    found = counted(lambda: encoder(seen(SHAPE)).sum().backward())
    assert found == flops.encoder_macs(SHAPE)


def test_the_whole_of_attention_is_what_torch_counts_without_a_mask():
    shape = replace(SHAPE, encoder="transformer")
    encoder = encoder_of(shape)
    attention = 3 * flops.attention_macs(shape, LENGTH, causal=False)
    found = counted(lambda: encoder(seen(shape)).sum().backward())
    assert found == flops.encoder_macs(shape) + attention


def test_the_causal_half_counts_the_pairs_that_are_not_in_the_future():
    shape = replace(SHAPE, encoder="transformer")
    pairs = sum(1 for query in range(LENGTH) for key in range(LENGTH) if key <= query)
    by_hand = shape.layers * 2 * shape.width * pairs / LENGTH
    assert flops.attention_macs(shape, LENGTH) == by_hand


def test_a_gru_is_counted_like_torch_counts_it():
    shape = replace(SHAPE, encoder="gru")
    tstep = dense(shape.obs + 1 + shape.actions, *[shape.tstep_hidden] * 2, shape.tstep_out)
    gru = nn.GRU(shape.tstep_out, shape.width, num_layers=shape.layers, batch_first=True)
    out = nn.Linear(shape.width, shape.width)
    found = counted(lambda: out(gru(tstep(seen(shape)))[0]).sum().backward())
    # torch does not skip the gradient of the first hidden state's zeros.
    assert found == pytest.approx(flops.encoder_macs(shape), rel=0.1)


def test_the_actor_and_its_slow_copy():
    actor = dense(8, 14, 14, SHAPE.gammas * SHAPE.actions)
    state = torch.randn(ROWS, LENGTH, 8, requires_grad=True)

    def run() -> None:
        actor(state).sum().backward()
        with torch.no_grad():
            actor(state)

    assert counted(run) == flops.actor_macs(SHAPE)


class Critic(nn.Module):
    """One that reads actions: the first layer's part of the state is computed once."""

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.state = nn.Linear(shape.width, shape.heads_hidden)
        self.action = nn.Linear(1 + shape.actions, shape.heads_hidden)
        self.rest = dense(shape.heads_hidden, shape.heads_hidden, outputs)

    def forward(self, state: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self.rest(self.state(state)[:, :, None] + self.action(action))


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("bins", [None, 7])
def test_critics_that_read_actions_are_counted_with_their_state_shared(k, bins):
    shape = replace(SHAPE, discrete=False, bins=bins, k_actor=k)
    critics = [Critic(shape, bins or 1) for _ in range(shape.critics)]
    frozen = [Critic(shape, bins or 1).requires_grad_(False) for _ in range(shape.critics)]
    state = torch.randn(ROWS, LENGTH, shape.width, requires_grad=True)
    stored = torch.randn(ROWS, LENGTH, shape.gammas, 1 + shape.actions)
    own = torch.randn(ROWS, LENGTH, k * shape.gammas, 1 + shape.actions, requires_grad=not bins)

    def run() -> None:
        sum(critic(state, stored).sum() for critic in critics).backward()
        with torch.no_grad():
            for critic in frozen:
                critic(state, stored)
        climbed = sum(critic(state.detach(), own).sum() for critic in frozen)
        if not bins:  # a classifying critic's baseline takes no gradient
            climbed.backward()

    assert counted(run) == flops.critic_macs(shape)


def test_critics_of_choices_are_evaluated_three_times_and_trained_once():
    one = flops.mlp([8, 14, 14, SHAPE.gammas * SHAPE.actions])
    assert flops.critic_macs(SHAPE) == (3 + 1 + 1) * SHAPE.critics * one


@pytest.mark.parametrize(
    ("name", "gflop"),
    [
        ("cartpole_ff", 13.6),
        ("lunar_tf", 69),
        ("lunar_gru", 40),
        ("pendulum_tf", 44),
        ("mt_cont", 24),
        ("mt_disc", 24),
        ("short", 3.5),
        ("long", 30),
    ],
)
def test_the_cases_need_what_the_published_table_of_baselines_says(name, gflop):
    assert TRAININGS[name].gflop == pytest.approx(gflop, rel=0.06)


class Products(TorchDispatchMode):
    """FlopCounterMode without its tracking of modules, which stumbles over detached views."""

    flop = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flop += count(*args, **(kwargs or {}), out_val=out)
        return out


@pytest.mark.parametrize("discrete", [True, False])
def test_an_update_of_this_package_computes_what_is_needed_and_hardly_more(discrete, tmp_path):
    from amago_bench.cases.train import Training, updates
    from amago_bench.registry import Context

    shape = replace(SHAPE, discrete=discrete, critics=4, gammas=7)
    training = Training(shape, ROWS, (LENGTH - 1,), 1)
    with updates(Context(tmp_path, 1, True), training) as update:
        update()
        with Products() as counter:
            update()
    # Values are of transitions, one fewer than timesteps: the count does not subtract that.
    critics = flops.critic_macs(shape) * (LENGTH - 1) / LENGTH
    needed = 2 * ROWS * LENGTH * (flops.encoder_macs(shape) + flops.actor_macs(shape) + critics)
    # What few actions and discounts add to a first layer may be computed without a product, which
    # the counter does not see: forward of three evaluations and backward of two.
    inputs = 0 if discrete else shape.critics * shape.gammas * (1 + shape.actions)
    unseen = 5 * 2 * ROWS * LENGTH * inputs * shape.heads_hidden
    assert needed - unseen <= counter.flop <= 1.1 * needed


def test_measuring_leaves_torchs_checks_of_arguments_on():
    from amago_bench.cases.train import MULTI_TASK, _unchecked_distributions

    checks = torch.distributions.Distribution
    before = checks._validate_args
    with _unchecked_distributions(MULTI_TASK):
        assert not checks._validate_args
    assert checks._validate_args == before
