"""The page of every metric."""

import sys

import pytest

from amago.tracking.metrics import Metric, all_metrics


@pytest.fixture
def script():
    import metrics_page  # found by the fixture of conftest.py

    return metrics_page


@pytest.fixture
def call(script, monkeypatch):
    """A function that runs the script with these arguments; returns its exit status."""

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["metrics_page.py", *arguments])
        return script.main()

    return call


def test_the_page_in_the_repository_is_what_the_declarations_say(call):
    assert call("--check") == 0, "run python scripts/metrics_page.py"


def test_a_stale_page_is_noticed_and_rewritten(script, call, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "PAGE", tmp_path / "metrics.md")
    assert call("--check") == 1
    assert call() == 0
    assert call("--check") == 0
    script.PAGE.write_text("stale")
    assert call("--check") == 1
    assert "run python scripts/metrics_page.py" in capsys.readouterr().err


def test_every_declaration_is_one_row_below_the_title_of_its_section(script):
    lines = script.page(all_metrics()).splitlines()
    titles = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert titles[:5] == ["test", "dataset", "Charts", "train", "val"]
    assert titles[-1] == "System"
    section, rows = "", []
    for line in lines:
        section = line[3:] if line.startswith("## ") else section
        if line.startswith("| `"):
            rows.append((section, line.split("`")[1]))
    declared = {(m.section, m.name.removeprefix(f"{m.section}/")) for m in all_metrics()}
    assert set(rows) == declared
    assert len(rows) == len(all_metrics())


def test_text_with_marks_of_markdown_stays_one_cell(script):
    odd = Metric("val/x", "1", "p(a|s) is *not* <b>`this`</b>.", "a * b", "amago/tracking")
    (row,) = [line for line in script.page([odd]).splitlines() if line.startswith("| `")]
    assert row.replace("\\|", "").count("|") == 6
    assert "\\<b>" in row
    assert "\\*not\\*" in row
