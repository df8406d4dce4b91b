import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

from amago.core.errors import ConfigError
from amago.envs.spaces import (
    ContinuousActionWrapper,
    DiscreteActionWrapper,
    MultiBinaryActionWrapper,
    MultiDiscreteActionWrapper,
    action_codec,
    choices_of,
    dict_observation_space,
    space_convert,
)


def test_discrete_actions_count_from_zero_whatever_the_start():
    codec = action_codec(Discrete(3, start=5))
    assert codec.policy_space == Discrete(3)
    assert codec.to_env(2) == 7
    assert codec.to_env(np.array([0], dtype=np.uint8)) == 5
    np.testing.assert_array_equal(codec.to_env(np.array([[0], [2]], dtype=np.uint8)), [5, 7])


@pytest.mark.parametrize("n, dtype", [(2, np.uint8), (256, np.uint8), (257, np.int64)])
def test_indices_are_uint8_as_long_as_they_fit(n, dtype):
    codec = action_codec(Discrete(n))
    assert codec.dtype is dtype
    assert codec.to_env(np.array([[n - 1]], dtype=dtype)).tolist() == [n - 1]


def test_a_discrete_action_is_remembered_as_one_hot():
    one_hot = action_codec(Discrete(300)).represent(np.array([[299], [0]]))
    assert one_hot.dtype == np.uint8
    assert one_hot.shape == (2, 300)
    assert np.argwhere(one_hot).tolist() == [[0, 299], [1, 0]]


def test_box_actions_are_mapped_affinely_onto_the_bounds():
    codec = action_codec(Box(np.array([-2.0, 0.0]), np.array([4.0, 1.0]), dtype=np.float64))
    assert codec.policy_space == Box(-1, 1, (2,), np.float32)
    env_action = codec.to_env(np.array([[-1, -1], [0, 0], [1, 1]], dtype=np.float32))
    np.testing.assert_allclose(env_action, [[-2, 0], [1, 0.5], [4, 1]])
    assert env_action.dtype == np.float64


def test_a_box_with_more_axes_is_flat_for_the_policy():
    codec = action_codec(Box(-3.0, 3.0, (2, 3)))
    assert codec.size == 6
    assert codec.to_env(np.ones(6)).shape == (2, 3)
    assert codec.to_env(np.ones((5, 6))).shape == (5, 2, 3)


@pytest.mark.parametrize("low, high", [(-0.1, 0.7), (1e-3, 3.3), (-7e5, 1e-7)])
def test_the_ends_of_a_box_are_never_overstepped(low, high):
    space = Box(low, high, (1,), np.float32)
    codec = action_codec(space)
    for end in (-1.0, 1.0):
        assert space.contains(codec.to_env(np.array([end], dtype=np.float32)))


@pytest.mark.parametrize("bad", [1.001, -1.5, np.nan])
def test_a_continuous_action_outside_the_unit_range_is_refused(bad):
    with pytest.raises(ValueError, match=r"must be in \[-1, 1\]"):
        action_codec(Box(-1, 1, (2,))).to_env(np.array([0.0, bad]))


def test_an_unbounded_box_of_actions_is_refused_with_what_to_do():
    with pytest.raises(ConfigError, match=r"unbounded.*RescaleAction"):
        action_codec(Box(-np.inf, np.inf, (2,)))


def test_bits_become_int8_in_the_shape_of_the_space():
    codec = action_codec(MultiBinary((2, 2)))
    action = codec.to_env(np.array([1, 0, 1, 1], dtype=np.uint8))
    assert action.dtype == np.int8
    np.testing.assert_array_equal(action, [[1, 0], [1, 1]])


def test_several_choices_count_from_zero_whatever_the_starts():
    space = MultiDiscrete([2, 3], start=[5, -1])
    codec = action_codec(space)
    assert codec.policy_space == MultiDiscrete([2, 3])
    assert (codec.size, codec.dtype) == (5, np.int64)
    one = codec.to_env(np.array([1, 0]))
    assert space.contains(one)
    np.testing.assert_array_equal(one, [6, -1])
    np.testing.assert_array_equal(codec.to_env(np.array([[0, 2], [1, 1]])), [[5, 1], [6, 0]])


def test_several_choices_are_remembered_as_one_hots_side_by_side():
    one_hots = action_codec(MultiDiscrete([2, 3])).represent(np.array([[1, 0], [0, 2]]))
    assert one_hots.dtype == np.uint8
    np.testing.assert_array_equal(one_hots, [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]])


