"""A run with the shape of Meta-World ML45, three attempts each: exactly the documented metrics."""

from collections.abc import Iterator

import pytest
from fake_metaworld import FakeBenchmark

from amago.envs.builtin.metaworld_ml import pinned_tasks
from amago.tracking.reader import read_rows

K, LENGTH = 3, 2
TRAIN = [f"task-{i}-v3" for i in range(45)]
TEST = [f"task-{i}-v3" for i in range(45, 50)]


def names_of(env_names: list[str]) -> set[str]:
    """What is reported of finished episodes."""
    each = [
        "Average Total Return",
        "Bottom Quintile Total Return",
        *[f"Average Trial {i} Success" for i in range(K)],
        "Average Total Successes",
    ]
    of_names = {f"{metric} in {name}" for name in env_names for metric in each}
    return of_names | {"Average Total Return (Across All Env Names)"}


VAL = names_of(TRAIN) | {"Env FPS (per_process)"}


@pytest.fixture
def ml45(make_tiny, tmp_path) -> Iterator:
    """45 actors, one task each, for one epoch."""
    make_envs = pinned_tasks(FakeBenchmark(), "train", K, LENGTH)
    experiment = make_tiny(
        make_train_env=make_envs,
        make_val_env=make_envs,
        parallel_actors=45,
        epochs=1,
        train_timesteps_per_epoch=2 * K * LENGTH,
        val_timesteps_per_epoch=K * LENGTH,
    )
    experiment.start()
    return experiment


def test_one_evaluation_has_exactly_the_272_metrics(ml45):
    metrics = ml45.evaluate_val()
    assert len(metrics) == 272
    assert set(metrics) == VAL


def test_their_values_are_those_of_the_tasks(ml45):
    metrics = ml45.evaluate_val()
    returns = [i * K * LENGTH for i in range(45)]  # task i pays i at each step
    for i, name in enumerate(TRAIN):
        assert metrics[f"Average Total Return in {name}"] == returns[i]
        assert metrics[f"Bottom Quintile Total Return in {name}"] == returns[i]
        trials = [metrics[f"Average Trial {t} Success in {name}"] for t in range(K)]
        assert trials == sorted(trials)  # once the fake's goal was met, it is met again
        assert metrics[f"Average Total Successes in {name}"] == sum(trials)
    average = metrics["Average Total Return (Across All Env Names)"]
    assert average == pytest.approx(sum(returns) / 45)


def test_the_record_has_them_with_the_frames_of_every_task(ml45, tmp_path):
    ml45.learn()
    ml45.evaluate_test(pinned_tasks(FakeBenchmark(), "test", K, LENGTH, actors=45), K * LENGTH)
    ml45.record.flush()
    rows = list(read_rows(tmp_path / "tiny"))
    (val,) = [row for row in rows if "val/Env FPS (per_process)" in row.data]
    assert {name for name in val.data if name.startswith("val/")} == {f"val/{n}" for n in VAL}
    (test,) = [row for row in rows if any(name.startswith("test/") for name in row.data)]
    assert {n for n in test.data if n.startswith("test/")} == {f"test/{n}" for n in names_of(TEST)}
    frames = {name: v for name, v in test.axes.items() if name.startswith("total_frames-")}
    assert frames == {f"total_frames-{name}": 2 * K * LENGTH for name in TRAIN}
    assert test.axes["total_frames"] == sum(frames.values())
