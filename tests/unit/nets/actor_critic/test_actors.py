import pytest
import torch
from torch.testing import assert_close

from amago.core.errors import ConfigError
from amago.nets.actor_critic import Actor, BaseActorHead, ResidualActor
from amago.nets.policy_dists import GMM, Beta, Multibinary, TanhGaussian


def make(cls, gammas: int, discrete: bool, action_dim: int = 3, **kwargs):
    return cls(
        state_dim=4,
        action_dim=action_dim,
        discrete=discrete,
        gammas=torch.linspace(0.1, 0.9, gammas),
        **kwargs,
    )


@pytest.mark.parametrize("cls", [Actor, ResidualActor])
@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("gammas", [1, 2, 5])
def test_there_is_a_discrete_policy_for_every_discount(cls, batch: int, gammas: int):
    dist = make(cls, gammas, discrete=True)(torch.randn(batch, 7, 4))
    assert dist.probs.shape == (batch, 7, gammas, 3)
    assert dist.sample().shape == (batch, 7, gammas, 1)


@pytest.mark.parametrize("cls", [Actor, ResidualActor])
@pytest.mark.parametrize("dist_type", [TanhGaussian, Beta, GMM, Multibinary])
@pytest.mark.parametrize("gammas", [1, 2, 5])
def test_there_is_a_continuous_policy_for_every_discount(cls, dist_type, gammas: int):
    actor = make(cls, gammas, discrete=False, continuous_dist_type=dist_type)
    assert actor(torch.randn(2, 7, 4)).sample().shape == (2, 7, gammas, 3)
    assert actor.actions_differentiable == actor.policy_dist.actions_differentiable


def test_only_the_distribution_that_is_needed_is_made():
    make(Actor, 2, discrete=True, continuous_dist_type=None)
    make(Actor, 2, discrete=False, discrete_dist_type=None)
    with pytest.raises(ConfigError, match="discrete_dist_type"):
        make(Actor, 2, discrete=True, discrete_dist_type=None)


def test_a_policy_is_made_in_float32_under_autocast():
    actor = make(Actor, 2, discrete=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert actor(torch.randn(1, 1, 4)).probs.dtype == torch.float32


class ConstantActor(BaseActorHead):
    """Gives what it is told to, whatever the state; the last number is an observation's."""

    def actor_network_forward(self, state, log_dict=None, straight_from_obs=None):
        out = torch.zeros(*state.shape[:2], self.num_gammas, self.policy_dist.input_dimension)
        out[..., -1] = straight_from_obs["bonus"]
        return out


def test_a_head_sees_observations_straight_if_promised():
    actor = make(ConstantActor, 2, discrete=True, continuous_dist_type=None)
    bonus = torch.full((1, 1, 1), 2.0)
    dist = actor(torch.zeros(1, 1, 4), straight_from_obs={"bonus": bonus})
    assert_close(dist.logits[..., -1] - dist.logits[..., 0], torch.full((1, 1, 2), 2.0))


class WrongShape(BaseActorHead):
    def actor_network_forward(self, state, log_dict=None, straight_from_obs=None):
        return state


def test_a_head_of_the_wrong_shape_is_caught():
    actor = make(WrongShape, 2, discrete=True, continuous_dist_type=None)
    with pytest.raises(AssertionError, match="actor network gave"):
        actor(torch.zeros(1, 1, 4))


def test_activations_are_logged_only_if_asked():
    log: dict = {}
    make(Actor, 2, discrete=False)(torch.randn(1, 2, 4), log_dict=log)
    assert {key.rsplit("-", 1)[0] for key in log} == {
        "activation-TanhGaussian-mu",
        "activation-TanhGaussian-std",
        "activation-TanhGaussian-raw_std",
    }
