import asyncio
import math

import numpy as np
from synthetic_record import Record
from synthetic_runs import AVERAGE, HOSTILE

from amago.core.values import Histogram
from amago.tracking.values import to_line

FRAMES = "total_frames"


def three_rows(folder, values=(1.0, 2.0, 4.0), **settings):
    record = Record(folder)
    record.session(**settings)
    for i, value in enumerate(values):
        axes = {FRAMES: 10 * i, "Epoch": i, "gradient_steps": 5 * i}
        record.row(axes, {AVERAGE: value, "train/Loss": 1.0})
    record.finish()
    record.save()


# ------------------------------------------------------------------------------------ the list


def test_the_list_says_how_far_each_run_is(open_page):
    page = open_page("offline", mine=three_rows)
    answer = page.get("/api/runs")
    rows = {row["name"]: row for row in answer["runs"]}
    assert answer["roots"] == [str(page.library.roots[0])]
    assert rows["mine"]["frames"] == 20
    assert rows["mine"]["epoch"] == 2
    assert rows["mine"]["gradient_steps"] == 10
    assert rows["mine"]["last_return"] == 4.0
    assert rows["mine"]["status"] == "finished"
    assert rows["mine"]["folder"] == "runs/mine"
    assert rows["mine"]["num_metrics"] == 2
    assert rows["offline"]["frames"] == 0
    assert all(row["error"] is None for row in rows.values())


def test_a_broken_run_is_listed_with_what_is_wrong_and_stands_in_nobodys_way(open_page):
    page = open_page("broken", "empty", "small")
    rows = {row["name"]: row for row in page.get("/api/runs")["runs"]}
    assert "no line" in rows["broken"]["error"]
    assert rows["small"]["error"] is rows["empty"]["error"] is None
    assert "cannot be read" in page.get(f"/api/runs/{rows['broken']['id']}/overview", 404)["error"]
    assert page.post("metrics", runs=[rows["empty"]["id"]])["sections"] == []


def test_an_empty_folder_is_an_empty_list(open_page):
    assert open_page().get("/api/runs")["runs"] == []


def test_a_return_that_is_not_a_number_is_null_and_no_news(open_page):
    page = open_page(mine=lambda folder: three_rows(folder, (1.0, math.nan)))
    assert page.get("/api/runs")["runs"][0]["last_return"] is None
    cursor = page.get("/api/changes")["cursor"]
    page.library.refresh()
    assert page.get(f"/api/changes?since={cursor}")["changed"] == {}


# ------------------------------------------------------------------------------------- changes


def test_changes_name_the_runs_with_news_since_the_cursor(open_page):
    page = open_page("small", mine=three_rows)
    first = page.get("/api/changes?since=")
    assert set(first["changed"]) == set(page.ids().values())
    assert first["list_changed"]
    path = page.library.roots[0] / "mine" / "tracking" / "learner.jsonl"
    with open(path, "ab") as file:
        row = {"kind": "row", "t": 2e9, "step": 3, "gen": 0, "axes": {FRAMES: 99}}
        file.write(to_line(row | {"data": {AVERAGE: 8.0}}))
    page.library.refresh()
    news = page.get(f"/api/changes?since={first['cursor']}")
    assert list(news["changed"]) == [page.ids()["mine"]]
    assert not news["list_changed"]
    assert page.get(f"/api/changes?since={news['cursor']}")["changed"] == {}
    rows = {row["name"]: row for row in page.get("/api/runs")["runs"]}
    assert rows["mine"]["last_return"] == 8.0


def test_a_new_run_appears_and_a_deleted_one_goes(open_page, tmp_path):
    page = open_page("small")
    cursor = page.get("/api/changes")["cursor"]
    three_rows(tmp_path / "runs" / "deep" / "new")
    (tmp_path / "runs" / "small").rename(tmp_path / "elsewhere")
    page.library._next_search = 0.0
    page.library.refresh()
    assert page.get(f"/api/changes?since={cursor}")["list_changed"]
    assert list(page.ids()) == ["new"]


