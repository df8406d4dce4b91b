"""Names, shapes, types and order of every tensor of an agent: what AMAGO 3.x saved loads here.

`state_dict_layout.json` holds what was measured: parts (lists of name, shape, and "buffer" where it
is one), and which parts each of 19 configurations consists of.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from amago.agent import get_agent_cls
from amago.core.config import bind
from amago.core.errors import MissingExtraError
from amago.nets import get_traj_encoder_cls, get_tstep_encoder_cls
from amago.nets.ff import Normalization
from amago.nets.traj_encoders import MambaTrajEncoder

LAYOUT = json.loads(Path(__file__).with_name("state_dict_layout.json").read_text())
CONFIGURATIONS = LAYOUT["configurations"]

ACTIONS = {
    "discrete": (gym.spaces.Discrete(4), 4),
    "continuous": (gym.spaces.Box(-1.0, 1.0, (2,)), 2),
    "multibinary": (gym.spaces.MultiBinary(3), 3),
}
CLASSES = {
    "Agent": lambda: get_agent_cls("agent"),
    "MultiTaskAgent": lambda: get_agent_cls("multitask"),
    "FFTstepEncoder": lambda: get_tstep_encoder_cls("ff"),
    "CNNTstepEncoder": lambda: get_tstep_encoder_cls("cnn"),
    "TformerTrajEncoder": lambda: get_traj_encoder_cls("transformer"),
    "GRUTrajEncoder": lambda: get_traj_encoder_cls("rnn"),
    "FFTrajEncoder": lambda: get_traj_encoder_cls("ff"),
}

# bounds of the value bins are left at their defaults, as they were when this was measured
pytestmark = pytest.mark.filterwarnings("ignore::amago.core.errors.AmagoWarning")


def title(configuration: dict[str, Any]) -> str:
    variant = " ".join(str(value) for value in configuration["bindings"].values())
    names = (configuration[key] for key in ("agent", "actions", "tstep_encoder", "traj_encoder"))
    return " ".join((*names, variant)).strip()


def bound(value: Any) -> Any:
    """A value of a binding; `@a.b.C` is the class of that path."""
    if not (isinstance(value, str) and value.startswith("@")):
        return value
    module, _, name = value[1:].rpartition(".")
    return getattr(import_module(module), name)


def build(configuration: dict[str, Any]) -> torch.nn.Module:
    bind({key: bound(value) for key, value in configuration["bindings"].items()})
    action_space, width = ACTIONS[configuration["actions"]]
    shape = tuple(LAYOUT["observations"][configuration["tstep_encoder"]])
    image = len(shape) == 3
    observation = gym.spaces.Box(
        0 if image else -1, 255 if image else 1, shape, np.uint8 if image else np.float32
    )
    return CLASSES[configuration["agent"]]()(
        obs_space=gym.spaces.Dict({"observation": observation}),
        rl2_space=gym.spaces.Box(-np.inf, np.inf, (1 + width,)),
        action_space=action_space,
        max_seq_len=16,
        tstep_encoder_type=CLASSES[configuration["tstep_encoder"]](),
        traj_encoder_type=CLASSES[configuration["traj_encoder"]](),
    )


def published(configuration: dict[str, Any]) -> list[tuple[str, tuple[int, ...], bool]]:
    """`(name, shape, is a buffer)` in the order of a state dict."""
    rows = []
    for top in LAYOUT["order"]:
        part = LAYOUT["same_layout"].get(top, top)
        for name, shape, *buffer in LAYOUT["parts"][part][configuration["parts"][part]]:
            rows.append((f"{top}.{name}", tuple(shape), bool(buffer)))
    return rows


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=title)
def test_names_shapes_types_and_order_are_those_of_amago_3(configuration):
    agent = build(configuration)
    state, parameters = agent.state_dict(), dict(agent.named_parameters())
    found = [(name, tuple(x.shape), name not in parameters) for name, x in state.items()]
    assert found == published(configuration)
    assert {str(x.dtype) for x in state.values()} == {f"torch.{LAYOUT['dtype']}"}
    assert len(agent.gammas) == LAYOUT["discounts"]


def test_every_part_that_was_measured_belongs_to_a_configuration():
    for part, measured in LAYOUT["parts"].items():
        assert set(measured) == {c["parts"][part] for c in CONFIGURATIONS}


@pytest.mark.parametrize("name", LAYOUT["not_built"])
def test_what_is_not_built_here_really_cannot_be(name, monkeypatch):
    assert LAYOUT["not_built"][name]
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    with pytest.raises(MissingExtraError, match="mamba_ssm"):
        {"MambaTrajEncoder": MambaTrajEncoder}[name](tstep_dim=4, max_seq_len=8)


@pytest.mark.parametrize(
    ("norm", "names"),
    [
        ("layer", ["norm.weight", "norm.bias"]),
        ("rmsnorm", ["norm.scale"]),
        *((norm, []) for norm in ("none", None, "unitball", "unitball-detach")),
        *((norm, []) for norm in ("hypersphere", "simnorm")),
    ],
)
def test_tensors_of_a_normalization(norm, names):
    assert list(Normalization(norm, 16).state_dict()) == names


def test_statistics_are_stored_even_where_they_are_not_used():
    bind({"FFTstepEncoder.normalize_inputs": False, "Agent.popart": False})
    names = list(build(CONFIGURATIONS[0]).state_dict())
    assert {"tstep_encoder.in_norm.mu", "popart.mu"} <= set(names)


def test_the_adaptive_activation_is_stored_where_it_is_held():
    bind({"FFTstepEncoder.activation": "adaptive"})
    state = build(CONFIGURATIONS[0]).state_dict()
    assert state["tstep_encoder.base.activation.numerator"].shape == (6,)
    assert state["tstep_encoder.base.activation.denominator"].shape == (4,)