def test_several_choices_keep_the_shape_and_type_of_the_space():
    space = MultiDiscrete(np.array([[2, 3], [4, 5]]), dtype=np.int32)
    codec = action_codec(space)
    assert codec.policy_space == MultiDiscrete([2, 3, 4, 5])
    assert space.contains(codec.to_env(np.array([1, 2, 3, 4])))
    assert codec.to_env(np.zeros((6, 4), int)).shape == (6, 2, 2)


@pytest.mark.parametrize("bad", [[2, 0], [0, 3], [-1, 0]])
def test_a_choice_that_its_factor_does_not_have_is_refused(bad):
    codec = action_codec(MultiDiscrete([2, 3]))
    for translate in (codec.to_env, codec.represent):
        with pytest.raises(ValueError, match=r"below \[2, 3\]"):
            translate(np.array([bad]))


def test_the_choices_of_an_action_are_counted_by_factor():
    assert choices_of(Discrete(4, start=2)) == (4,)
    assert choices_of(MultiDiscrete([[2, 3], [4, 5]])) == (2, 3, 4, 5)
    assert choices_of(Box(-1, 1, (2,))) == choices_of(MultiBinary(3)) == ()


@pytest.mark.parametrize("space", [Tuple([Discrete(2)]), Dict({"a": Discrete(2)})])
def test_a_collection_of_actions_is_refused_with_what_to_flatten_it_into(space):
    with pytest.raises(ConfigError, match=r"Flatten it.*one MultiDiscrete.*one Box"):
        action_codec(space)


@pytest.mark.parametrize("space", [Text(3), Box(0, 9, (1,), int)])
def test_other_action_spaces_are_refused(space):
    with pytest.raises(ConfigError, match=r"Discrete"):
        action_codec(space)


def test_a_plain_observation_becomes_the_only_entry_of_a_dict():
    box = Box(-1, 1, (3,))
    assert dict_observation_space(box) == Dict({"observation": box})


def test_a_dict_of_arrays_passes_unchanged():
    space = Dict({"image": Box(0, 255, (2, 2, 3), np.uint8), "bits": MultiBinary(4)})
    assert dict_observation_space(space) == space


def test_a_discrete_observation_becomes_one_integer():
    space = dict_observation_space(Discrete(4, start=-1))["observation"]
    assert (space.shape, space.dtype, space.low, space.high) == ((1,), np.int64, -1, 2)


def test_an_observation_that_is_no_array_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"'mission' is a Text space.*FlattenObservation"):
        dict_observation_space(Dict({"mission": Text(10)}))


def test_spaces_of_old_gym_are_converted():
    old_box = type("Box", (), {"low": -1.0, "high": 1.0, "shape": (2,), "dtype": np.float32})()
    old_discrete = type("Discrete", (), {"n": 3})()
    assert space_convert(old_box) == Box(-1, 1, (2,), np.float32)
    assert space_convert(old_discrete) == Discrete(3)
    assert space_convert(Discrete(2)) == Discrete(2)
    with pytest.raises(TypeError, match="expected a gymnasium space"):
        space_convert("Box")


class Echo(gym.Env):
    """Returns the action it got, and has an attribute of its own."""

    observation_space = Box(-1, 1, (1,))
    secret = 42

    def __init__(self, action_space):
        self.action_space = action_space

    def reset(self):  # no seed, no options: as old environments have it
        return "first", {}

    def step(self, action):
        return action, 0.0, False, False, {}


@pytest.mark.parametrize(
    "wrapper, space, given, wanted",
    [
        (DiscreteActionWrapper, Discrete(3, start=1), np.array([1], dtype=np.uint8), 2),
        (DiscreteActionWrapper, Discrete(3), 2, 2),
        (MultiDiscreteActionWrapper, MultiDiscrete([2, 3], start=[1, 0]), np.array([1, 2]), [2, 2]),
        (ContinuousActionWrapper, Box(0, 10, (1,)), np.array([0.0]), [5.0]),
        (MultiBinaryActionWrapper, MultiBinary(2), np.array([1, 0], dtype=np.uint8), [1, 0]),
    ],
)
def test_wrappers_translate_the_action_on_its_way(wrapper, space, given, wanted):
    env = wrapper(Echo(space))
    np.testing.assert_array_equal(env.step(given)[0], wanted)


def test_wrappers_forward_attributes_and_tolerate_a_reset_without_seed():
    env = DiscreteActionWrapper(Echo(Discrete(2)))
    assert env.secret == 42
    assert env.reset(seed=3) == ("first", {})
    with pytest.raises(AttributeError):
        _ = env.nothing


def test_a_wrapper_for_another_space_is_refused():
    with pytest.raises(ConfigError, match="needs an action space of Box"):
        ContinuousActionWrapper(Echo(Discrete(2)))