def test_an_unknown_cursor_means_everything(open_page):
    page = open_page("small")
    for cursor in ("x", "0", "deadbeef.99999", ".", "\u0661", "-1", "%00"):
        assert page.get(f"/api/changes?since={cursor}")["changed"]


def test_of_many_runs_only_some_stay_open_and_all_can_be_asked(open_page, monkeypatch):
    monkeypatch.setattr("amago.dashboard.library._MOST_OPEN", 1)
    page = open_page(a=three_rows, b=three_rows, c=three_rows)
    assert sum(entry.is_open for entry in page.library._entries.values()) == 1
    ids = list(page.ids().values())
    assert len(page.post("series", runs=ids, metrics=[AVERAGE], x=FRAMES)["series"]) == 3


# ------------------------------------------------------------------------------------- metrics


def test_sections_and_axes_are_in_their_order(open_page):
    page = open_page("gym")
    answer = page.post("metrics", runs=list(page.ids().values()))
    names = [section["name"] for section in answer["sections"]]
    assert names == ["test", "dataset", "Charts", "train", "val", "System"]
    first = ["Wall Time", "Process Time", FRAMES, "Epoch", "gradient_steps"]
    assert answer["axes"] == [*first, "total_frames-CartPole-v1", "Step"]
    assert answer["default_axis"] == FRAMES
    by_name = {m["name"]: m for section in answer["sections"] for m in section["metrics"]}
    assert by_name["train/Loss"]["help"]["says"]
    assert by_name["train/Loss"]["title"] == "Loss"
    assert not by_name["train/Loss"]["single"]
    assert all(m["single"] for m in answer["sections"][0]["metrics"])
    assert answer["sections"][4]["metrics"][0]["name"] == AVERAGE


def test_names_are_in_natural_order_and_their_runs_are_told(open_page):
    def write(folder, names):
        record = Record(folder)
        record.session()
        record.row({FRAMES: 0}, {f"val/{name}": 1.0 for name in names})
        record.save()

    page = open_page(
        one=lambda folder: write(folder, ["x 10", "x 9"]), two=lambda folder: write(folder, ["x 9"])
    )
    ids = page.ids()
    answer = page.post("metrics", runs=[ids["one"], ids["two"]])
    metrics = {m["title"]: m["runs"] for m in answer["sections"][-1]["metrics"]}
    assert list(metrics) == ["x 9", "x 10"]
    assert metrics == {"x 9": [ids["one"], ids["two"]], "x 10": [ids["one"]]}


def test_runs_without_frames_are_shown_over_gradient_steps(open_page):
    page = open_page("offline", "small")
    ids = page.ids()
    assert page.post("metrics", runs=[ids["offline"]])["default_axis"] == "gradient_steps"
    assert page.post("metrics", runs=list(ids.values()))["default_axis"] == FRAMES


# ---------------------------------------------------------------------------- series and bands


def test_a_series_over_every_axis(open_page):
    page = open_page(mine=three_rows)
    expected = {
        **{FRAMES: [0, 10, 20], "Epoch": [0, 1, 2], "gradient_steps": [0, 5, 10]},
        **{"Step": [0, 1, 2], "Process Time": [0, 2, 4]},
    }
    for x, places in expected.items():
        (series,) = page.post("series", runs=[page.ids()["mine"]], metrics=[AVERAGE], x=x)["series"]
        assert series["x"] == places
        assert series["y"] == [1, 2, 4]
        assert series["low"] is series["high"] is None
        assert series["n"] == 3


def test_the_axes_can_be_drawn_like_metrics(open_page):
    page = open_page(mine=three_rows)
    run = page.ids()["mine"]
    (series,) = page.post("series", runs=[run], metrics=["gradient_steps"], x=FRAMES)["series"]
    assert (series["x"], series["y"]) == ([0, 10, 20], [0, 5, 10])


def test_a_long_series_is_thinned_with_its_extremes(open_page):
    values = np.sin(np.arange(5000.0))
    values[1234] = 50.0
    page = open_page(mine=lambda folder: three_rows(folder, values.tolist()))
    request = {"runs": [page.ids()["mine"]], "metrics": [AVERAGE], "x": "Epoch", "points": 100}
    (series,) = page.post("series", **request)["series"]
    assert len(series["x"]) <= 100
    assert max(series["high"]) == 50.0
    assert series["n"] == 5000
    (part,) = page.post("series", **request, range=[1300, 1200])["series"]
    assert min(part["x"]) >= 1200
    assert max(part["x"]) <= 1300


