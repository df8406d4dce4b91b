"""The members of a stored trajectory: names, shapes and dtypes that other programs read."""

from pathlib import Path

import numpy as np

from amago.hindsight import FrozenTraj

T, A = 3, 2


def trajectory() -> FrozenTraj:
    return FrozenTraj(
        obs={
            "observation": np.zeros((T + 1, 4), np.float32),
            "image": np.zeros((T + 1, 8, 8, 3), np.uint8),
        },
        rl2s=np.zeros((T + 1, 1 + A), np.float32),
        time_idxs=np.arange(T + 1)[:, None],
        rews=np.zeros((T, 1), np.float32),
        dones=np.zeros((T, 1), bool),
        actions=np.zeros((T, A), np.float32),
    )


def test_members() -> None:
    found = {key: (value.shape, value.dtype.name) for key, value in trajectory().to_dict().items()}
    assert found == {
        "_OBS_KEY_observation": ((T + 1, 4), "float32"),
        "_OBS_KEY_image": ((T + 1, 8, 8, 3), "uint8"),
        "rl2s": ((T + 1, 1 + A), "float32"),
        "time_idxs": ((T + 1, 1), "int64"),
        "rews": ((T, 1), "float32"),
        "dones": ((T, 1), "bool"),
        "actions": ((T, A), "float32"),
    }


def test_a_file_written_by_numpy_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "Env_0a1b2c3d_1700000000.0.npz"
    np.savez(path, **trajectory().to_dict())
    with np.load(path) as members:
        read = FrozenTraj.from_dict(dict(members))
    np.testing.assert_array_equal(read.obs["image"], trajectory().obs["image"])
    np.testing.assert_array_equal(read.time_idxs, trajectory().time_idxs)


def test_directories_of_a_buffer() -> None:
    from amago.loading import get_path_to_trajs

    assert Path(get_path_to_trajs("root", "name", fifo=True)) == Path("root/name/buffer/fifo")
    assert Path(get_path_to_trajs("root", "name", fifo=False)) == Path("root/name/buffer/protected")
