"""Every script of `examples/` trains for one tiny epoch."""

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from amago.envs.builtin.tmaze import LEFT, RIGHT

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

TINY = {
    "--run_name": "tiny",
    "--env_mode": "sync",
    "--dloader_workers": "0",
    "--parallel_actors": "2",
    "--epochs": "1",
    "--timesteps_per_epoch": "40",
    "--batches_per_epoch": "2",
    "--batch_size": "2",
    "--memory_size": "16",
    "--memory_layers": "1",
    "--val_interval": "1",
    "--ckpt_interval": "1",
    "--eval_timesteps": "30",
}

SCRIPTS = {
    "dark_key_door.py": ["--room_size", "3", "--episode_length", "5", "--meta_horizon", "12"],
    # Files of 8 x 4 steps: a pole may stay up for all 40.
    "gym.py": ["--env", "CartPole-v1", "--max_seq_len", "4"],
    "meta_frozen_lake.py": ["--size", "2", "--k_episodes", "2"],
    "metaworld.py": [
        *("--benchmark", "reach-v3", "--k", "2", "--max_episode_length", "10"),
        *("--max_seq_len", "8", "--agent_type", "agent"),
    ],
    "tmaze.py": ["--corridor", "5"],
}
BATCHED = ("dark_key_door.py", "meta_frozen_lake.py", "tmaze.py")
VARIANTS = [
    *SCRIPTS.items(),
    ("tmaze.py", ["--corridor", "5", "--active"]),
    *((name, [*SCRIPTS[name], "--env_mode", "already_vectorized"]) for name in BATCHED),
]


def words(script, folder, *flags):
    """The command line."""
    tiny = [word for pair in TINY.items() for word in pair]
    return [script, *tiny, "--buffer_dir", str(folder), *flags]


def run(script, folder, *flags, monkeypatch):
    if script == "metaworld.py" and importlib.util.find_spec("metaworld") is None:
        pytest.skip("Meta-World is not installed: pip install 'amago[metaworld]'")
    monkeypatch.setattr("sys.argv", words(script, folder, "--no_log", *flags))
    monkeypatch.syspath_prepend(EXAMPLES)  # as Python does
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    experiment = runpy.run_path(str(EXAMPLES / script), run_name="__main__")["experiment"]
    experiment.close()  # a script leaves this to the end of its process
    return experiment


def test_every_script_is_tested():
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(SCRIPTS)


@pytest.mark.parametrize(("script", "flags"), VARIANTS)
def test_it_collects_learns_and_leaves_a_record(script, flags, tmp_path, monkeypatch):
    experiment = run(script, tmp_path, *flags, monkeypatch=monkeypatch)
    assert experiment.grad_update_counter == 2
    run_dir = tmp_path / "tiny_trial_0"
    assert (run_dir / "config.json").exists()
    assert (run_dir / "ckpts" / "policy_weights" / "policy_epoch_0.pt").exists()
    record = "".join(path.read_text() for path in (run_dir / "tracking").glob("*.jsonl"))
    assert "test/Average Total Return" in record
    is_batch = "already_vectorized" in flags
    assert experiment.train_envs.num_envs == 2
    assert experiment.train_envs.description.startswith(
        "VectorisedPool" if is_batch else "SyncPool"
    )


def test_continuous_actions(tmp_path, monkeypatch):
    flags = ["--env", "Pendulum-v1", "--max_seq_len", "8", "--traj_encoder", "identity"]
    flags += ["--timesteps_per_epoch", "100"]  # enough for a first file of each actor
    experiment = run("gym.py", tmp_path, *flags, monkeypatch=monkeypatch)
    assert experiment.grad_update_counter == 2


def test_two_trials_are_two_runs(tmp_path, monkeypatch):
    flags = [*SCRIPTS["tmaze.py"], "--trials", "2"]
    run("tmaze.py", tmp_path, *flags, monkeypatch=monkeypatch)
    assert {"tiny_trial_0", "tiny_trial_1"} <= {path.name for path in tmp_path.iterdir()}


def test_exploration_of_the_tmaze_walks_forward_and_turns_at_random():
    script = runpy.run_path(str(EXAMPLES / "tmaze.py"), run_name="loaded")
    noise = script["WalkForward"](script["make_maze"](corridor=3))
    noise.seed(0)
    noise.global_multiplier[:] = 1.0  # eps is 1 at the start of training
    left = np.array([[LEFT]], dtype=np.uint8)
    walked = [noise.add_exploration_noise(left, np.array([step])) for step in (0, 1, 2) * 10]
    turned = [noise.add_exploration_noise(left, np.array([3])) for _ in range(100)]
    assert {(int(a[0, 0]), a.dtype.name, a.shape) for a in walked} == {(RIGHT, "uint8", (1, 1))}
    assert {int(a[0, 0]) for a in turned} == {0, 1, 2, 3}


def test_each_maze_of_a_batch_explores_by_its_own_step():
    script = runpy.run_path(str(EXAMPLES / "tmaze.py"), run_name="loaded")
    noise = script["WalkForward"](script["make_maze"](3, False, 4))
    noise.seed(0)
    noise.global_multiplier[:] = 1.0
    left = np.full((4, 1), LEFT, dtype=np.uint8)
    taken = [noise.add_exploration_noise(left, np.array([0, 2, 3, 3])) for _ in range(100)]
    seen = [set(np.stack(taken)[:, row, 0].tolist()) for row in range(4)]
    assert seen == [{RIGHT}, {RIGHT}, {0, 1, 2, 3}, {0, 1, 2, 3}]


def test_the_readme_lists_every_script():
    listed = re.findall(r"^\| `(\w+\.py)` \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(SCRIPTS)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["gym.py", "metaworld.py"])
def test_a_script_with_the_name_of_a_package_starts(script):
    command = [sys.executable, EXAMPLES / script, "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--run_name" in shown


@pytest.mark.slow
def test_nothing_takes_the_gym_script_for_the_gym_package_also_with_wandb(tmp_path):
    code = f"""
import runpy, sys
sys.argv = {words("gym.py", tmp_path, *SCRIPTS["gym.py"])}
sys.path.insert(0, {str(EXAMPLES)!r})
runpy.run_path({str(EXAMPLES / "gym.py")!r}, run_name="__main__")
assert "wandb" in sys.modules
assert "gym" not in sys.modules
"""
    offline = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | offline)
    assert list(tmp_path.rglob("*.wandb"))
