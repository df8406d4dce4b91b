"""A program that only evaluates weights is a run like any other: here, on the page and at W&B."""

import subprocess
import sys
from pathlib import Path

import pytest
from fake_wandb import isolated_environment, serving

from amago import open_run
from amago.dashboard.api import Api
from amago.dashboard.library import Library
from amago.dashboard.requests import Body

SCRIPT = """
import sys
import amago, gymnasium
from amago.envs import AMAGOEnv

def make_env():
    return AMAGOEnv(gymnasium.make("CartPole-v1", max_episode_steps=20), env_name="CartPole")

def make(name, **settings):
    return amago.Experiment(
        run_name=name, ckpt_base_dir="runs", max_seq_len=8, dloader_workers=0, seed=1,
        dataset=amago.loading.DiskTrajDataset("runs", name + "-data", dset_max_size=100),
        tstep_encoder_type=amago.get_tstep_encoder_cls("ff"), agent_type=amago.Agent,
        traj_encoder_type=amago.get_traj_encoder_cls("identity"), env_mode="sync",
        make_train_env=make_env, make_val_env=make_env, val_timesteps_per_epoch=40,
        train_timesteps_per_epoch=40, train_batches_per_epoch=2, parallel_actors=2, batch_size=2,
        epochs=1, ckpt_interval=1, verbose=False, **settings)

trained = make("trained")
trained.start()
trained.learn()
evaluating = make("evaluating", log_to_wandb=True, wandb_project="evaluations")
evaluating.start()
evaluating.load_checkpoint_from_path("runs/trained/ckpts/training_states/trained_epoch_0")
evaluating.evaluate_test(make_env, timesteps=40)
evaluating.close()
"""

NAMES = {
    "test/Average Total Return (Across All Env Names)",
    "test/Average Total Return in CartPole",
    "test/Bottom Quintile Total Return in CartPole",
}
AXES = {"total_frames": 80, "total_frames-CartPole": 80, "Epoch": 0, "gradient_steps": 2}


@pytest.mark.slow  # a program that imports torch and starts the real client
def test_it_has_a_record_a_page_and_a_run_at_wandb(tmp_path: Path) -> None:
    with serving() as server:
        settings = isolated_environment(tmp_path, server.url)
        command = [sys.executable, "-c", SCRIPT, "--secret_token=HIDE-ME"]
        subprocess.run(command, env=settings, check=True, cwd=tmp_path, timeout=120)
        (sent,) = [row for row in server.rows() if NAMES & row.keys()]
        config = server.config()
    assert sent.keys() >= NAMES
    assert AXES.items() <= sent.items()
    assert config["experiment"]["run_name"] == "evaluating"

    with open_run(tmp_path / "runs" / "evaluating") as run:
        assert run.status == "finished"
        assert set(run.history("test/*")) == NAMES
        assert run.history("test/*", x="gradient_steps")[min(NAMES)][0].tolist() == [2.0]
        assert run.config["experiment"]["run_name"] == "evaluating"
        (session,) = run.sessions
    assert session["command"][-1] == "--secret_token=[redacted]"

    library = Library([tmp_path / "runs" / "evaluating"])
    library.refresh()
    api = Api(library)
    (row,) = api.runs()["runs"]
    catalogue = api.post["metrics"](Body(b'{"runs": ["%s"]}' % row["id"].encode()))
    shown = {section["name"]: section["metrics"] for section in catalogue["sections"]}
    assert {metric["name"] for metric in shown["test"]} == NAMES
    assert all(metric["single"] for metric in shown["test"])  # a table with bars, not a chart
    about = api.get["overview"](row["id"], {})
    assert about["command"] == session["command"]
    library.close()