def test_what_is_not_finite_is_null(open_page):
    page = open_page(mine=lambda folder: three_rows(folder, (1.0, math.nan, math.inf)))
    request = {"runs": [page.ids()["mine"]], "metrics": [AVERAGE], "x": FRAMES}
    assert page.post("series", **request)["series"][0]["y"] == [1, None, None]


def test_what_a_run_does_not_have_is_left_out(open_page):
    page = open_page("gym", mine=three_rows)
    ids = page.ids()
    asked = {"runs": [ids["gym"], ids["mine"]], "metrics": [AVERAGE, "train/None"]}
    own_axis = page.post("series", **asked, x="total_frames-CartPole-v1")["series"]
    assert [series["run"] for series in own_axis] == [ids["gym"]]


def test_a_band_over_seeds(open_page):
    page = open_page(
        a=lambda folder: three_rows(folder, (0.0, 2.0, 4.0)),
        b=lambda folder: three_rows(folder, (2.0, 4.0)),
    )
    groups = [{"label": "both", "runs": list(page.ids().values())}, {"label": "none", "runs": []}]
    request = {"groups": groups, "metrics": [AVERAGE], "x": FRAMES, "band": "minmax"}
    (band,) = page.post("bands", **request)["bands"]
    assert band["group"] == "both"
    assert band["runs"] == 2
    assert band["counts"] == [2, 2, 1]
    assert (band["x"], band["y"]) == ([0, 10, 20], [1, 3, 4])
    assert (band["low"], band["high"]) == ([0, 2, 4], [2, 4, 4])


# ------------------------------------------------------------------- matrix, attempts, values


def test_the_matrix_has_a_row_an_environment(open_page):
    page = open_page("ml45")
    run = page.ids()["ml45"]
    answer = page.post("matrix", run=run, section="val", x=FRAMES, points=10)
    assert len(answer["envs"]) == 45
    assert answer["metrics"][:2] == ["Average Total Return", "Bottom Quintile Total Return"]
    assert len(answer["metrics"]) == 6
    cell = answer["cells"][44][0]
    assert len(cell["spark"]) == 10
    assert isinstance(cell["last"], float)
    assert page.post("matrix", run=run, section="test", x=FRAMES)["envs"] == []


def by_attempt(folder, envs=("a", "b"), attempts=3, evaluations=9):
    record = Record(folder)
    record.session()
    for i in range(evaluations):
        axes = {FRAMES: 10 * i} | {f"total_frames-{env}": 5 * i for env in envs}
        data = {
            f"val/Average Episode {attempt} Return in {env}": 100.0 * j + 10 * attempt + i
            for j, env in enumerate(envs)
            for attempt in range(attempts)
        }
        record.row(axes, data)
    record.save()


def test_results_by_attempt_are_one_line_a_training_time(open_page):
    page = open_page(mine=by_attempt)
    run = page.ids()["mine"]
    mean, a, b = page.post("attempts", runs=[run], section="val", x=FRAMES)["families"]
    assert [family["env"] for family in (mean, a, b)] == [None, "a", "b"]
    assert a["title"] == "Episode {i} Return"
    assert a["attempts"] == [0, 1, 2]
    assert [line["x"] for line in a["lines"]] == [0, 20, 30, 50, 60, 80]
    assert a["lines"][1] == {"run": run, "x": 20, "y": [2, 12, 22]}
    assert mean["lines"][-1]["y"] == [58, 68, 78]


def test_runs_with_different_attempts_share_a_chart(open_page):
    page = open_page(
        short=lambda folder: by_attempt(folder, ("a",), 2, 1),
        long=lambda folder: by_attempt(folder, ("a",), 3, 1),
    )
    ids = page.ids()
    request = {"runs": [ids["short"], ids["long"]], "section": "val", "x": "Epoch"}
    assert page.post("attempts", **request)["families"][0]["lines"] == []  # no row has an epoch
    (family,) = page.post("attempts", **request | {"x": FRAMES})["families"]
    assert family["attempts"] == [0, 1, 2]
    assert [line["y"] for line in family["lines"]] == [[0, 10, None], [0, 10, 20]]


