import json
import sys

import numpy as np
import pytest

from amago.cli.demo_report import (
    Estimate,
    Result,
    paired_gain,
    table,
    wilson,
    write_figure,
    write_summary,
)
from amago.core.errors import MissingExtraError

SUCCESS = np.array([[0, 1], [0, 1], [1, 1], [0, 0]], dtype=bool)  # [R K]


def test_wilson_interval_of_the_textbook():
    estimate = wilson(5, 10)  # z = 1.96: (0.5 + 0.192) / 1.384 +- 0.366 / 1.384
    assert estimate.mean == 0.5
    assert estimate.low == pytest.approx(0.2366, abs=1e-4)
    assert estimate.high == pytest.approx(0.7634, abs=1e-4)


def test_wilson_stays_inside_zero_and_one():
    assert wilson(0, 20).low == pytest.approx(0.0, abs=1e-12)
    assert wilson(20, 20).high == pytest.approx(1.0, abs=1e-12)
    assert wilson(20, 20).low > 0.8


def test_the_gain_is_paired_by_rollout():
    gain = paired_gain(SUCCESS[:, 0], SUCCESS[:, 1])
    # differences 1, 1, 0, 0: mean 0.5, sample deviation sqrt(1/3), over sqrt(4)
    half = 1.959964 * np.sqrt(1 / 3) / 2
    assert gain == Estimate(0.5, pytest.approx(0.5 - half), pytest.approx(0.5 + half))


def test_a_result_has_one_estimate_per_attempt():
    result = Result.of(SUCCESS)
    assert result.rollouts == 4
    assert [estimate.mean for estimate in result.attempts] == [0.25, 0.75]


def test_the_table_has_a_row_per_attempt_and_fits_80_columns():
    results = {"agent": SUCCESS, "memory wiped": SUCCESS, "random": ~SUCCESS}
    lines = table({name: Result.of(success) for name, success in results.items()})
    assert lines[0].split() == ["agent", "memory", "wiped", "random"]
    assert [line[:12].strip() for line in lines[1:]] == ["attempt 1", "attempt 2", "last - first"]
    assert lines[1].count("0.25 [0.05, 0.70]") == 2
    assert max(len(line) for line in lines) <= 80


def test_the_summary_is_json_with_everything_in_it(tmp_path):
    path = tmp_path / "summary.json"
    write_summary(path, {"agent": Result.of(SUCCESS)}, seed=3)
    summary = json.loads(path.read_text())
    assert summary["seed"] == 3
    assert summary["evaluation"]["agent"]["rollouts"] == 4
    assert summary["evaluation"]["agent"]["gain"]["mean"] == 0.5


def test_the_figure_is_a_png(tmp_path):
    pytest.importorskip("matplotlib", reason="the figure is part of the extra 'demo'")
    path = tmp_path / "demo.png"
    curve = [{"frames": 0, "success": [0.1, 0.2]}, {"frames": 10, "success": [0.3, 0.6]}]
    write_figure(path, {"agent": Result.of(SUCCESS)}, curve, "title")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'amago\[demo\]'"):
        write_figure(tmp_path / "demo.png", {"agent": Result.of(SUCCESS)}, [], "title")
