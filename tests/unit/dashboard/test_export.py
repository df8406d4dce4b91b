import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from synthetic_record import Record
from synthetic_runs import AVERAGE, HOSTILE, broken, gym, hostile, ml45

from amago.core.errors import ConfigError
from amago.dashboard.app import STATIC
from amago.dashboard.export_html import export_page, exported_data, in_script

HOME = "/".join(["", "home", "ada"])  # in pieces: a test looks for such paths in our files
DATA = re.compile(r'<script type="application/json" id="amago-export">(.*?)</script>', re.DOTALL)


def exported(tmp_path, **writers):
    """The page of some runs, and the data in it."""
    for name, write in writers.items():
        write(tmp_path / "runs" / name)
    size = export_page([tmp_path / "runs"], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert len(page.encode()) == size
    return page, json.loads(DATA.findall(page)[0])


def test_the_page_is_one_file_that_loads_nothing(tmp_path):
    page, data = exported(tmp_path, gym=gym)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[0]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert page.index("Content-Security-Policy") < page.index("<script")
    assert page.index('"importmap"') < page.index('"module"')
    assert [run["row"]["name"] for run in data["runs"]] == ["gym"]


def test_hostile_names_cannot_end_the_data(tmp_path):
    for write in (lambda folder: hostile(folder / HOSTILE[0]),):
        write(tmp_path / "runs")
    page, data = exported(tmp_path)
    assert len(DATA.findall(page)) == 1
    assert "<img" not in page
    assert "alert('script')</script>" not in page
    names = {metric["name"] for metric in data["runs"][0]["metrics"]}
    assert f"val/Average Total Return in {HOSTILE[1]}" in names


@pytest.mark.parametrize("text", ["</script>", "<!--", "]]>", "\u2028", "&lt;", '"', "\ud800"])
def test_any_text_survives_inside_a_script(text):
    written = in_script([text])
    assert not re.findall("[<>&\u2028]", written)
    assert json.loads(written) == [text]


def test_272_metrics_over_50_axes_stay_small(tmp_path):
    page, data = exported(tmp_path, ml45=ml45)
    assert len(page) < 2_000_000
    (run,) = data["runs"]
    assert len(run["metrics"]) >= 272
    assert len(run["groups"][run["series"][AVERAGE]["group"]]) == len(data["axes"])


def test_a_long_metric_is_thinned_with_its_extremes(tmp_path):
    def long(folder):
        record = Record(folder)
        record.session()
        for i in range(3000):
            record.row({"total_frames": i}, {"train/Loss": 99.0 if i == 1234 else float(i % 7)})
        record.save()

    _, data = exported(tmp_path, long=long)
    series = data["runs"][0]["series"]["train/Loss"]
    assert len(series["y"]) <= 400
    assert max(series["high"]) == 99.0
    assert min(series["low"]) == 0.0
    assert series["n"] == 3000
    places = data["runs"][0]["groups"][series["group"]]["total_frames"]
    assert places[-1] == 2999
    assert places == sorted(places)


def test_nothing_in_the_page_says_where_the_runs_were_made(tmp_path):
    page, _ = exported(tmp_path, gym=gym, broken=broken)
    for word in (HOME, "workstation", '"pid":4242', str(tmp_path)):
        assert word not in page


def test_a_broken_run_is_in_the_list_with_its_error(tmp_path):
    _, data = exported(tmp_path, gym=gym, broken=broken)
    rows = {run["row"]["name"]: run["row"] for run in data["runs"]}
    assert rows["broken"]["error"]
    assert rows["gym"]["error"] is None


def test_what_cannot_be_exported_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="no run to export"):
        export_page([tmp_path], tmp_path / "page.html")
    with pytest.raises(ConfigError, match="does not exist"):
        export_page([tmp_path / "nowhere"], tmp_path / "page.html")
    gym(tmp_path / "gym", epochs=2)
    with pytest.raises(ConfigError, match="cannot write"):
        export_page([tmp_path], tmp_path / "no" / "page.html")


# Asks the exported page's own code the questions in QUESTIONS, and prints the answers.
_ASK = """
import { readFileSync } from "node:fs";
const [data, questions] = JSON.parse(readFileSync(0, "utf8"));
globalThis.AMAGO_EXPORT = data;
const { answer } = await import(process.argv[1]);
const answers = [];
for (const [path, body] of questions) answers.push(await answer(path, body ?? undefined));
process.stdout.write(JSON.stringify(answers));
"""


def ask_offline(data, questions):
    """Answers of offline.js in node."""
    command = ["node", "--input-type=module", "--eval", _ASK, str(STATIC / "js" / "offline.js")]
    given = in_script([data, questions])
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="compares with JavaScript: needs node")
def test_the_exported_page_answers_as_the_server_does(open_page):
    page = open_page("gym", "lake", "ml45", "offline", "values", "seeds-1", "seeds-2", "seeds-3")
    root = page.library.roots[0]
    data = exported_data(sorted(root.iterdir()), [root])
    ids = page.ids()
    seeds = [ids[f"seeds-{i}"] for i in (1, 2, 3)]
    every = list(ids.values())
    questions = []
    for x in ("total_frames", "Epoch", "Wall Time", "Process Time", "Step"):
        common = {"runs": [ids["gym"]], "x": x}
        names = [AVERAGE, "train/Loss", "nope", "gradient_steps"]
        questions += [
            ("/api/series", common | {"metrics": names[:3]}),
            ("/api/attempts", common | {"section": "val", "runs": [ids["lake"], ids["ml45"]]}),
            ("/api/matrix", {"run": ids["ml45"], "section": "val", "x": x}),
        ]
        groups = [{"label": "seeds", "runs": seeds}, {"label": "one", "runs": seeds[:1]}]
        for band in ("std", "minmax"):
            for statistic in ("mean", "iqm"):
                how = {"groups": groups, "metrics": [AVERAGE], "band": band, "x": x}
                questions.append(("/api/bands", how | {"statistic": statistic}))
    questions += [
        ("/api/metrics", {"runs": every}),
        ("/api/metrics", {"runs": [ids["offline"]]}),
        ("/api/diff", {"runs": [ids["gym"], ids["lake"]]}),
        ("/api/series", {"runs": seeds, "metrics": [AVERAGE], "x": "Epoch", "range": [3, 9]}),
        ("/api/values", {"run": ids["values"], "metric": "train/Note", "x": "total_frames"}),
        (f"/api/runs/{ids['gym']}/config", None),
        (f"/api/runs/{ids['gym']}/files", None),
    ]
    answers = ask_offline(data, questions)
    for (path, body), offline_answer in zip(questions, answers, strict=True):
        served = page.get(path) if body is None else page.post(path.rpartition("/")[2], **body)
        compare(comparable(offline_answer), comparable(served), f"{path} {body}")


def comparable(answer):
    """`answer` without what an exported page leaves out or adds."""
    if isinstance(answer, list):
        return [comparable(item) for item in answer]
    if isinstance(answer, dict):
        return {k: comparable(v) for k, v in answer.items() if k not in {"order", "last"}}
    return answer


def compare(one, other, where):
    """Equal but for rounding."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            compare(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for i, pair in enumerate(zip(one, other, strict=True)):
            compare(*pair, f"{where}[{i}]")
    elif isinstance(one, float) or isinstance(other, float):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=6e-3, err_msg=where)
    else:
        assert one == other, where
