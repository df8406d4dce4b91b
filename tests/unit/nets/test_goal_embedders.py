import torch
from torch.testing import assert_close

from amago.nets.goal_embedders import FFGoalEmb, TokenGoalEmb


def test_goals_become_vectors():
    goal = torch.randn(2, 5, 3, 4)
    assert FFGoalEmb(goal_length=3, goal_dim=4, goal_emb_dim=6)(goal).shape == (2, 5, 6)
    tokens = torch.randint(-3, 4, (2, 5, 3, 4))
    assert TokenGoalEmb(goal_length=3, goal_dim=4, goal_emb_dim=7)(tokens).shape == (2, 5, 7)


def test_tokens_outside_the_range_count_as_the_nearest_inside():
    embed = TokenGoalEmb(goal_length=1, goal_dim=3, min_token=-2, max_token=2)
    outside = torch.tensor([-9, 0, 9]).view(1, 1, 1, 3)
    assert_close(embed(outside), embed(outside.clamp(-2, 2)))


def test_hidden_goals_are_zeros():
    goal = torch.randint(-3, 4, (2, 5, 3, 4))
    hidden = FFGoalEmb(goal_length=3, goal_dim=4, zero_embedding=True)(goal.float())
    assert not hidden.any()
    assert not TokenGoalEmb(goal_length=3, goal_dim=4, zero_embedding=True)(goal).any()
