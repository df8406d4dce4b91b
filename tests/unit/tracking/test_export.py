"""Runs as tables in files."""

import argparse
import csv
import math
import sys

import pytest

from amago.cli import export as command
from amago.core.errors import ConfigError, MetricNotFoundError, MissingExtraError
from amago.tracking.export import export_run
from amago.tracking.run import Run, open_run
from amago.tracking.store import LocalRecord

NAME = 'val/Return in "a", b\nc'


@pytest.fixture
def run(tmp_path) -> Run:
    record = LocalRecord(tmp_path / "lake")
    for i in range(3):
        axes = {"total_frames": 10 * i, "Epoch": i}
        value = math.nan if i == 1 else 0.1 + i
        record.log(axes | {NAME: value, "train/Text": "words"})
        record.log(axes | {"train/Loss": 2.0})
    record.finish("finished")
    return open_run(tmp_path / "lake")


def read_csv(path) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_long_csv_has_a_line_for_each_value(run, tmp_path):
    path = export_run(run, tmp_path / "new" / "out.csv")
    assert read_csv(path) == [
        ["run", "metric", "total_frames", "value"],
        ["lake", "train/Loss", "0", "2"],
        ["lake", "train/Loss", "10", "2"],
        ["lake", "train/Loss", "20", "2"],
        ["lake", NAME, "0", "0.1"],
        ["lake", NAME, "10", ""],
        ["lake", NAME, "20", "2.1"],
    ]


def test_a_pattern_and_an_axis_choose_what_is_exported(run, tmp_path):
    path = export_run(run, tmp_path / "out.csv", metrics="train/*", x="Epoch")
    assert read_csv(path)[0] == ["run", "metric", "Epoch", "value"]
    assert {line[1] for line in read_csv(path)[1:]} == {"train/Loss"}
    with pytest.raises(MetricNotFoundError):
        export_run(run, tmp_path / "out.csv", metrics="test/*")


def test_wide_csv_has_a_line_for_each_row(run, tmp_path):
    head, *lines = read_csv(export_run(run, tmp_path / "out.csv", layout="wide"))
    assert head == [
        *("run", "writer", "Step", "Wall Time", "Process Time", "total_frames", "Epoch"),
        *("train/Loss", NAME),
    ]
    assert [line[2] for line in lines] == ["0", "1", "2", "3", "4", "5"]
    assert [line[-2:] for line in lines] == [
        *(["", "0.1"], ["2", ""], ["", ""], ["2", ""], ["", "2.1"], ["2", ""])
    ]


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_parquet_holds_the_same(run, tmp_path, layout):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'export'")
    table = parquet.read_table(export_run(run, tmp_path / "out.parquet", layout=layout))
    expected = read_csv(export_run(run, tmp_path / "out.csv", layout=layout))
    assert table.column_names == expected[0]
    assert table.num_rows == len(expected) - 1
    if layout == "long":
        found = table.to_pydict()
        assert found["metric"] == [line[1] for line in expected[1:]]
        assert found["total_frames"] == [0, 10, 20] * 2
        assert found["value"][3:] == [0.1, pytest.approx(math.nan, nan_ok=True), 2.1]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("layout", ["long", "wide"])
def test_a_run_without_rows_is_an_empty_table(tmp_path, suffix, layout):
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra 'export'")
    record = LocalRecord(tmp_path / "empty")
    record.begin()
    record.finish("finished")
    path = export_run(open_run(tmp_path / "empty"), tmp_path / f"out.{suffix}", layout=layout)
    assert path.stat().st_size > 0


def test_parquet_without_its_package_names_the_extra(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"amago\[export\]"):
        export_run(run, tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]


def test_another_kind_of_file_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match=r"\.csv or \.parquet"):
        export_run(run, tmp_path / "out.xlsx")


def test_the_command_writes_the_file_and_says_where(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args([str(run.path)])) == 0
    assert capsys.readouterr().out == "lake.csv\n"
    assert len(read_csv(tmp_path / "lake.csv")) == 7
    arguments = [str(run.path), "--out", "w.csv", "--wide", "--metrics", "train/Loss"]
    assert command.run(parser.parse_args(arguments)) == 0
    assert len(read_csv(tmp_path / "w.csv")) == 7
