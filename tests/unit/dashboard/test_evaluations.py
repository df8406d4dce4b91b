import pytest

from amago.dashboard.evaluations import env_names, families, parse
from amago.dashboard.ordering import natural


def test_metrics_become_a_grid_of_environments():
    names = [
        "val/Average Total Return in push-v3",
        "val/Bottom Quintile Total Return in push-v3",
        "val/Average Trial 10 Success in push-v3",
        "val/Average Trial 2 Success in push-v3",
        "val/Average Total Return in door-v3",
        "val/Average Total Return (Across All Env Names)",
        "val/Env FPS (per_process)",
        "test/Average Total Return in other",
    ]
    grid = parse(names, "val", ["push-v3", "door-v3"])
    assert grid.envs == ["door-v3", "push-v3"]
    assert grid.metrics == [
        "Average Total Return",
        "Bottom Quintile Total Return",
        "Average Trial 2 Success",
        "Average Trial 10 Success",
    ]
    assert grid.names["door-v3", "Average Total Return"] == names[4]
    assert ("door-v3", "Bottom Quintile Total Return") not in grid.names


@pytest.mark.parametrize("known", [["Key in Room", "Room"], []])
def test_an_env_name_may_contain_in(known):
    names = [
        "val/Average Total Return in Key in Room",
        "val/Average Total Return in Room",
        "val/Average Steps in Dark in Room",
        "val/Average Steps in Key in Room",
    ]
    grid = parse(names, "val", known)
    assert grid.envs == ["Key in Room", "Room"]
    assert grid.names["Room", "Average Steps in Dark"] == names[2]
    assert grid.names["Key in Room", "Average Steps"] == names[3]


def test_an_env_without_a_return_or_an_axis_is_what_follows_the_first_in():
    grid = parse(["val/Average Success in a in b"], "val", [])
    assert grid.names == {("a in b", "Average Success"): "val/Average Success in a in b"}


def test_names_of_environments_come_from_their_axes():
    axes = ["total_frames", "Epoch", "total_frames-a", "total_frames-b/c"]
    assert env_names(axes) == ["a", "b/c"]


@pytest.mark.parametrize(
    "metric, title",
    [
        ("Trial {} Success", "Trial {i} Success"),
        ("Episode {} Success", "Episode {i} Success"),
        ("Ep {} Return", "Ep {i} Return"),
        ("Return at step 100 of attempt {} (top 5)", "Return at step 100 of attempt {i} (top 5)"),
        ("return_{}", "return_{i}"),
    ],
)
def test_attempts_are_found_by_their_number(metric, title):
    names = [f"val/Average {metric.format(i)} in x" for i in (10, 0, 9)]
    (family,) = families(parse(names, "val", ["x"]))
    assert family.title == title
    assert family.attempts == [0, 9, 10]
    assert family.names == {"x": [names[1], names[2], names[0]]}


def test_a_family_needs_two_attempts_and_may_lack_some_of_an_environment():
    names = ["Trial 0 A in x", "Trial 1 A in x", "Trial 1 A in y", "Trial 0 B in x", "C in x"]
    grid = parse([f"val/Average {name}" for name in names], "val", ["x", "y"])
    (family,) = families(grid)
    assert family.names["y"] == [None, "val/Average Trial 1 A in y"]


def test_a_number_of_any_length_is_sorted_and_a_huge_one_is_no_attempt():
    huge = "9" * 5000
    assert natural("a2") < natural("a10") < natural(f"a{huge}")
    grid = parse([f"val/Average x{huge}{i} in e" for i in range(2)], "val", ["e"])
    assert families(grid) == []
