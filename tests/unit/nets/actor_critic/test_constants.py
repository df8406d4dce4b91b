import torch
from torch import nn
from torch.testing import assert_close

from amago.nets.actor_critic.constants import KeepsConstants


class Scaled(KeepsConstants):
    constants = ("scale",)

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.tensor([0.1])
        self.layer = nn.Linear(1, 1)


def test_a_constant_follows_its_module_to_a_device():
    outer = nn.Sequential(Scaled()).to("meta")
    assert outer[0].scale.device.type == "meta"


def test_a_constant_is_not_cast_with_the_weights():
    module = Scaled().to(torch.bfloat16)
    assert module.layer.weight.dtype == torch.bfloat16
    assert_close(module.scale, torch.tensor([0.1]))


def test_a_constant_is_no_part_of_the_state():
    module = Scaled()
    assert set(module.state_dict()) == {"layer.weight", "layer.bias"}
    assert list(module.buffers()) == []
