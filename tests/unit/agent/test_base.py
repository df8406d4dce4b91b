import gymnasium as gym
import pytest

from amago.agent import (
    Agent,
    MultiTaskAgent,
    get_action_dim_and_type,
    get_agent_cls,
    list_registered_agents,
    register_agent,
)
from amago.core.errors import ConfigError


@pytest.mark.parametrize(
    ("space", "want"),
    [
        (gym.spaces.Discrete(5), (5, True, False)),
        (gym.spaces.Discrete(5, start=-2), (5, True, False)),
        (gym.spaces.MultiDiscrete([2, 3]), (5, True, False)),
        (gym.spaces.MultiBinary(3), (3, False, True)),
        (gym.spaces.Box(-1.0, 1.0, (2,)), (2, False, False)),
    ],
)
def test_the_kind_of_action_is_read_from_its_space(space: gym.Space, want: tuple):
    assert get_action_dim_and_type(space) == want


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Dict({"a": gym.spaces.Discrete(2)}),
        gym.spaces.Tuple((gym.spaces.Discrete(2),)),
        gym.spaces.MultiBinary((2, 2)),
        gym.spaces.Box(-1.0, 1.0, ()),
    ],
)
def test_other_action_spaces_are_refused(space: gym.Space):
    with pytest.raises(ConfigError, match="not supported"):
        get_action_dim_and_type(space)
    assert issubclass(ConfigError, ValueError)


@pytest.mark.parametrize(
    "space",
    [gym.spaces.Dict({"a": gym.spaces.Discrete(2)}), gym.spaces.Tuple((gym.spaces.Discrete(2),))],
)
def test_a_refused_collection_of_actions_is_told_what_to_flatten_it_into(space: gym.Space):
    with pytest.raises(ConfigError, match=r"Flatten it.*one MultiDiscrete.*one Box"):
        get_action_dim_and_type(space)


def test_the_timestep_encoder_is_also_found_under_its_first_name(make_agent):
    agent = make_agent("discrete")
    with pytest.warns(DeprecationWarning, match="tstep_encoder_type"):
        assert agent.tstep_encoder_Cls is agent.tstep_encoder_type


def test_agents_are_found_by_name():
    assert get_agent_cls("agent") is Agent
    assert get_agent_cls("multitask") is MultiTaskAgent
    assert {"agent", "multitask"} <= set(list_registered_agents())


def test_a_taken_or_unknown_name_is_refused():
    with pytest.raises(ValueError, match="already registered"):
        register_agent("agent")(Agent)
    with pytest.raises(KeyError, match="multitask"):
        get_agent_cls("multitusk")


def test_public_paths_name_the_classes():
    for cls in (Agent, MultiTaskAgent):
        assert cls.__module__ == "amago.agent"