def test_values_of_every_kind(open_page):
    page = open_page("values")
    run = page.ids()["values"]
    sections = page.post("metrics", runs=[run])["sections"]
    kinds = {m["kind"]: m["name"] for section in sections for m in section["metrics"]}
    assert set(kinds) == {"number", "histogram", "text", "image", "video", "table"}
    found = {
        kind: page.post("values", run=run, metric=name, x=FRAMES)["values"][0]["value"]
        for kind, name in kinds.items()
        if kind != "number"
    }
    assert set(found["histogram"]) == {"counts", "edges"}
    assert isinstance(found["text"], str)
    assert found["image"]["media"] == "image"
    path = found["image"]["file"]
    response = page.client.get(f"/api/runs/{run}/file/{path}")
    assert response.headers["content-type"] == "image/png"
    assert response.content.startswith(b"\x89PNG")


def test_of_very_many_values_the_first_and_the_last_are_kept(open_page):
    def write(folder):
        record = Record(folder)
        record.session()
        for i in range(1500):
            record.row({FRAMES: i}, {"train/H": Histogram(np.array([i]), np.array([0, math.inf]))})
        record.save()

    page = open_page(mine=write)
    request = {"run": page.ids()["mine"], "metric": "train/H", "x": FRAMES}
    values = page.post("values", **request)["values"]
    assert len(values) == 500
    assert (values[0]["x"], values[-1]["x"]) == (0, 1499)
    assert values[-1]["value"] == {"counts": [1499], "edges": [0, None]}


# ----------------------------------------------------------------------------- about one run


def test_the_overview_says_what_was_run_where_and_for_how_long(open_page):
    page = open_page("resumed")
    overview = page.get(f"/api/runs/{page.ids()['resumed']}/overview")
    assert overview["command"] == ["python", "examples/gym.py", "--env", "CartPole-v1"]
    assert overview["versions"]["amago"] == "4.0.0"
    assert overview["git"]["is_dirty"]
    assert [session["status"] for session in overview["sessions"]] == ["stopped", "finished"]
    assert all("config" not in session for session in overview["sessions"])
    pause = 3600.0
    assert 0 < overview["running_s"] <= overview["ended"] - overview["started"] - pause
    assert overview["summary"][AVERAGE] > 0


def test_config_files_and_log(open_page):
    page = open_page("crashed")
    run = page.ids()["crashed"]
    config = page.get(f"/api/runs/{run}/config")
    assert config["config"]["experiment"]["run_name"] == "crashed"
    assert "Agent.gamma = 0.999" in config["gin"]
    log = page.get(f"/api/runs/{run}/log?bytes=30")
    assert log["text"] == "RuntimeError: CUDA error\n"
    assert log["file"] == "tracking/learner.log"
    paths = [file["path"] for file in page.get(f"/api/runs/{run}/files")["files"]]
    assert {"config.json", "tracking/learner.jsonl"} <= set(paths)
    response = page.client.get(f"/api/runs/{run}/file/config.json")
    assert response.headers["content-disposition"].startswith("attachment")
    assert response.json()["experiment"]["run_name"] == "crashed"


def test_settings_that_differ_between_runs(open_page):
    page = open_page(
        a=lambda folder: three_rows(folder, lr=1), b=lambda folder: three_rows(folder, lr=2)
    )
    ids = page.ids()
    rows = page.post("diff", runs=[ids["a"], ids["b"]])["rows"]
    assert {"key": "experiment.lr", "values": [1, 2]} in rows


# ---------------------------------------------------------------------------- wrong questions


