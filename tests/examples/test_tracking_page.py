"""The code in docs/tracking.md runs as it is printed, in the order in which it is printed."""

import re
from pathlib import Path

import gymnasium
import pytest

import amago
from amago import Experiment
from amago.envs import AMAGOEnv
from amago.loading import DiskTrajDataset
from amago.nets.traj_encoders import FFTrajEncoder
from amago.nets.tstep_encoders import FFTstepEncoder

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tracking.md").read_text()


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def make_cartpole() -> AMAGOEnv:
    return AMAGOEnv(gymnasium.make("CartPole-v1"), env_name="CartPole-v1")


def settings() -> dict[str, object]:
    """Everything but what the page is about; a second of training."""
    return {
        "ckpt_base_dir": "runs",
        "max_seq_len": 8,
        "dataset": DiskTrajDataset("runs", "data", dset_max_size=100),
        "tstep_encoder_type": FFTstepEncoder,
        "traj_encoder_type": FFTrajEncoder,
        "agent_type": amago.Agent,
        "make_train_env": make_cartpole,
        "make_val_env": make_cartpole,
        "env_mode": "sync",
        "parallel_actors": 1,
        "epochs": 1,
        "train_timesteps_per_epoch": 200,
        "train_batches_per_epoch": 2,
        "val_timesteps_per_epoch": 60,
        "batch_size": 2,
        "ckpt_interval": None,
        "dloader_workers": 0,
        "verbose": False,
    }


def test_every_block_does_what_the_text_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with_wandb, reading, tensorboard, own = blocks()
    names = {"Experiment": Experiment, "settings": settings(), "__name__": "page"}
    for code in (with_wandb, own):  # W&B is off in all tests
        exec(compile(code, "tracking.md", "exec"), names)
        experiment = names["experiment"]
        experiment.start()
        experiment.learn()
        experiment.close()
    exec(compile(reading, "tracking.md", "exec"), names)
    said = capsys.readouterr().out
    assert said.startswith("finished 2\n")
    assert re.search(r"^val/Average Total Return in CartPole-v1: \d+", said, re.MULTILINE)
    assert "(finished)" in (tmp_path / "runs" / "with-a-file" / "best.txt").read_text()
    assert "trackers=[TensorBoardTracker]" in tensorboard


def test_tensorboard_is_given_as_the_page_says(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason="an extra: amago[tensorboard]")
    monkeypatch.chdir(tmp_path)
    names = {"Experiment": Experiment, "settings": settings(), "__name__": "page"}
    exec(compile(blocks()[2], "tracking.md", "exec"), names)
    experiment = names["experiment"]
    experiment.start()
    experiment.learn()
    experiment.close()
    assert list((tmp_path / "runs" / "with-tensorboard").rglob("*tfevents*"))


@pytest.mark.parametrize("kind", ["links", "headings"])
def test_every_link_leads_somewhere(kind):
    linked = re.findall(r"\]\(([^)#]*)(#[^)]*)?\)", PAGE)
    if kind == "links":
        paths = {path for path, _ in linked if path and not path.startswith("http")}
        assert [path for path in sorted(paths) if not (ROOT / "docs" / path).exists()] == []
    else:
        found = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
        anchors = {"#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in found}
        assert {anchor for path, anchor in linked if anchor and not path} <= anchors
