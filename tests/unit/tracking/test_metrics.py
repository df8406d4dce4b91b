from pathlib import Path

import pytest

import amago
from amago.tracking.metrics import (
    AXES,
    SECTIONS,
    all_metrics,
    declared,
    is_axis,
    section,
    section_order,
)

ROOT = Path(amago.__file__).parent.parent


@pytest.mark.parametrize(
    ("name", "declaration"),
    [
        ("val/Average Total Return (Across All Env Names)", None),
        ("val/Average Total Return in ALE/Pong", "val/Average Total Return in {name}"),
        ("test/Bottom Quintile Total Return in x", "test/Bottom Quintile Total Return in {name}"),
        ("val/Average Trial 0 Success in reach-v2", "val/Average {metric} in {name}"),
        ("val/Average speed in m/s in a in b", "val/Average {metric} in {name}"),
        ("val/Env FPS (per_process)", None),
        ("val_episodes/Average Total Return (Across All Episodes)", None),
        ("test_episodes/Episodes Finished", None),
        ("total_frames-ALE/Pong", "total_frames-{name}"),
        (
            "train/Pct. of Actions Approved by Binary FBC (gamma =  0.999)",
            "train/Pct. of Actions Approved by Binary FBC (gamma = {gamma})",
        ),
        (
            "train/Q(s, a) (global mean, rescaled) gamma=0.999",
            "train/Q(s, a) (global mean, rescaled) gamma={gamma}",
        ),
        ("train/TstepEncoder Grad Norm", None),
        ("train/activation-TanhGaussian-mu-max", "train/activation-{layer}-{statistic}"),
        (
            "dataset/mine Buffer Disk Space (GB)",
            "dataset/{dataset} Buffer Disk Space (GB)",
        ),
        ("System/GPU 3 Power (W)", "System/GPU {index} Power (W)"),
    ],
)
def test_a_name_finds_its_declaration(name, declaration):
    metric = declared(name)
    assert metric is not None
    assert metric.name == (declaration or name)


@pytest.mark.parametrize(
    "name",
    [
        "train/mine",
        "val/Env FPS",
        "test/Env FPS (per_process)",
        "val/Episodes Finished",
        "dataset/mine Environment Faults",
        "",
    ],
)
def test_other_names_are_not_declared(name):
    assert declared(name) is None


@pytest.mark.parametrize("metric", all_metrics(), ids=lambda metric: metric.name)
def test_every_declaration_covers_itself_and_is_complete(metric):
    assert declared(metric.name) == metric
    assert metric.unit
    assert metric.formula
    assert metric.says.endswith((".", ")"))


def test_what_is_said_to_make_a_metric_exists():
    assert [m.name for m in all_metrics() if not (ROOT / m.source).exists() or not m.source] == []


def test_names_are_declared_once_and_in_the_order_of_the_sections():
    names = [metric.name for metric in all_metrics()]
    assert len(names) == len(set(names))
    sections = list(dict.fromkeys(metric.section for metric in all_metrics()))
    assert sections == section_order(names)
    assert set(sections) - set(SECTIONS) == {"val_episodes", "test_episodes"}


def test_other_sections_are_shown_by_the_alphabet_before_the_last():
    names = ["zeta/x", "System/CPU (%)", "val/y", "Epoch", "test/a", "alpha/x", "val/x"]
    assert section_order(names) == ["test", "Charts", "val", "alpha", "zeta", "System"]
    assert section_order([]) == []


def test_axes_are_told_from_metrics_by_their_names():
    assert all(is_axis(name) for name in (*AXES, "total_frames-ALE/Pong", "my_axis"))
    assert not is_axis("val/total_frames")
    assert section("Epoch") == "Charts"
    assert section("test/x/y") == "test"
