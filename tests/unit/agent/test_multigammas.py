import torch
from torch.testing import assert_close

from amago.agent import Multigammas
from amago.core.config import bind

DEFAULT = [0.1, 0.9, 0.95, 0.97, 0.99, 0.995]


def test_defaults_are_lists_of_their_own():
    first, second = Multigammas(), Multigammas()
    first.discrete.append(0.5)
    assert second.discrete == second.continuous == DEFAULT


def test_the_acting_discount_is_the_last(make_agent):
    agent = make_agent("discrete", gamma=0.99)
    assert_close(agent.gammas, torch.tensor([0.5, 0.9, 0.99]))


def test_each_kind_of_action_has_its_own_discounts(make_agent):
    agent = make_agent("discrete")
    bind({"Multigammas.continuous": [0.2]})
    assert len(agent.gammas) == 3
    bound = Multigammas()
    assert bound.continuous == [0.2]
    assert bound.discrete == [0.5, 0.9]


def test_one_discount_is_enough(make_agent):
    agent = make_agent("multibinary", use_multigamma=False)
    assert_close(agent.gammas, torch.tensor([0.999]))
