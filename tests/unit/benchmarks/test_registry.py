"""Which cases there are, and how they are chosen."""

from contextlib import nullcontext

import pytest
from amago_bench import registry
from amago_bench.registry import Case, Work, all_cases, select


def case(name: str, is_slow: bool = False) -> Case:
    work = nullcontext(Work(lambda watch: 1))
    return Case(name, "says", "unit", lambda context: work, is_slow=is_slow)


CASES = {
    made.name: made
    for made in (
        case("train/lunar_tf"),
        case("train/lunar_tf_wide"),
        case("train_bf16/lunar_tf"),
        case("load/buffer/100"),
        case("load/buffer/1000000", is_slow=True),
    )
}


def names(*wanted: str) -> list[str]:
    return [chosen.name for chosen in select(wanted, CASES)]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (["train/lunar_tf"], ["train/lunar_tf"]),
        (["train"], ["train/lunar_tf", "train/lunar_tf_wide"]),
        (["load/buffer"], ["load/buffer/100"]),
        (["train*/lunar_tf"], ["train/lunar_tf", "train_bf16/lunar_tf"]),
        (
            ["train_bf16", "train*"],
            ["train_bf16/lunar_tf", "train/lunar_tf", "train/lunar_tf_wide"],
        ),
        (["load/buffer/1000000"], ["load/buffer/1000000"]),
        (["load/buffer/1000?*"], ["load/buffer/1000000"]),
    ],
)
def test_a_name_a_first_part_or_a_pattern_chooses(wanted, chosen):
    assert names(*wanted) == chosen


def test_without_a_name_all_but_the_slowest_run():
    assert names() == [name for name in CASES if name != "load/buffer/1000000"]


def test_an_unknown_name_is_told_what_comes_near():
    with pytest.raises(KeyError, match="Did you mean train/lunar_tf"):
        names("train/lunar_ft")


def test_slow_cases_run_only_where_nothing_else_is_meant():
    assert names("load/buffer") == ["load/buffer/100"]
    assert names("load/buffer/1??????") == ["load/buffer/1000000"]


def test_every_case_says_in_a_line_what_it_is():
    cases = all_cases()
    assert {"train", "rollout", "env", "loading", "log", "start", "e2e", "scaling", "gpu"} <= {
        name.split("/")[0] for name in cases
    }
    for name, found in cases.items():
        assert found.name == name
        assert found.says
        assert len(found.says.splitlines()) == 1
        assert (found.curve is None) == (found.size is None)


def test_a_name_is_used_once(monkeypatch):
    monkeypatch.setattr(registry, "CASE_MODULES", ("train", "train"))
    with pytest.raises(ValueError, match="two benchmark cases are called 'train/cartpole_ff'"):
        all_cases()