def test_hostile_names_come_back_as_they_are(open_page):
    page = open_page(HOSTILE[0])
    run = page.ids()[HOSTILE[0]]
    sections = page.post("metrics", runs=[run])["sections"]
    names = [metric["name"] for section in sections for metric in section["metrics"]]
    for name in HOSTILE:
        assert f"val/Average Total Return in {name}" in names
    numbers = [name for name in names if name != "val/Note"]
    series = page.post("series", runs=[run], metrics=names, x=f"total_frames-{HOSTILE[1]}")
    assert [line["metric"] for line in series["series"]] == sorted(
        numbers, key=[line["metric"] for line in series["series"]].index
    )
    assert set(page.post("matrix", run=run, section="val", x=FRAMES)["envs"]) == set(HOSTILE)
    assert page.get(f"/api/runs/{run}/overview")["host"] == HOSTILE[0]


def test_an_unknown_run_is_not_found(open_page):
    page = open_page("small")
    for run in ("nobody", "%2e%2e", "x" * 3000):
        for question in ("overview", "config", "log", "files", "file/config.json"):
            assert page.get(f"/api/runs/{run}/{question}", 404)["error"]


def test_no_file_outside_of_the_run_is_served(open_page):
    page = open_page("small", small2=three_rows)
    (page.library.roots[0] / "secret").write_text("secret")
    run = page.ids()["small"]
    for path in (
        *("..%2fsmall2%2fconfig.json", "%2e%2e/small2/config.json", "%2e%2e%2fsecret"),
        *("%2fetc/passwd", "tracking%2f..%2f..%2fsecret", "config.json%00", "tracking"),
    ):
        response = page.client.get(f"/api/runs/{run}/file/{path}")
        assert response.status_code == 404
        assert response.json()["error"]


def test_no_file_outside_of_the_page_is_served(open_page):
    page = open_page()
    for path in ("/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/", "/x", "/docs"):
        assert page.get(path, 404)["error"]


def test_wrong_questions_are_answered_with_what_is_wrong(open_page):
    page = open_page("small")
    run = page.ids()["small"]
    assert "not JSON" in page.client.post("/api/series", content=b"{", headers=JSON).json()["error"]
    assert "'runs'" in page.post("series", 400)["error"]
    assert "x-axis" in page.post("matrix", 400, run=run, section="val", x="nope")["error"]
    assert page.post("values", 404, run=run, metric="nope", x=FRAMES)["error"]
    assert page.post("nothing", 404)["error"]
    assert page.get(f"/api/runs/{run}/nothing", 404)["error"]
    assert page.get(f"/api/runs/{run}/log?bytes=many", 400)["error"]
    too_many = page.post("series", 400, runs=[run], metrics=[str(i) for i in range(5001)], x="Step")
    assert "5000" in too_many["error"]


JSON = {"Content-Type": "application/json"}


def test_a_body_that_is_too_large_is_refused(open_page):
    response = open_page().client.post("/api/series", content=b" " * 1_000_001, headers=JSON)
    assert response.status_code == 413


def test_a_body_that_does_not_arrive_is_given_up(open_page, monkeypatch):
    monkeypatch.setattr("amago.dashboard.app._BODY_PATIENCE_S", 0.01)
    sent = []

    async def never():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/series", "query_string": b""}
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    page = open_page()
    asyncio.run(page.client.app(scope | {"headers": headers}, never, send))
    assert sent[0]["status"] == 408


def test_a_run_that_is_busy_is_said_to_be_so(open_page, monkeypatch):
    monkeypatch.setattr("amago.dashboard.library._PATIENCE_S", 0.01)
    page = open_page("small")
    run = page.ids()["small"]
    with page.library.entry(run).use():  # in this thread, while requests use others
        assert "Ask again" in page.get(f"/api/runs/{run}/overview", 503)["error"]
    assert page.get(f"/api/runs/{run}/overview")


def test_a_bug_is_an_answer_with_all_the_guards(open_page, monkeypatch):
    page = open_page()
    monkeypatch.setattr(page.library, "rows", lambda: 1 / 0)
    page.client = type(page.client)(
        page.client.app, base_url="http://127.0.0.1", raise_server_exceptions=False
    )
    response = page.client.get("/api/runs")
    assert response.status_code == 500
    assert "ZeroDivisionError" in response.json()["error"]
    assert "default-src 'self'" in response.headers["content-security-policy"]
