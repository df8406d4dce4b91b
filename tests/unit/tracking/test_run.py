"""What an opened run says of itself and of its metrics."""

import math
import time

import numpy as np
import pytest

import amago
from amago.core.errors import MetricNotFoundError, RecordError, RunNotFoundError
from amago.core.values import Histogram, Table
from amago.tracking.run import Run, open_run
from amago.tracking.store import LocalRecord
from amago.tracking.values import to_line

AXES = {"total_frames": 0, "Epoch": 0, "gradient_steps": 0}


@pytest.fixture
def record(tmp_path) -> LocalRecord:
    return LocalRecord(tmp_path)


def write_lines(folder, *entries, writer="learner") -> None:
    path = folder / "tracking" / f"{writer}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        file.writelines(map(to_line, entries))


def session(t: float, step: int = 0, gen: int = 0, **more) -> dict:
    return {"kind": "session", "t": t, "step": step, "gen": gen, **more}


def row(t: float, step: int, gen: int = 0, axes=AXES, **data) -> dict:
    named = {f"val/{name}": value for name, value in data.items()}
    return {"kind": "row", "t": t, "step": step, "gen": gen, "axes": axes, "data": named}


def points(run: Run, name: str, x: str) -> list[tuple[float, float]]:
    series = run.series(name, x)
    return list(zip(series.x.tolist(), series.y.tolist()))


def test_the_documented_call_gives_arrays(tmp_path, record):
    for i in range(3):
        record.log(AXES | {"total_frames": 10 * i, "val/Return": 1.0 * i, "train/Loss": 2.0})
    record.finish("finished")
    history = amago.open_run(tmp_path).history("val/*", x="total_frames")
    assert list(history) == ["val/Return"]
    x, y = history["val/Return"]
    np.testing.assert_array_equal(x, [0, 10, 20])
    np.testing.assert_array_equal(y, [0, 1, 2])


@pytest.mark.parametrize("make", [lambda p: None, lambda p: (p / "tracking").mkdir()])
def test_a_folder_without_a_record_is_refused(tmp_path, make):
    make(tmp_path)
    with pytest.raises(RunNotFoundError, match="no record of a run"):
        open_run(tmp_path)


def test_opening_a_run_does_not_touch_its_record(tmp_path, record):
    record.log(AXES)
    record.finish("finished")
    before = {p: p.read_bytes() for p in (tmp_path / "tracking").rglob("*") if p.is_file()}
    with open_run(tmp_path) as run:
        run.history()
    after = {p: p.read_bytes() for p in (tmp_path / "tracking").rglob("*") if p.is_file()}
    assert after == before


def test_a_record_of_a_later_format_is_refused(tmp_path):
    write_lines(tmp_path, session(1.0, schema=2, writer="learner"))
    with pytest.raises(RecordError, match="upgrade amago"):
        open_run(tmp_path)


def test_a_record_from_before_the_format_had_a_number_is_read(tmp_path):
    write_lines(tmp_path, session(1.0), row(2.0, 0, a=1.0))
    assert points(open_run(tmp_path), "val/a", "Step") == [(0, 1.0)]


def test_a_file_that_is_no_record_is_refused(tmp_path):
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "learner.jsonl").write_text("[1, 2]\nhello\n")
    with pytest.raises(RecordError, match="no line"):
        open_run(tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"kind":"sess'])
def test_a_record_that_has_just_been_begun_has_no_rows(tmp_path, content):
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "learner.jsonl").write_bytes(content)
    run = open_run(tmp_path)
    assert (run.num_rows, run.metrics, run.axes, run.sessions) == (0, [], [], [])
    assert run.default_axis == "total_frames"
    assert dict(run.history()) == {}
    assert (run.started, run.updated) == (None, 0.0)


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind":"row","t":1,"step":"x","gen":0,"axes":{},"data":{}}',
        b'{"kind":"row","t":1,"step":1e99,"gen":0,"axes":{},"data":{}}',
        b'{"kind":"row","t":1,"step":' + b"9" * 40 + b',"gen":0,"axes":{},"data":{}}',
        b'{"kind":"row","t":null,"step":5,"gen":0,"axes":{},"data":{}}',
        b'{"kind":"row","t":1,"step":5,"gen":0,"axes":[],"data":{}}',
        b'{"kind":"row"' + b"[" * 100_000,
        b'{"kind":"session","t":1,"step":null,"gen":0}',
        b'{"kind":["row"]}',
        b'{"t":1}',
        b"\xff\xfe\x00",
        b"",
    ],
)
def test_a_line_that_is_no_entry_is_passed_over(tmp_path, line):
    write_lines(tmp_path, session(1.0), row(2.0, 0, a=1.0))
    with open(tmp_path / "tracking" / "learner.jsonl", "ab") as file:
        file.write(line + b"\n")
    write_lines(tmp_path, row(3.0, 1, a=2.0))
    assert points(open_run(tmp_path), "val/a", "Step") == [(0, 1.0), (1, 2.0)]


