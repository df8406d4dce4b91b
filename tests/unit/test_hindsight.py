import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from amago.hindsight import (
    FrozenTraj,
    NoOpRelabeler,
    Relabeler,
    Timestep,
    Trajectory,
    split_batched_timestep,
)


def timestep(t, reward=None, terminal=False):
    return Timestep(
        obs={"x": np.array([[t, t + 0.5]], dtype=np.float64), "n": np.array([[t]], np.uint8)},
        prev_action=np.array([[t % 2, 1 - t % 2]], dtype=np.uint8),
        reward=np.array([t if reward is None else reward], dtype=np.float32),
        time_idx=np.array([t]),
        terminal=np.array([terminal]),
        batched_envs=1,
    )


def trajectory(length=4):
    return Trajectory([timestep(t, terminal=t == length - 1) for t in range(length)])


@pytest.mark.parametrize(
    "field, value",
    [
        ("prev_action", np.zeros(2)),
        ("prev_action", np.zeros((3, 1))),
        ("reward", np.zeros((2, 1))),
        ("time_idx", np.zeros(3)),
        ("terminal", np.zeros(())),
    ],
)
def test_a_timestep_of_the_wrong_shape_is_refused(field, value):
    right = {
        "prev_action": np.zeros((2, 1)),
        "reward": np.zeros(2),
        "time_idx": np.zeros(2),
        "terminal": np.zeros(2),
    }
    with pytest.raises(ValueError, match=f"Timestep.{field} has shape"):
        Timestep(obs={}, batched_envs=2, **{**right, field: value})


def test_rl2_is_reward_then_action_in_float32():
    obs, rl2, time_idx = timestep(3).as_input()
    np.testing.assert_array_equal(rl2, [[3, 1, 0]])
    assert rl2.dtype == np.float32
    np.testing.assert_array_equal(time_idx, [[3]])
    assert obs["n"].tolist() == [[3]]


def test_a_reset_version_shares_nothing_with_the_original():
    original = timestep(3, terminal=True)
    reset = original.create_reset_version(np.array([True]))
    assert (reset.reward[0], reset.time_idx[0], reset.terminal[0]) == (0, 0, False)
    assert not reset.prev_action.any()
    assert original.reward[0] == 3
    assert not np.shares_memory(reset.obs["x"], original.obs["x"])


def test_split_timesteps_have_one_environment_each():
    batched = Timestep(
        obs={"x": np.arange(6).reshape(3, 2)}, prev_action=np.zeros((3, 1)),
        reward=np.arange(3.0), time_idx=np.arange(3), terminal=np.zeros(3, bool), batched_envs=3,
    )  # fmt: skip
    parts = split_batched_timestep(batched)
    assert [part.reward.tolist() for part in parts] == [[0], [1], [2]]
    assert parts[1].obs["x"].tolist() == [[2, 3]]
    assert all(part.batched_envs == 1 for part in parts)


def test_two_trajectories_share_no_list():
    Trajectory().add_timestep(timestep(0))
    assert len(Trajectory()) == 0


def test_freezing_takes_transitions_from_the_second_timestep_on():
    frozen = trajectory(4).freeze()
    assert frozen.obs["x"].dtype == np.float64
    assert frozen.obs["n"].tolist() == [[0], [1], [2], [3]]
    assert frozen.rews.tolist() == [[1], [2], [3]]
    assert frozen.dones.tolist() == [[False], [False], [True]]
    assert frozen.actions.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert frozen.time_idxs.tolist() == [[0], [1], [2], [3]]
    assert (frozen.rews.dtype, frozen.actions.dtype) == (np.float32, np.float32)
    assert (frozen.dones.dtype, frozen.time_idxs.dtype) == (np.bool_, np.int64)
    np.testing.assert_array_equal(frozen.rl2s[1:], np.hstack((frozen.rews, frozen.actions)))


def test_editing_frozen_rewards_leaves_the_inputs_alone():
    frozen = trajectory(3).freeze()
    frozen.rews[:] = 9
    assert frozen.rl2s[1, 0] == 1


def test_the_return_counts_transitions_only():
    traj = Trajectory([timestep(0, reward=100.0), timestep(1), timestep(2)])
    assert traj.total_return.tolist() == [3]
    assert Trajectory().total_return.tolist() == [0]


def test_an_empty_trajectory_cannot_be_frozen():
    with pytest.raises(ValueError, match="without timesteps"):
        Trajectory().freeze()


def test_flat_and_back_even_for_observations_named_like_fields():
    frozen = trajectory().freeze()
    frozen.obs["actions"] = frozen.obs.pop("x")
    back = FrozenTraj.from_dict(frozen.to_dict())
    assert set(frozen.to_dict()) >= {"_OBS_KEY_actions", "actions", "rl2s"}
    np.testing.assert_array_equal(back.obs["actions"], frozen.obs["actions"])
    np.testing.assert_array_equal(back.actions, frozen.actions)


@pytest.mark.parametrize("save_as", ["npz", "npz-compressed"])
def test_a_saved_npz_is_the_frozen_trajectory(tmp_path, save_as):
    trajectory().save_to_disk(str(tmp_path / "t"), save_as=save_as)
    assert os.listdir(tmp_path) == ["t.npz"]
    with np.load(tmp_path / "t.npz") as loaded:
        assert {k: loaded[k].tolist() for k in loaded.files} == {
            k: v.tolist() for k, v in trajectory().freeze().to_dict().items()
        }


def test_a_saved_pickle_is_the_trajectory(tmp_path):
    trajectory().save_to_disk(str(tmp_path / "t"), save_as="trajectory")
    assert os.listdir(tmp_path) == ["t.traj"]
    loaded = pickle.loads((tmp_path / "t.traj").read_bytes())
    assert loaded.freeze().rews.tolist() == [[1], [2], [3]]


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'npz-compressed' or 'trajectory'"):
        trajectory().save_to_disk(str(tmp_path / "t"), save_as="hdf5")


class Shorten(Relabeler):
    def relabel(self, traj):
        return Trajectory(traj[:2])


def test_what_a_relabeler_returns_is_frozen():
    assert len(Shorten()(trajectory(4)).rews) == 1
    assert isinstance(NoOpRelabeler()(trajectory()), FrozenTraj)


def test_importing_it_loads_no_torch():
    code = (
        "import sys, amago.hindsight, amago.rollout.recorder; "
        "sys.exit('torch' in sys.modules or 'accelerate' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
