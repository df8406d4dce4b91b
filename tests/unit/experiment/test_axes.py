"""The x-axes: every row has all of them, and none goes back, whatever kind of run it is.

Learners and collectors of one run: test_collecting.py, and as separate processes
tests/faults/test_separate_processes.py.
"""

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from amago.envs import AMAGOEnv
from amago.tracking.reader import Row, read_events, read_rows

pytestmark = pytest.mark.slow  # whole runs

AXES = {"total_frames", "total_frames-CartPole", "Epoch", "gradient_steps"}


def rows_of(experiment: Any) -> list[Row]:
    experiment.record.flush()
    return list(read_rows(experiment.run_dir))


def assert_complete_and_monotone(rows: list[Row], names: set[str]) -> None:
    assert {frozenset(row.axes) for row in rows} == {frozenset(names)}
    for name in names:
        values = [row.axes[name] for row in rows]
        assert values == sorted(values), name


def with_data_of(make_tiny: Any, root: Path) -> Any:
    """A run that has collected, learnt and saved."""
    experiment = make_tiny(root=root)
    experiment.start()
    experiment.learn()
    experiment.close()
    return experiment


def test_a_resumed_run_goes_on_with_every_axis(make_tiny: Any):
    first = make_tiny(epochs=2)
    first.start()
    first.learn()
    first.evaluate_test(first.make_val_env, timesteps=25)
    first.close()
    second = make_tiny(epochs=4)
    second.start()
    assert second.resume()
    second.learn()
    rows = rows_of(second)
    assert {row.generation for row in rows} == {0, 1}
    assert_complete_and_monotone(rows, AXES)
    assert rows[-1].axes == {
        "total_frames": 4 * 40 * 3,
        "total_frames-CartPole": 4 * 40 * 3,
        "Epoch": 3,
        "gradient_steps": 4 * 3,
    }


def test_a_run_without_collecting_moves_along_gradient_steps(make_tiny: Any, tmp_path: Path):
    collected = with_data_of(make_tiny, tmp_path / "data")
    offline = make_tiny(
        root=tmp_path / "offline",
        dataset=collected.dataset,
        train_timesteps_per_epoch=0,
        val_interval=1,
    )
    offline.start()
    offline.learn()
    rows = rows_of(offline)
    assert_complete_and_monotone(rows, AXES)
    assert {row.axes["total_frames"] for row in rows} == {0}
    assert {row.axes["total_frames-CartPole"] for row in rows} == {0}
    assert [row.axes["gradient_steps"] for row in rows][-1] == 6
    assert [row.axes["Epoch"] for row in rows][-1] == 1
    evaluated = [
        row.axes["gradient_steps"] for row in rows if "val/Env FPS (per_process)" in row.data
    ]
    assert evaluated == [0, 3]


@pytest.mark.parametrize("has_own_folder", [False, True])
def test_a_run_that_only_evaluates_stands_where_its_checkpoint_was(
    make_tiny: Any, tmp_path: Path, has_own_folder: bool
):
    trained = with_data_of(make_tiny, tmp_path)
    state = Path(trained.ckpt_dir) / "training_states" / "tiny_epoch_1"
    evaluating = make_tiny(root=tmp_path, run_name="eval" if has_own_folder else "tiny")
    evaluating.start()
    if has_own_folder:
        evaluating.load_checkpoint_from_path(state)
    else:
        evaluating.load_checkpoint(1)
    before = len(rows_of(trained)), (Path(evaluating.run_dir) / "tracking").exists()
    assert before == (len(rows_of(trained)), not has_own_folder)  # loading alone writes nothing
    evaluating.evaluate_val()
    evaluating.evaluate_test(evaluating.make_val_env, timesteps=25)
    assert not (Path(evaluating.run_dir) / "learner.lock").exists()
    new = [r for r in rows_of(evaluating) if r.writer == "evaluation"]
    reached = {
        "total_frames": 2 * 40 * 3,
        "total_frames-CartPole": 2 * 40 * 3,
        "Epoch": 1,
        "gradient_steps": 6,
    }
    assert all(row.axes == reached for row in new)
    sections = {name.partition("/")[0] for row in new for name in row.data}
    assert sections == {"val", "val_episodes", "test", "test_episodes", "System"}
    (session,) = [
        event
        for event in read_events(evaluating.run_dir)
        if event["kind"] == "session" and event["writer"] == "evaluation"
    ]
    assert session["config"]["experiment"]["batch_size"] == 4
    assert session["command"]


