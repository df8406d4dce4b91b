import math

import torch
from torch.testing import assert_close

from amago.rl.losses import categorical_td_loss, dpg_loss, filtered_bc_loss, squared_td_loss


def test_squared_loss_pulls_the_prediction_and_not_the_target():
    prediction = torch.tensor([1.0], requires_grad=True)
    target = torch.tensor([3.0], requires_grad=True)
    loss = squared_td_loss(prediction, target)
    loss.sum().backward()
    assert_close(loss.detach(), torch.tensor([4.0]))
    assert_close(prediction.grad, torch.tensor([-4.0]))
    assert target.grad is None


def test_categorical_loss_is_the_cross_entropy():
    log_probs = torch.tensor([[0.25, 0.75]]).log()
    loss = categorical_td_loss(log_probs, torch.tensor([[0.5, 0.5]]))
    assert_close(loss, torch.tensor([[-0.5 * (math.log(0.25) + math.log(0.75))]]))


def test_filtered_imitation_takes_no_gradient_through_its_weight():
    log_prob = torch.tensor([-2.0], requires_grad=True)
    weight = torch.tensor([0.5], requires_grad=True)
    loss = filtered_bc_loss(log_prob, weight)
    loss.sum().backward()
    assert_close(loss.detach(), torch.tensor([1.0]))
    assert_close(log_prob.grad, torch.tensor([-0.5]))
    assert weight.grad is None


def test_filtered_imitation_takes_a_boolean_weight():
    loss = filtered_bc_loss(torch.tensor([-2.0, -3.0]), torch.tensor([True, False]))
    assert_close(loss, torch.tensor([2.0, 0.0]))


def test_policy_gradient_loss_is_the_negative_value():
    assert dpg_loss(torch.tensor(3.0)) == -3.0
