import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from amago.envs.pool.buffers import StepBuffers
from amago.envs.pool.spaces import PoolSpaces

SPACES = PoolSpaces(
    observation=Dict(
        {"image": Box(0, 255, (2, 2, 3), np.uint8), "x": Box(-1, 1, (3,), np.float64)}
    ),
    action=Discrete(4),
    action_size=4,
    action_dtype=np.uint8,
    action_representation_dtype=np.uint8,
)


def test_arrays_have_the_shapes_and_dtypes_of_the_spaces():
    buffers = StepBuffers(5, SPACES)
    assert buffers.actions.shape == (5, 1)
    for timestep in (buffers.timestep, buffers.final):
        assert timestep.obs["image"].shape == (5, 2, 2, 3)
        assert timestep.obs["image"].dtype == np.uint8
        assert timestep.obs["x"].dtype == np.float64
        assert timestep.prev_action.shape == (5, 4)
    assert buffers.started.dtype == bool


def test_arrays_do_not_overlap_in_shared_memory():
    memory = bytearray(StepBuffers.size(3, SPACES))
    one, other = StepBuffers(3, SPACES, memory), StepBuffers(3, SPACES, memory)
    arrays = [one.actions, one.reward, one.terminated, one.truncated, one.started, one.stepped]
    for timestep in (one.timestep, one.final):
        arrays += [*timestep.obs.values(), timestep.prev_action]
        arrays += [timestep.reward, timestep.time_idx, timestep.terminal]
    for number, array in enumerate(arrays):
        array[:] = number % 2
    for number, array in enumerate(arrays):
        assert (array == number % 2).all()
    assert (other.timestep.obs["x"] == one.timestep.obs["x"]).all()
