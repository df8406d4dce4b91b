import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from amago.core.errors import AmagoWarning, ConfigError
from amago.nets.actor_critic import NCritics, NCriticsTwoHot, gammas_as_input_seq
from amago.rl.symlog import symlog

SIZES = [1, 2, 5]
RANGE = {"min_return": -10.0, "max_return": 10.0, "output_bins": 8}


def make(cls, discrete: bool, critics: int = 2, gammas: int = 3, action_dim: int = 2, **kwargs):
    return cls(
        state_dim=4,
        action_dim=action_dim,
        discrete=discrete,
        gammas=torch.linspace(0.1, 0.999, gammas),
        num_critics=critics,
        d_hidden=6,
        **kwargs,
    )


@pytest.mark.parametrize("batch", SIZES)
@pytest.mark.parametrize("k", SIZES)
@pytest.mark.parametrize("critics", SIZES)
@pytest.mark.parametrize("gammas", SIZES)
def test_continuous_values_have_every_axis(batch: int, k: int, critics: int, gammas: int):
    state, action = torch.randn(batch, 3, 4), torch.randn(k, batch, 3, gammas, 2)
    head = make(NCritics, discrete=False, critics=critics, gammas=gammas)
    assert head(state, action).shape == (k, batch, 3, critics, gammas, 1)
    bins = make(NCriticsTwoHot, discrete=False, critics=critics, gammas=gammas, **RANGE)
    dist = bins(state, action)
    assert dist.probs.shape == (k, batch, 3, critics, gammas, 8)
    assert bins.bin_dist_to_raw_vals(dist).shape == (k, batch, 3, critics, gammas, 1)
    assert len(head) == len(bins) == critics


@pytest.mark.parametrize("critics", SIZES)
@pytest.mark.parametrize("gammas", SIZES)
def test_discrete_values_have_every_axis(critics: int, gammas: int):
    head = make(NCritics, discrete=True, critics=critics, gammas=gammas)
    assert head(torch.randn(2, 3, 4), torch.randn(1, 2, 3, gammas, 2)).shape == (
        *(1, 2, 3),
        *(critics, gammas, 1),
    )


def test_actions_of_another_shape_are_caught():
    with pytest.raises(AssertionError, match="actions are"):
        make(NCritics, discrete=False)(torch.zeros(2, 3, 4), torch.zeros(1, 2, 3, 3, 7))


def plain_critic(net, c: int, x: torch.Tensor) -> torch.Tensor:
    """One member on one input vector, layer by layer."""
    for layer in (net.inp_layer, *net.core_layers):
        x = F.leaky_relu(x @ layer.weight[c] + layer.bias[0, 0, c])
    return x @ net.output_layer.weight[c] + net.output_layer.bias[0, 0, c]


def test_each_critic_is_a_network_of_state_discount_and_action():
    head = make(NCritics, discrete=False, critics=2, gammas=2)
    state, action = torch.randn(1, 3, 4), torch.rand(2, 1, 3, 2, 2)
    values = head(state, action)
    horizon = [symlog(1 / (1 - g)) for g in head.gammas.tolist()]
    for k, t, c, g in ((0, 0, 0, 0), (1, 2, 1, 1), (0, 1, 1, 0)):
        x = torch.cat((state[0, t], torch.tensor([horizon[g]]), action[k, 0, t, g]))
        assert_close(values[k, 0, t, c, g], plain_critic(head.net, c, x))


def test_discrete_values_are_weighted_by_the_action():
    head = make(NCritics, discrete=True)
    state, probs = torch.randn(1, 1, 4), torch.tensor([0.25, 0.75])
    each = torch.eye(2)[:, None, None, None].expand(2, 1, 1, 3, 2)
    first, second = (head(state, a[None]) for a in each)
    mixed = head(state, probs.expand(1, 1, 1, 3, 2))
    assert_close(mixed, 0.25 * first + 0.75 * second)


@pytest.mark.parametrize("cls", [NCritics, NCriticsTwoHot])
def test_actions_beyond_the_limit_change_nothing_and_pass_no_gradient(cls):
    head = make(cls, discrete=False, **(RANGE if cls is NCriticsTwoHot else {}))
    state, action = torch.randn(1, 1, 4), torch.ones(1, 1, 1, 3, 2, requires_grad=True)
    read = getattr(head, "bin_dist_to_raw_vals", lambda values: values)
    read(head(state, action)).sum().backward()
    assert action.grad.abs().max() == 0.0
    with torch.no_grad():
        assert_close(read(head(state, action)), read(head(state, 0.999 * action)))


def test_values_are_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = make(NCritics, discrete=False)(torch.zeros(1, 1, 4), torch.zeros(1, 1, 1, 3, 2))
    assert values.dtype == torch.float32


def test_the_feature_of_a_discount_is_the_symlog_of_its_horizon():
    seq = gammas_as_input_seq(torch.tensor([0.0, 0.9, 1.0]), batch_size=2, length=4)
    want = torch.tensor([math.log(2.0), math.log(11.0), math.log(1e6 + 1)])
    assert seq.shape == (6, 4, 1)
    assert_close(seq[:, 0, 0], want.repeat(2))
    assert_close(seq[:, 3, 0], want.repeat(2))


def test_labels_of_bins_decode_to_the_return_they_were_made_of():
    head = make(NCriticsTwoHot, discrete=False, min_return=-50.0, max_return=200.0)
    returns = torch.tensor([[-50.0], [0.0], [3.7], [199.0]])
    labels = torch.distributions.Categorical(probs=head.raw_vals_to_labels(returns))
    assert_close(head.bin_dist_to_raw_vals(labels), returns, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("use_symlog", [True, False])
def test_a_new_critic_predicts_its_initial_value(use_symlog: bool):
    head = make(
        NCriticsTwoHot,
        discrete=False,
        min_return=-50.0,
        max_return=80.0,
        use_symlog=use_symlog,
        init_value=12.0,
    )
    with torch.no_grad():
        head.net.output_layer.weight.zero_()
        dist = head(torch.randn(1, 1, 4), torch.randn(1, 1, 1, 3, 2))
    assert_close(head.bin_dist_to_raw_vals(dist).mean(), torch.tensor(12.0), atol=0.5, rtol=0.0)


def test_unset_bounds_are_warned_of():
    with pytest.warns(AmagoWarning, match="min_return"):
        make(NCriticsTwoHot, discrete=False)


def test_an_initial_value_at_the_edge_is_warned_of():
    with pytest.warns(AmagoWarning, match="edge"):
        make(NCriticsTwoHot, discrete=False, init_value=9.9, **RANGE)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"min_return": 1.0, "max_return": 1.0}, "not below"),
        ({"min_return": 0.0, "max_return": 1.0, "output_bins": 1}, "two bins"),
        ({"min_return": 0.0, "max_return": 1.0, "label_type": "three-hot"}, "label_type"),
        ({"min_return": 0.0, "max_return": 1.0, "n_layers": 0}, "hidden layer"),
    ],
)
def test_impossible_settings_are_refused(settings: dict, says: str):
    with pytest.raises(ConfigError, match=says):
        make(NCriticsTwoHot, discrete=False, **settings)
