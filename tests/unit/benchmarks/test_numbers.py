"""From answers to medians, ratios, bounds, tables, growth, and whether something got slower."""

import copy

import pytest
from amago_bench import curves, regress, report, stats


def answers(*cpu_s: float, wall: float = 2.0) -> list[dict]:
    return [
        {"cpu_s": cpu, "wall_s": wall * cpu, "peak_rss_mb": 100 * cpu, "extra": {"x": 10 * cpu}}
        for cpu in cpu_s
    ]


def test_median_and_quartiles():
    assert stats.summary([4, 1, 3, 2, 100]) == {"median": 3, "q1": 2, "q3": 4, "n": 5}
    assert stats.summary([7.0]) == {"median": 7.0, "q1": 7.0, "q3": 7.0, "n": 1}


def test_a_package_is_its_medians_and_its_highest_peak():
    found = stats.of_package(answers(1, 2, 9))
    assert found["cpu_s"]["median"] == 2
    assert found["wall_s"]["median"] == 4
    assert found["peak_rss_mb"] == 900
    assert found["extra"]["x"]["median"] == 20


def test_ratios_are_taken_round_by_round():
    """A machine that slows down hits both; medians of each alone would say 3 / 2."""
    packages = {"a": {}, "b": {}}
    given = {"a": answers(1, 2, 8), "b": answers(3, 3, 8)}
    stats.add_ratios(packages, given, first="a")
    assert packages["b"]["cpu_s_ratio"]["median"] == 1.5
    assert packages["b"]["cpu_s_ratio"]["q1"] == 1.25
    assert "cpu_s_ratio" not in packages["a"]


def test_without_the_first_there_are_no_ratios():
    packages = {"b": {}}
    stats.add_ratios(packages, {"b": answers(1)}, first="a")
    assert packages == {"b": {}}


def test_the_bound_is_what_the_machine_could_do_in_the_same_round():
    result = {"bound": "gemm_fp32", "packages": {"a": {"facts": {"gflop": 100.0}}}}
    speeds = [{"extra": {"gemm_fp32_per_cpu_s": speed}} for speed in (100.0, 50.0, 25.0)]
    stats.add_bounds(result, {"a": answers(2, 4, 12)}, speeds)
    assert result["packages"]["a"]["times_bound"]["median"] == 2
    assert result["packages"]["a"]["times_bound"]["q3"] == 2.5
    assert result["packages"]["a"]["bound_cpu_s"] == 2


# ----------------------------------------------------------------------------------- regression


def measured(cpu_s: float = 1.0, speed: float = 80.0, threads: int = 2) -> dict:
    case = {
        "name": "train/x",
        "unit": "update",
        "bound": "gemm_fp32",
        "machine": {"gemm_fp32_per_cpu_s": {"median": speed}},
        "packages": {"new": {"cpu_s": {"median": cpu_s}}},
    }
    options = {"threads": threads, "quick": False}
    return {"packages": [{"name": "new"}], "options": options, "cases": {"train/x": case}}


def test_a_case_that_got_slower_is_named():
    lines = regress.slower(measured(1.3), measured(1.0))
    assert lines == ["train/x: 1.30 x the stored cost (allowed: 1.25 x)"]


@pytest.mark.parametrize("cpu_s", [0.5, 1.0, 1.24])
def test_within_the_tolerance_nothing_is_said(cpu_s):
    assert regress.slower(measured(cpu_s), measured(1.0)) == []


def test_the_tolerance_is_an_argument():
    assert regress.slower(measured(1.2), measured(1.0), tolerance=0.1) != []


def test_a_machine_half_as_fast_is_not_a_slower_package():
    assert regress.slower(measured(2.0, speed=40.0), measured(1.0, speed=80.0)) == []
    assert regress.slower(measured(1.0, speed=160.0), measured(1.0, speed=80.0)) != []


def test_the_first_packages_are_compared_whatever_they_are_called():
    stored = copy.deepcopy(measured(1.0))
    stored["packages"] = [{"name": "old"}]
    stored["cases"]["train/x"]["packages"] = {"old": {"cpu_s": {"median": 0.5}}}
    assert len(regress.slower(measured(1.0), stored)) == 1


