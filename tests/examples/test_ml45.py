"""The run of 45 tasks, with real simulators and shortened attempts: here and at W&B."""

import subprocess
import sys
from pathlib import Path

import pytest
from fake_wandb import isolated_environment, serving

from amago.tracking.reader import read_rows

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "metaworld.py"
EPOCHS = 2
SHORT = {
    "--benchmark": "ml45",
    "--k": "3",
    "--max_episode_length": "4",
    "--run_name": "ml45",
    "--epochs": str(EPOCHS),
    "--timesteps_per_epoch": "12",
    "--batches_per_epoch": "2",
    "--batch_size": "2",
    "--memory_size": "16",
    "--memory_layers": "1",
    "--max_seq_len": "8",
    "--val_interval": "1",
    "--dloader_workers": "0",
}


def names_of(tasks: list[str]) -> set[str]:
    """The metrics of finished episodes, as documented."""
    kinds = ["Average Total Return", "Bottom Quintile Total Return", "Average Total Successes"]
    kinds += [f"Average Trial {i} Success" for i in range(3)]
    named = {f"{kind} in {task}" for kind in kinds for task in tasks}
    return named | {"Average Total Return (Across All Env Names)"}


def rows_of(section: str, rows: list[dict]) -> list[dict]:
    """The rows of a section: its metrics, without the prefix."""
    found = [
        {name.removeprefix(f"{section}/"): value for name, value in row.items()}
        for row in rows
        if any(name.startswith(f"{section}/") for name in row)
    ]
    other = ("val", "test", "train", "dataset", "total_frames", "Epoch", "gradient_steps", "_")
    return [{n: v for n, v in row.items() if not n.startswith(other)} for row in found]


@pytest.mark.slow
def test_an_evaluation_of_ml45_is_272_metrics_in_the_record_and_at_wandb(tmp_path):
    metaworld = pytest.importorskip(
        "metaworld", reason="Meta-World is not installed: pip install 'amago[metaworld]'"
    )
    train, test = (list(metaworld.env_dict.ML45_V3[split]) for split in ("train", "test"))
    with serving() as server:
        settings = isolated_environment(tmp_path, server.url)
        settings["XDG_CACHE_HOME"] = str(tmp_path / "cache")
        settings["AMAGO_WANDB_PROJECT"] = "many-tasks"
        words = [word for pair in SHORT.items() for word in pair]
        command = [sys.executable, SCRIPT, *words, "--buffer_dir", tmp_path / "runs"]
        subprocess.run(command, env=settings, check=True, cwd=tmp_path)
        at_wandb, config = server.rows(), server.config()
    stored = list(read_rows(tmp_path / "runs" / "ml45_trial_0"))
    here = [row.axes | row.data for row in stored]
    val = names_of(train) | {"Env FPS (per_process)"}
    assert len(val) == 272
    for rows in (here, at_wandb):
        evaluations = rows_of("val", rows)
        assert len(evaluations) == EPOCHS
        assert all(set(evaluation) == val for evaluation in evaluations)
        (tested,) = rows_of("test", rows)
        assert set(tested) == names_of(test)
        frames = {name: n for name, n in rows[-1].items() if name.startswith("total_frames-")}
        assert frames == {f"total_frames-{task}": 12 * EPOCHS for task in train}
    assert rows_of("val", at_wandb) == rows_of("val", here)
    assert config
