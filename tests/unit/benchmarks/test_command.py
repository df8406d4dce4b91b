"""The command line, and whole runs of it on packages made up here."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from amago_bench import cli
from amago_bench.cli import UsageError, main, parse_packages
from amago_bench.registry import Context, Unsupported, all_cases
from amago_bench.runner import Package

ROOT = Path(__file__).parents[3]


def fake_package(folder: Path, body: str = "") -> Path:
    """A folder with an `amago` that writes a line whenever it is imported."""
    (folder / "amago").mkdir(parents=True)
    note = f"open({str(folder.parent / 'order')!r}, 'a').write({folder.name!r} + ' ')\n"
    (folder / "amago" / "__init__.py").write_text(note + body)
    return folder


def test_a_package_is_named_by_its_folder_or_by_hand(tmp_path):
    one, two = fake_package(tmp_path / "one"), fake_package(tmp_path / "two")
    found = parse_packages([str(one), f"old={two}"], ["old=other-python"])
    assert found == [Package("one", one), Package("old", two, "other-python")]


def test_without_a_path_the_importable_package_is_measured():
    (found,) = parse_packages([], [])
    assert (found.name, found.path) == ("amago", ROOT)


@pytest.mark.parametrize(
    ("paths", "pythons", "message"),
    [
        (["{tmp}"], [], r"there is no amago/__init__\.py in"),
        (["a={tmp}/one", "a={tmp}/two"], [], "two packages are called alike"),
        (["{tmp}/one"], ["tow=python"], r"--python tow=\.\.\.: no package is called so"),
        (["{tmp}/one"], ["python"], "write NAME=FILE"),
    ],
)
def test_packages_that_cannot_be_measured_are_refused(tmp_path, paths, pythons, message):
    for name in ("one", "two"):
        fake_package(tmp_path / name)
    with pytest.raises(UsageError, match=message):
        parse_packages([path.format(tmp=tmp_path) for path in paths], pythons)


def test_the_list_has_a_line_for_every_case_or_for_those_named(capsys):
    assert main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(all_cases())
    assert main(["--list", "train/long"]) == 0
    assert capsys.readouterr().out.startswith("train/long ")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["trian"], "Did you mean train"),
        (["train/short", "--compare", "no-such.json"], "--compare no-such.json"),
    ],
)
def test_a_wrong_command_ends_with_status_2(argv, message, capsys):
    assert main(argv) == 2
    assert message in capsys.readouterr().err


def test_only_a_whole_run_writes_the_stored_results(monkeypatch, tmp_path):
    """A selection would otherwise overwrite what the others are compared with."""
    written = {}

    def measure(*args, save):
        written["out"] = save.args[0]
        return {"cases": {}, "machine": {"speeds": {}}}

    monkeypatch.setattr(cli, "_measure", measure)
    for argv, out in [
        ([], cli.RESULTS / "suite.json"),
        (["train/short"], None),
        (["--quick"], None),
        (["train/short", "--out", "mine.json"], Path("mine.json")),
    ]:
        main(argv)
        assert written["out"] == out, argv


@pytest.fixture
def alone(monkeypatch):
    """Children see nothing but the packages they are given."""
    monkeypatch.setenv("PYTHONPATH", "")


@pytest.mark.slow
def test_packages_are_asked_in_turn_and_compared_with_the_first(tmp_path, alone, capsys):
    packages = [fake_package(tmp_path / name) for name in ("new", "old")]
    out, table = tmp_path / "out.json", tmp_path / "table.md"
    argv = ["start/import", "--quick", "--repeats", "3", "--threads", "1"]
    argv += [f"--package-path={path}" for path in packages]
    assert main([*argv, "--out", str(out), "--table", str(table)]) == 0
    prepared, asked = ["new", "old"], ["new", "old"] * 3
    assert (tmp_path / "order").read_text().split() == prepared + asked
    measured = json.loads(out.read_text())
    case = measured["cases"]["start/import"]["packages"]
    assert case["new"]["cpu_s"]["n"] == case["old"]["cpu_s"]["n"] == 3
    assert 0 < case["new"]["cpu_s"]["median"] < 5
    assert case["old"]["cpu_s_ratio"]["n"] == 3
    assert measured["machine"]["speeds"]["gemm_fp32_per_cpu_s"] > 0
    assert measured["packages"][0] == {"name": "new", "commit": None, "dirty": None}
    assert str(tmp_path) not in out.read_text()
    assert not re.search(r"/(home|root|work|opt|tmp)/", out.read_text())
    assert len(table.read_text().splitlines()) == 4
    assert "of the first" in capsys.readouterr().out

    slower = json.loads(out.read_text())
    slower["cases"]["start/import"]["packages"]["new"]["cpu_s"]["median"] /= 1000
    (tmp_path / "stored.json").write_text(json.dumps(slower))
    assert main([*argv, "--compare", str(tmp_path / "stored.json")]) == 1
    assert "start/import: " in capsys.readouterr().err


@pytest.mark.slow
def test_a_package_that_fails_or_lacks_something_does_not_stop_the_others(tmp_path, alone, capsys):
    broken = fake_package(tmp_path / "broken", "raise ImportError('half an install')")
    whole = fake_package(tmp_path / "whole")
    argv = ["start/import", "gpu/eager/60M/128", "--quick", "--threads", "1"]
    status = main([*argv, f"--package-path={broken}", f"--package-path={whole}"])
    said = capsys.readouterr()
    assert status == 1
    assert "start/import, broken: " in said.err
    assert "half an install" in said.err
    rows = [line for line in said.out.splitlines() if line.startswith("| ")]
    (row,) = [line for line in rows if "start/import" in line and "whole" in line]
    assert "failed" not in row
    (row,) = [line for line in rows if "gpu/" in line and "whole" in line]
    assert "unsupported: torch sees no GPU" in row


@pytest.mark.slow
def test_this_package_runs_cases_of_every_part(tmp_path):
    out = tmp_path / "out.json"
    names = ["train/short", "rollout/cartpole_ff/sync/8", "loading/states/10", "log/names/10"]
    argv = [*names, "--quick", "--threads", "1", "--repeats", "1", "--out", str(out)]
    assert main(argv) == 0
    cases = json.loads(out.read_text())["cases"]
    assert list(cases) == names
    for name in names:
        (numbers,) = cases[name]["packages"].values()
        assert numbers["cpu_s"]["median"] > 0, name
        assert numbers["peak_rss_mb"] > 50, name


def test_a_setting_that_the_package_lacks_is_the_reason_given(tmp_path, monkeypatch):
    from amago_bench import experiments

    monkeypatch.setattr(experiments, "has_field", lambda name: name != "compile")
    case = all_cases()["train_compile/short"]
    with (
        pytest.raises(Unsupported, match="no field `compile`"),
        case.prepare(Context(tmp_path, threads=1, quick=True)),
    ):
        pytest.fail("it was prepared")


def test_the_suite_starts_without_the_package_it_measures():
    """`--list` must not depend on an amago that may be broken."""
    light = {"amago", "torch", "gymnasium"}
    code = "import sys, amago_bench.cli as c; c.all_cases(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not light & set(done.stdout.split())