def test_runs_that_mean_different_things_are_refused():
    with pytest.raises(regress.NotComparable, match="threads=2, the stored one threads=1"):
        regress.slower(measured(), measured(threads=1))
    empty = measured()
    empty["cases"]["train/x"]["packages"]["new"] = {"unsupported": "no such thing"}
    with pytest.raises(regress.NotComparable, match="no measured case in common"):
        regress.slower(measured(), empty)


# ---------------------------------------------------------------------------------------- table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ns"),
        (2.5e-8, "25.0 ns"),
        (3.14159e-3, "3.14 ms"),
        (12.34, "12.3 s"),
        (4321, "4321 s"),
    ],
)
def test_seconds_have_three_digits_and_a_unit(value, text):
    assert report.seconds(value) == text


def test_the_table_gives_numbers_or_the_reason_why_there_are_none():
    numbers = stats.of_package(answers(0.5)) | {"facts": {"gflop": 3.0}}
    numbers |= {"times_bound": {"median": 1.5}, "bound_cpu_s": 0.25, "cpu_s_ratio": {"median": 2}}
    result = {
        "name": "train/x",
        "unit": "update",
        "packages": {"a": numbers, "b": {"unsupported": "no `compile`"}},
    }
    table = report.markdown(report.HEADER, report.rows(result))
    header, rule, a, b = table.splitlines()
    assert len({len(line.split("|")) for line in (header, rule, a, b)}) == 1
    cells = dict(
        zip((cell.strip() for cell in header.split("|")), (c.strip() for c in a.split("|")))
    )
    assert cells["CPU"] == "500 ms"
    assert cells["x bound"] == "1.50"
    assert cells["of first"] == "2.00"
    assert "unsupported: no `compile`" in b
    assert any("unsupported" in line for line in report.lines(result))


# --------------------------------------------------------------------------------------- growth


def swept(costs: dict[float, float], gflop=None, at_once: bool = False) -> dict:
    cases = {
        f"c/{size}": {
            "curve": "context",
            "size": size,
            "at_once": at_once,
            "packages": {
                "a": {
                    "cpu_s": {"median": cost},
                    "facts": {} if gflop is None else {"gflop": gflop(size)},
                }
            },
        }
        for size, cost in costs.items()
    }
    return {"cases": cases}


SIZES = (1, 2, 4, 8, 16)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_exponent_is_the_slope_in_logarithms(power):
    found = curves.exponent(list(SIZES), [3.0 * size**power for size in SIZES])
    assert found == pytest.approx(power, abs=1e-9)


def test_cost_that_outgrows_its_size_is_flagged():
    (line,) = curves.describe(swept({size: size**1.5 for size in SIZES}))
    assert "SUPER-LINEAR" in line
    assert "size^1.50" in line
    (line,) = curves.describe(swept({size: 5.0 + size for size in SIZES}))
    assert "SUPER-LINEAR" not in line


def test_what_needs_more_than_linear_work_may_cost_more_than_linear_time():
    squares = {size: float(size**2) for size in SIZES}
    (line,) = curves.describe(swept(squares, gflop=lambda size: size**2))
    assert "SUPER-LINEAR" not in line


def test_the_cost_of_one_of_many_is_multiplied_by_how_many_there_are():
    (line,) = curves.describe(swept(dict.fromkeys(SIZES, 1.0), at_once=True))
    assert "size^1.00" in line


def test_two_points_are_no_curve():
    assert curves.describe(swept({1: 1.0, 2: 9.0})) == []


def test_every_curve_is_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="of the extra `demo`, which not everybody has")
    (file,) = curves.plot(swept({size: float(size) for size in SIZES}), tmp_path / "new")
    assert file.name == "cost.png"
    assert file.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(curves.NoMatplotlib, match=r"pip install 'amago\[demo\]'"):
        curves.plot(swept({1: 1.0}), tmp_path)