def test_weights_alone_are_evaluated_at_the_beginning_of_the_axes(make_tiny: Any, tmp_path: Path):
    trained = with_data_of(make_tiny, tmp_path)
    evaluating = make_tiny(root=tmp_path, run_name="eval")
    evaluating.start()
    policy = Path(trained.ckpt_dir) / "policy_weights" / "policy_epoch_1.pt"
    evaluating.load_checkpoint_from_path(policy, is_accelerate_state=False)
    evaluating.evaluate_test(evaluating.make_val_env, timesteps=25)
    rows = rows_of(evaluating)
    assert {row.writer for row in rows} == {"evaluation"}
    assert "test/Average Total Return in CartPole" in rows[0].data
    assert_complete_and_monotone(rows, AXES)
    assert rows[-1].axes["total_frames"] == 0


class Renamed(AMAGOEnv):
    """Another task at every second reset."""

    def __init__(self) -> None:
        self.resets = 0
        super().__init__(gym.make("CartPole-v1", max_episode_steps=20), env_name="")

    @property
    def env_name(self) -> str:
        return "first" if self.resets < 3 else "later"

    def inner_reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.resets += 1
        return super().inner_reset(seed=seed, options=options)


def test_a_name_has_its_axis_from_the_first_row_in_which_it_is_known(make_tiny: Any):
    experiment = make_tiny(make_train_env=Renamed, parallel_actors=1, epochs=3)
    experiment.start()
    experiment.learn()
    rows = rows_of(experiment)
    by_axis = {
        name: [row.axes[name] for row in rows if name in row.axes]
        for name in ("total_frames", "total_frames-first", "total_frames-later")
    }
    assert by_axis["total_frames-first"][0] == 0
    assert len(by_axis["total_frames-first"]) == len(rows)
    assert 0 < len(by_axis["total_frames-later"]) < len(rows)
    for values in by_axis.values():
        assert values == sorted(values)
    last = rows[-1].axes
    assert last["total_frames"] == last["total_frames-first"] + last["total_frames-later"] == 120


def test_frames_of_several_names_add_up_to_all_frames(make_tiny: Any):
    def make(name: str) -> AMAGOEnv:
        return AMAGOEnv(gym.make("CartPole-v1", max_episode_steps=20), env_name=name)

    factories = [partial(make, name) for name in ("a", "b", "b")]
    experiment = make_tiny(make_train_env=factories, epochs=2)
    experiment.start()
    experiment.learn()
    axes = [row.axes for row in rows_of(experiment)]
    assert [a["total_frames"] for a in axes] == [
        a["total_frames-a"] + a["total_frames-b"] for a in axes
    ]
    assert axes[-1]["total_frames-b"] == 2 * axes[-1]["total_frames-a"] == 160
    assert np.diff([a["total_frames-a"] for a in axes]).min() >= 0


def test_evaluating_an_old_checkpoint_hides_nothing_of_the_training(make_tiny: Any, tmp_path: Path):
    trained = with_data_of(make_tiny, tmp_path)
    before = rows_of(trained)
    settings = (Path(trained.run_dir) / "config.json").read_bytes()
    evaluating = make_tiny(root=tmp_path, batch_size=2)
    evaluating.start()
    evaluating.load_checkpoint(0)
    evaluating.evaluate_test(evaluating.make_val_env, timesteps=25)
    after = rows_of(evaluating)
    assert [row for row in after if row.writer == "learner"] == before
    assert any("test/Average Total Return in CartPole" in row.data for row in after)
    assert (Path(trained.run_dir) / "config.json").read_bytes() == settings


def test_a_test_stands_when_the_run_is_extended(make_tiny: Any, tmp_path: Path):
    trained = with_data_of(make_tiny, tmp_path)
    trained.evaluate_test(trained.make_val_env, timesteps=25)
    trained.close()
    extended = make_tiny(root=tmp_path, epochs=3)
    extended.start()
    assert extended.resume()
    extended.learn()
    tests = [
        row for row in rows_of(extended) if "test/Average Total Return in CartPole" in row.data
    ]
    assert [row.axes["Epoch"] for row in tests] == [1]
