"""`amago train`: what it refuses, what it passes on, and one tiny run from the name of a world."""

import json
from pathlib import Path
from typing import Any

import pytest

from amago import Experiment, open_run
from amago.cli.main import main
from amago.core import config

TINY = {
    "--dloader_workers": "0",
    "--parallel_actors": "2",
    "--epochs": "1",
    "--timesteps_per_epoch": "60",
    "--batches_per_epoch": "2",
    "--batch_size": "2",
    "--memory_size": "16",
    "--memory_layers": "1",
    "--val_interval": "1",
    "--ckpt_interval": "1",
    "--max_seq_len": "8",
    "--eval_timesteps": "60",
}
"""A run of a second."""


def amago_train(folder: Path, *flags: str, env: str = "CartPole-v1", **tiny: str) -> int:
    """Run the command with the tiny budget; `tiny` replaces parts of it."""
    budget = TINY | {f"--{name}": value for name, value in tiny.items()}
    words = [word for pair in budget.items() for word in pair]
    named = ["--env", env, "--run_name", "run", "--buffer_dir", str(folder)]
    return main(["train", *named, *words, *flags])


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Experiments that would have been trained."""
    experiments: list[Any] = []
    monkeypatch.setattr(Experiment, "start", lambda self: experiments.append(self))
    for method in ("learn", "evaluate_test", "close"):
        monkeypatch.setattr(Experiment, method, lambda *args, **kwargs: None)
    return experiments


def config_of(folder: Path, run: str = "run") -> dict[str, Any]:
    return json.loads((folder / run / "config.json").read_text())


@pytest.mark.slow  # a whole run
def test_it_trains_tests_and_says_how_to_watch(tmp_path, capsys):
    assert amago_train(tmp_path) == 0
    with open_run(tmp_path / "run") as run:
        recorded = {metric.name: metric.last_axes["gradient_steps"] for metric in run.metrics}
    assert recorded["val/Average Total Return in CartPole-v1"] == 0
    assert recorded["test/Average Total Return in CartPole-v1"] == 2
    assert "amago dashboard" in capsys.readouterr().out


@pytest.mark.parametrize(
    "env, argument, seq_len",
    [
        ("MetaFrozenLake", "env.size=2", 40),
        ("RoomKeyDoor", "env.meta_rollout_horizon=30", 30),
        ("TMazeAltPassive", "env.corridor_length=5", 6),
        ("TMazeAltActive", "env.corridor_length=5", 8),
        ("CartPole-v1", "env.render_mode=rgb_array", 128),
    ],
)
def test_every_world_has_a_length_and_takes_arguments(env, argument, seq_len, tmp_path, made):
    parts = ["train", "--env", env, "--run_name", "a", "--buffer_dir", str(tmp_path)]
    assert main([*parts, "--set", argument]) == 0
    assert made[0].max_seq_len == seq_len
    assert made[0].val_timesteps_per_epoch >= seq_len


@pytest.mark.parametrize(
    "env, argument",
    [
        ("MetaFrozenLake", "env.size=2"),
        ("RoomKeyDoor", "env.meta_rollout_horizon=30"),
        ("TMazeAltPassive", "env.corridor_length=5"),
        ("TMazeAltActive", "env.corridor_length=5"),
    ],
)
def test_a_built_in_world_comes_as_a_batch_of_all_actors(env, argument, tmp_path, made):
    flags = ["--set", argument, "--env_mode", "already_vectorized"]
    assert amago_train(tmp_path, *flags, env=env) == 0
    assert amago_train(tmp_path, *flags, "--set", "parallel_actors=3", env=env) == 0
    worlds = [experiment.make_train_env() for experiment in made]
    assert [world.batched_envs for world in worlds] == [2, 3]
    name, value = argument.removeprefix("env.").split("=")
    assert {world.env_name for world in worlds} == {env}
    assert {world.get_wrapper_attr(name) for world in worlds} == {int(value)}


@pytest.mark.slow  # a whole run
def test_it_trains_in_a_batch(tmp_path):
    flags = ["--env_mode", "already_vectorized", "--set", "verbose=False"]
    assert amago_train(tmp_path, *flags, env="TMazeAltPassive", parallel_actors="64") == 0
    with open_run(tmp_path / "run") as run:
        names = {metric.name for metric in run.metrics}
        stored = run.series("dataset/Total Trajectory Files in Replay Buffer", x="gradient_steps")
    assert "val/Average Success in TMazeAltPassive" in names
    assert "test/Average Total Return in TMazeAltPassive" in names
    assert list(stored.y) == [64 * 5]  # 60 steps of 64 rows, episodes of 11


def test_settings_and_selectors_arrive(tmp_path, made):
    asked = ("batch_size=5", "learning_rate=1", "amago.agent.Agent.gamma=0.9", "Agent.tau=1e-3")
    flags = [word for assignment in asked for word in ("--set", assignment)]
    assert amago_train(tmp_path, *flags) == 0
    assert (made[0].batch_size, made[0].learning_rate) == (5, 1.0)
    bound = config.bindings()
    assert (bound["amago.agent.Agent.gamma"], bound["amago.agent.Agent.tau"]) == (0.9, 1e-3)


def test_set_wins_over_a_gin_file_and_over_a_flag(tmp_path, made):
    file = tmp_path / "mine.gin"
    file.write_text("Agent.gamma = 0.5\nAgent.tau = 0.5\n")
    flags = ("--configs", str(file), "--set", "Agent.gamma=0.75", "--set", "epochs=3")
    assert amago_train(tmp_path, *flags) == 0
    bound = config.bindings()
    assert (bound["amago.agent.Agent.gamma"], bound["amago.agent.Agent.tau"]) == (0.75, 0.5)
    assert made[0].epochs == 3


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--set", "batch_sise=8"], "did you mean 'batch_size'"),
        (["--set", "batch_size"], "NAME=VALUE"),
        (["--set", "batch_size=many"], "type str, not int"),
        (["--set", "verbose=1"], "type int, not bool"),
        (["--set", "run_name=x"], "--run_name"),
        (["--set", "Agent.gama=0.9"], "did you mean 'gamma'"),
        (["--set", "Agnt.gamma=0.9"], "nothing configurable is named 'Agnt'"),
        (["--set", "env.colour=1"], "colour"),
        (["--set", "traj_save_len=4"], "traj_save_len"),
        (["--env", "CartPole-v9"], "CartPole"),
        (["--env", "MetaFrozenLak"], "did you mean 'MetaFrozenLake'"),
        (["--env", "no.such.module:Env-v0"], "no.such"),
        (["--env", "MetaFrozenLake", "--set", "env.siz=3"], "did you mean 'size'"),
        (["--env", "MetaFrozenLake", "--set", "env.size=1"], "size"),
        (["--env_mode", "already_vectorized"], "TMazeAltActive. For CartPole-v1, choose sync"),
        (["--set", "env_mode=already_vectorized"], "needs an environment that steps many tasks"),
        (["--resume", "--ckpt", "3"], "give one"),
        (["--trials", "0"], "--trials"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(flags, message, tmp_path, capsys):
    assert amago_train(tmp_path / "runs", *flags) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_run_is_not_mixed_with_another_of_its_name(tmp_path, capsys):
    assert amago_train(tmp_path, "--set", "verbose=False") == 0
    before = (tmp_path / "run" / "tracking" / "learner.jsonl").read_bytes()
    assert amago_train(tmp_path) == 1
    assert "--resume" in capsys.readouterr().err
    assert (tmp_path / "run" / "tracking" / "learner.jsonl").read_bytes() == before


@pytest.mark.slow  # a whole run
def test_resume_starts_a_run_and_goes_on_with_it(tmp_path):
    for epochs in ("1", "2"):
        assert amago_train(tmp_path, "--resume", "--set", "verbose=False", epochs=epochs) == 0
    with open_run(tmp_path / "run") as run:
        trained = [session["gen"] for session in run.sessions if session["writer"] == "learner"]
        stored = run.series("dataset/Total Trajectory Files in Replay Buffer", x="gradient_steps")
    assert trained == [0, 1]
    assert list(stored.x) == [0, 2]  # a row in each epoch
    assert config_of(tmp_path)["experiment"]["epochs"] == 2


def test_trials_are_runs_of_one_group_with_seeds_of_their_own(tmp_path, made):
    assert amago_train(tmp_path, "--trials", "2", "--set", "seed=7") == 0
    assert [(e.run_name, e.seed) for e in made] == [("run_trial_0", 7), ("run_trial_1", 8)]
    assert {e.wandb_group_name for e in made} == {"run"}


@pytest.mark.parametrize(
    "flags, project, wanted",
    [
        ([], None, False),
        ([], "mine", True),
        (["--wandb"], None, True),
        (["--wandb", "--no_log"], "mine", False),
        (["--set", "wandb_project=mine"], None, True),
        (["--set", "log_to_wandb=False"], "mine", False),
    ],
)
def test_wandb_is_used_when_it_is_asked_for(flags, project, wanted, tmp_path, made, monkeypatch):
    if project:
        monkeypatch.setenv("AMAGO_WANDB_PROJECT", project)
    assert amago_train(tmp_path, *flags) == 0
    assert made[0].log_to_wandb is wanted


def test_the_dashboard_is_shown_while_it_trains(tmp_path, made, monkeypatch, capsys):
    class Shown:
        url = "http://127.0.0.1:1/?token=t"

        def __init__(self, folders: list[str]) -> None:
            assert all(Path(folder).is_dir() for folder in folders)

        def close(self) -> None:
            assert len(made) == 1  # it trained in between

    monkeypatch.setattr("amago.dashboard.background.serve_in_background", Shown)
    assert amago_train(tmp_path / "runs", "--dashboard") == 0
    assert f"Dashboard: {Shown.url}\n" in capsys.readouterr().out


def test_a_collector_joins_a_run_that_is_there(tmp_path, made):
    (tmp_path / "run" / "tracking").mkdir(parents=True)
    (tmp_path / "run" / "tracking" / "learner.jsonl").touch()
    assert amago_train(tmp_path, "--mode", "collect") == 0
    assert made[0].role == "collect"


def test_images_get_a_network_for_images(tmp_path, made):
    # The environment is made, looked at and closed; it is never reset.
    assert amago_train(tmp_path, env="tests_of_train:Pictures-v0") == 0
    assert made[0].tstep_encoder_type.__name__ == "CNNTstepEncoder"


@pytest.fixture(autouse=True)
def module_that_registers_an_environment(tmp_path, monkeypatch):
    source = (
        "import gymnasium, numpy\n"
        "class Pictures(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Box(0, 255, (36, 36, 3), numpy.uint8)\n"
        "    action_space = gymnasium.spaces.Discrete(2)\n"
        "gymnasium.register('Pictures-v0', entry_point=Pictures)\n"
    )
    folder = tmp_path.with_name(f"{tmp_path.name}-modules")
    folder.mkdir()
    (folder / "tests_of_train.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