def test_rows_can_be_seen_over_every_axis(tmp_path):
    axes = [{"total_frames": 10 * i, "Epoch": i // 2, "total_frames-b/c": 5 * i} for i in range(3)]
    write_lines(tmp_path, session(100.0))
    write_lines(tmp_path, *(row(100.0 + 7 * i, i, axes=axes[i], a=float(i)) for i in range(3)))
    run = open_run(tmp_path)
    assert run.axes == ["total_frames", "Epoch", "total_frames-b/c"]
    xs = {x: run.series("val/a", x).x.tolist() for x in (*run.axes, "Step")}
    assert xs == {
        "total_frames": [0, 10, 20],
        "Epoch": [0, 0, 1],
        "total_frames-b/c": [0, 5, 10],
        "Step": [0, 1, 2],
    }
    assert run.series("val/a", "Wall Time").x.tolist() == [100, 107, 114]
    assert run.series("val/a", "Process Time").x.tolist() == [0, 7, 14]


def test_process_time_leaves_out_what_was_lost_and_the_pause(tmp_path):
    """Stopped at 130 s, resumed an hour later from the checkpoint at step 2."""
    write_lines(tmp_path, session(100.0), *(row(110.0 + 10 * i, i, a=1.0) for i in range(3)))
    write_lines(tmp_path, session(3730.0, step=2, gen=1))
    write_lines(tmp_path, *(row(3735.0 + 10 * i, 2 + i, gen=1, a=2.0) for i in range(2)))
    run = open_run(tmp_path)
    assert points(run, "val/a", "Process Time") == [(10, 1), (20, 1), (25, 2), (35, 2)]
    assert points(run, "val/a", "Step") == [(0, 1), (1, 1), (2, 2), (3, 2)]


def test_a_clock_that_is_set_back_does_not_turn_process_time_back(tmp_path):
    write_lines(tmp_path, session(100.0), *(row(t, i, a=1.0) for i, t in enumerate((110, 90, 120))))
    assert open_run(tmp_path).series("val/a", "Process Time").x.tolist() == [10, 10, 20]


def test_a_row_without_the_axis_has_no_place_on_it(tmp_path):
    late = AXES | {"total_frames-late": 3}
    write_lines(tmp_path, session(1.0), row(2.0, 0, a=1.0), row(3.0, 1, axes=late, a=2.0))
    write_lines(tmp_path, row(4.0, 2, a=3.0))
    run = open_run(tmp_path)
    assert points(run, "val/a", "total_frames-late") == [(3, 2.0)]
    assert len(run.series("val/a", "total_frames").x) == 3


def test_rows_of_several_writers_are_merged_by_x(tmp_path):
    for writer, offset in (("learner", 0), ("collector-1", 5)):
        rows = [row(10.0 * i + offset, i, a=float(10 * i + offset)) for i in range(3)]
        write_lines(tmp_path, session(0.0), *rows, writer=writer)
    run = open_run(tmp_path)
    assert run.series("val/a", "Wall Time").y.tolist() == [0, 5, 10, 15, 20, 25]
    assert run.num_rows == 6
    (metric,) = run.metrics
    assert (metric.count, metric.last) == (6, 25.0)


def test_few_points_keep_the_extremes_and_the_gap(tmp_path):
    values = [0.0] * 100
    values[37], values[81] = 50.0, -70.0
    values[40:50] = [math.nan] * 10
    rows = [row(float(i), i, a=values[i]) for i in range(100)]
    write_lines(tmp_path, session(0.0), *rows)
    few = open_run(tmp_path).series("val/a", "Step", points=10)
    assert few.n == 100
    assert few.low.tolist() == [0, 0, 0, 0, pytest.approx(math.nan, nan_ok=True), 0, 0, 0, -70, 0]
    assert few.high[3] == 50
    assert np.isnan(few.y[4])
    assert few.y[3] == 5.0
    assert few.x.tolist() == [4.5 + 10 * i for i in range(10)]


@pytest.mark.parametrize("wanted", [100, 101, None])
def test_as_many_points_as_values_are_the_values(tmp_path, wanted):
    write_lines(tmp_path, session(0.0), *(row(float(i), i, a=float(i)) for i in range(100)))
    series = open_run(tmp_path).series("val/a", "Step", points=wanted)
    assert series.y.tolist() == series.low.tolist() == series.high.tolist() == list(range(100))


def test_a_part_of_the_axis_includes_its_ends(tmp_path):
    write_lines(tmp_path, session(0.0), *(row(float(i), i, a=float(i)) for i in range(10)))
    run = open_run(tmp_path)
    assert run.series("val/a", "Step", start=3, stop=5).y.tolist() == [3, 4, 5]
    assert run.series("val/a", "Step", start=8.5).y.tolist() == [9]
    assert run.series("val/a", "Step", start=50).n == 0


def test_values_of_every_kind_come_back_with_their_row(tmp_path, record):
    histogram = Histogram(np.array([1, 2]), np.array([0.0, 0.5, np.inf]))
    table = Table(["name"], [["x"]])
    for i in range(2):
        record.log({"total_frames": i, "val/n": 1.5, "val/h": histogram, "val/t": f"text {i}"})
    record.log({"total_frames": 2, "val/table": table, "val/n": None, "val/5": "5"})
    record.finish("finished")
    run = open_run(tmp_path)
    kinds = {metric.name: (metric.kind, metric.count) for metric in run.metrics}
    assert kinds == {
        "val/n": ("number", 3),
        "val/h": ("histogram", 2),
        "val/t": ("text", 2),
        "val/table": ("table", 1),
        "val/5": ("text", 1),
    }
    assert run.values("val/t", "total_frames") == [(0, "text 0"), (1, "text 1")]
    ((_, first), _) = run.values("val/h", "total_frames")
    np.testing.assert_array_equal(first.edges, [0.0, 0.5, np.inf])
    ((x, reference),) = run.values("val/table", "total_frames")
    assert x == 2
    assert reference["media"] == "table"
    assert (tmp_path / reference["file"]).is_file()
    assert [x for x, _ in run.values("val/n", "total_frames")] == [0, 1, 2]
    assert list(run.history()) == ["val/n"]


def test_a_metric_that_changes_its_kind_keeps_both(tmp_path, record):
    for value in (1.0, "two", 3.0):
        record.log(AXES | {"val/mixed": value})
    record.finish("finished")
    run = open_run(tmp_path)
    assert run.values("val/mixed", "Step") == [(0, 1.0), (1, "two"), (2, 3.0)]
    assert run.series("val/mixed", "Step").y.tolist() == [1.0, 3.0]
    assert run.metrics[0].kind == "number"


@pytest.mark.parametrize(
    "name", ["a\nb", "<script>", '"', "\ud800", "\u202e", "\x00", "'; --", "*"]
)
def test_hostile_names_are_just_text(tmp_path, record, name):
    record.log({f"total_frames-{name}": 1, f"val/{name}": 2.0, f"val/text {name}": name})
    record.finish("finished")
    run = open_run(tmp_path)
    assert points(run, f"val/{name}", f"total_frames-{name}") == [(1, 2.0)]
    assert run.values(f"val/text {name}", "Step") == [(0, name)]


def test_metrics_come_section_by_section_with_their_last_value_and_its_axes(tmp_path, record):
    record.log(AXES | {"val/b": 1.0, "val/a": 1.0, "mine/x": 1.0})
    record.log(AXES | {"total_frames": 7, "train/Loss": 3.0, "val/a": 2.0})
    record.log(AXES | {"total_frames": 9, "test/a": 1.0, "System/CPU": 4.0})
    record.finish("finished")
    metrics = open_run(tmp_path).metrics
    names = [metric.name for metric in metrics]
    assert names == ["test/a", "train/Loss", "val/a", "val/b", "mine/x", "System/CPU"]
    by_name = {metric.name: metric for metric in metrics}
    assert (by_name["val/a"].last, by_name["val/a"].last_axes["total_frames"]) == (2.0, 7)
    assert (by_name["val/b"].last, by_name["val/b"].last_axes["total_frames"]) == (1.0, 0)
    assert by_name["mine/x"].section == "mine"


@pytest.mark.parametrize(
    ("rows", "axis"),
    [
        ([(0, 0), (0, 5)], "gradient_steps"),
        ([(500, 0), (500, 5)], "gradient_steps"),
        ([(0, 0), (8, 5)], "total_frames"),
        ([(0, 0), (8, 0)], "total_frames"),
        ([(500, 5)], "total_frames"),
        ([(0, 5)], "gradient_steps"),
        ([(0, 0)], "total_frames"),
        ([], "total_frames"),
    ],
)
def test_the_default_axis_is_one_that_advances(tmp_path, record, rows, axis):
    record.begin()
    for frames, steps in rows:
        record.log(AXES | {"total_frames": frames, "gradient_steps": steps, "val/a": 1.0})
    record.finish("finished")
    assert open_run(tmp_path).default_axis == axis


def test_unknown_names_are_refused_with_the_nearest_there_are(tmp_path, record):
    record.log(AXES | {"val/Return": 1.0})
    record.finish("finished")
    run = open_run(tmp_path)
    with pytest.raises(MetricNotFoundError, match="Near to it: 'val/Return'"):
        run.series("val/return", "Step")
    with pytest.raises(MetricNotFoundError, match="Near to it: 'total_frames'"):
        run.history(x="total_frame")
    with pytest.raises(MetricNotFoundError, match="no metric 'test"):
        run.history("test/*")


def test_an_axis_that_every_run_may_have_is_empty_where_it_is_not(tmp_path):
    write_lines(tmp_path, session(0.0), row(1.0, 0, axes={"total_frames": 1}, a=1.0))
    assert open_run(tmp_path).series("val/a", "gradient_steps").n == 0


def test_a_name_with_brackets_is_found_as_it_is(tmp_path, record):
    name = "val/Return [a] (all)*"
    record.log(AXES | {name: 1.0})
    record.finish("finished")
    assert list(open_run(tmp_path).history(name)) == [name]


def test_what_the_session_says_of_the_run(tmp_path):
    record = LocalRecord(tmp_path, facts={"seed": 3})
    record.config({"experiment": {"wandb_group_name": "lake", "gamma": 0.9}})
    record.log(AXES | {"val/a": 1.0})
    record.finish("stopped")
    run = open_run(tmp_path)
    assert (run.name, run.path, run.group) == (tmp_path.name, tmp_path.resolve(), "lake")
    assert run.config["experiment"]["gamma"] == 0.9
    (told,) = run.sessions
    assert (told["seed"], told["status"], told["writer"]) == (3, "stopped", "learner")
    assert run.started == told["t"]
    assert run.ended == run.updated == told["ended"]


def test_a_gap_is_told(tmp_path):
    gap = {"kind": "gap", "t": 3.0, "gen": 0, "first_step": 1, "last_step": 4, "rows": 4}
    write_lines(tmp_path, session(1.0), row(2.0, 0, a=1.0), gap, row(9.0, 5, a=1.0))
    (told,) = open_run(tmp_path).gaps
    assert told["rows"] == 4


def test_a_live_run_grows_under_its_reader(tmp_path, record):
    record.log(AXES | {"val/a": 1.0})
    assert record.flush()
    run = open_run(tmp_path)
    version = run.version
    assert not run.refresh()
    assert run.version == version
    record.log(AXES | {"val/a": 2.0, "val/b": 3.0})
    assert record.flush()
    assert run.refresh()
    assert run.version > version
    assert run.series("val/a", "Step").y.tolist() == [1.0, 2.0]
    assert [metric.name for metric in run.metrics] == ["val/a", "val/b"]
    assert (run.status, run.ended) == ("running", None)
    version = run.version
    record.finish("finished")
    assert run.refresh()
    assert (run.status, run.version > version) == ("finished", True)


def test_rows_come_in_blocks_with_every_axis(tmp_path):
    rows = [row(float(i), i, axes={"total_frames": i}, **{"ab"[i % 2]: float(i)}) for i in range(5)]
    write_lines(tmp_path, session(0.0), *rows)
    blocks = list(open_run(tmp_path).rows(["val/a", "val/b"], size=2))
    assert [writer for writer, _ in blocks] == ["learner"] * 3
    _, first = blocks[0]
    assert list(first) == [*("Step", "Wall Time", "Process Time", "total_frames", "val/a", "val/b")]
    np.testing.assert_array_equal(first["val/a"], [0, np.nan])
    np.testing.assert_array_equal(first["val/b"], [np.nan, 1])
    _, last = blocks[2]
    np.testing.assert_array_equal(last["val/a"], [4])


def test_history_as_a_data_frame(tmp_path, record):
    pandas = pytest.importorskip("pandas", reason="needs the extra 'export'")
    for i in range(2):
        record.log({"total_frames": i, "val/a": 1.0 * i, "val/b": 2.0})
    record.finish("finished")
    frame = open_run(tmp_path).history("val/*").to_pandas()
    assert list(frame.columns) == ["run", "metric", "total_frames", "value"]
    expected = [["val/a", 0, 0], ["val/a", 1, 1], ["val/b", 0, 2], ["val/b", 1, 2]]
    assert frame[["metric", "total_frames", "value"]].values.tolist() == expected
    assert isinstance(frame, pandas.DataFrame)


def test_a_refresh_that_finds_nothing_says_so_every_time(tmp_path, record, record_property):
    for i in range(300):
        record.log(AXES | {"val/a": float(i)})
    record.finish("finished")
    run = open_run(tmp_path)
    began = time.perf_counter()
    for _ in range(20):
        assert not run.refresh()
    record_property("refresh_ms", 50 * (time.perf_counter() - began))
