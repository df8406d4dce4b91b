"""`amago sync`: with the real client against a server on loopback, and what needs no client."""

import json
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import pytest
from fake_wandb import KEY, FakeWandb, isolated_environment, serving

from amago.cli import sync
from amago.core.errors import RunNotFoundError
from amago.core.values import Histogram
from amago.tracking.reader import Row
from amago.tracking.store import LocalRecord

CONFIG = {"experiment": {"run_name": "my run", "wandb_group_name": "seeds"}, "api_key": "HIDE-ME"}
COMMAND = ["python", "-m", "mine.train", "--api-key=HIDE-ME", "--lr", "3"]


def record(run_dir: Path, frames, writer: str = "learner", status: str | None = "finished"):
    """Rows at `frames`, in one session of `writer`."""
    made = LocalRecord(run_dir, writer, warn=pytest.fail)
    made.config(CONFIG)
    for frame in frames:
        axes = {"total_frames": frame, "Epoch": frame // 10, "gradient_steps": 2 * frame}
        made.log(axes | {"train/Loss": frame / 2, "System/CPU (%)": 50.0})
    if status is not None:
        made.finish(status)
    return made


def arguments(*given: str) -> Namespace:
    parser = ArgumentParser()
    sync.add_arguments(parser)
    return parser.parse_args(given)


# --------------------------------------------------------------------------- the real client


def upload(folder: Path, server: FakeWandb, *given: str, key: str = KEY):
    code = (
        "import sys; from argparse import ArgumentParser; from amago.cli import sync\n"
        "from amago.core.errors import AmagoError\n"
        "parser = ArgumentParser(); sync.add_arguments(parser)\n"
        "try: sys.exit(sync.run(parser.parse_args()))\n"
        "except AmagoError as error: sys.exit(f'amago: {error}')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(folder / "run"), *given],
        env=isolated_environment(folder, server.url, key),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.slow  # starts the real client in processes of its own
def test_a_record_arrives_whole_and_uploading_it_again_adds_what_is_new(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", COMMAND)
    run_dir = tmp_path / "run"
    learner = record(run_dir, range(0, 50, 10), status=None)
    learner.log({"total_frames": 50, "val/Bins": Histogram.of(np.arange(9.0), bins=3)})
    learner.finish("finished")
    record(run_dir, range(0, 30, 10), writer="collector-ab12")
    with serving() as server:
        done = upload(tmp_path, server, "--project", "mine", "--train-prefix", "train-update")
        assert done.returncode == 0, done.stderr
        learner_id, collector_id = server.ids
        pages = [f"{server.url}/team/mine/runs/{run_id}" for run_id in server.ids]
        assert (
            done.stdout == f"6 rows of learner: {pages[0]}\n3 rows of collector-ab12: {pages[1]}\n"
        )
        assert done.stderr == ""
        written = [json.loads(line) for line in learner.path.read_text().splitlines()]
        rows = [entry for entry in written if entry["kind"] == "row"]
        found = server.rows(learner_id)
        for given, row in zip(rows[:5], found, strict=False):
            assert row["_timestamp"] == pytest.approx(given["t"], abs=1e-6)
            assert row | given["axes"] == row
            assert row["train-update/Loss"] == given["data"]["train/Loss"]
            assert row["System/CPU (%)"] == 50
        assert found[5]["val/Bins"]["_type"] == "histogram"
        sent = next(run for run in server.runs if run["name"] == learner_id)
        told = (sent["displayName"], sent["groupName"], sent["project"])
        assert told == ("my run", "seeds", "mine")
        assert server.config(learner_id) == CONFIG | {"api_key": "[redacted]"}
        metadata = json.loads(server.file("wandb-metadata.json"))
        assert metadata["program"] == "-m mine.train"
        assert metadata["args"] == ["--api-key=[redacted]", "--lr", "3"]
        assert server.definitions()["train-update/*"] == "total_frames"
        collectors = [run["displayName"] for run in server.runs if run["name"] == collector_id]
        assert "my run-collector-ab12" in collectors

        record(run_dir, [60, 70], status="stopped")
        again = upload(tmp_path, server)  # the project is remembered
        assert again.stdout == (
            f"2 rows of learner: {pages[0]}\nnothing new of collector-ab12: {pages[1]}\n"
        )
        frames = [row["total_frames"] for row in server.rows(learner_id)]
        assert frames == [0, 10, 20, 30, 40, 50, 60, 70]
        assert [row["_step"] for row in server.rows(learner_id)] == list(range(8))
        assert server.exit_codes == [0, 0, 255, 0]
        assert b"HIDE-ME" not in b"".join(server.received)


@pytest.mark.slow  # starts the real client in processes of its own
def test_without_a_key_nothing_is_uploaded_and_it_says_how_to_get_one(tmp_path):
    record(tmp_path / "run", [0])
    with serving() as server:
        done = upload(tmp_path, server, key="")
        assert done.returncode == 1
        assert done.stderr == (
            "amago: W&B cannot be used (no API key: run `wandb login` first). "
            "Nothing was uploaded.\n"
        )
        assert server.runs == []


# ------------------------------------------------------------------------- without a client


class Target:
    """Stands for a run on W&B that has no rows, or those up to a time."""

    last_time: float | None = None
    is_complete = True
    url = "http://w"
    reason = ""

    def __init__(self, name, folder, **options):
        self.name, self.folder, self.options = name, folder, options
        self.rows: list[dict] = []
        self.status = ""
        made.append(self)

    def start_online(self):
        if not self.reason:
            facts = {"id": "1", "project": self.options["project"], "entity": "e"}
            (self.folder / sync.FOLDER).mkdir(parents=True, exist_ok=True)
            (self.folder / sync.FOLDER / "run.json").write_text(json.dumps(facts))
        return self.reason

    def log(self, row):
        self.rows.append(row)

    def finish(self, status):
        self.status = status


made: list[Target] = []


@pytest.fixture(autouse=True)
def target(monkeypatch):
    """The class that stands for W&B, for changing what it answers."""
    made.clear()
    kind = type("Target", (Target,), {})
    monkeypatch.setattr(sync, "WandbRun", kind)
    return kind


def frames_sent() -> list[int]:
    return [row["total_frames"] for row in made[-1].rows]


def test_a_folder_that_is_no_run_is_refused_with_what_to_give(tmp_path):
    with pytest.raises(RunNotFoundError, match="Give the folder of one run"):
        sync.run(arguments(str(tmp_path)))


def test_rows_that_the_run_itself_has_sent_are_not_sent_again(tmp_path, target):
    record(tmp_path, range(4))
    sync.run(arguments(str(tmp_path)))
    times = [row[sync.TIME] for row in made[-1].rows]
    (tmp_path / sync.FOLDER / "synced.json").unlink()
    target.last_time = times[1] + 2e-6  # the tracker looks at the clock after the record
    sync.run(arguments(str(tmp_path)))
    assert frames_sent() in ([2, 3], [3])  # rows of a test may be a microsecond apart


def test_a_run_that_w_and_b_has_lost_is_sent_whole_again(tmp_path):
    record(tmp_path, range(4))
    for _ in range(2):
        sync.run(arguments(str(tmp_path)))
        assert frames_sent() == [0, 1, 2, 3]


def test_another_project_gets_every_row(tmp_path, target):
    record(tmp_path, range(4))
    sync.run(arguments(str(tmp_path), "--project", "a"))
    target.last_time = 0.0
    sync.run(arguments(str(tmp_path), "--project", "b"))
    assert frames_sent() == [0, 1, 2, 3]


def test_rows_after_a_clock_that_went_back_are_new(tmp_path):
    kept = sync._Uploaded("1", "p", "e", last={"learner": [0, 9]}, time=100.0, rows=10)
    is_new = sync._is_new({"id": "1", "project": "p", "entity": "e"}, 100.0, kept)
    assert is_new(Row("learner", 1, 10, 50.0, {}, {}))
    assert not is_new(Row("learner", 0, 9, 100.0, {}, {}))
    assert is_new(Row("evaluation", 0, 0, 50.0, {}, {}))


def test_evaluations_belong_to_the_run_that_they_evaluate(tmp_path, target):
    record(tmp_path, [0, 10])
    record(tmp_path, [20], writer="evaluation")
    record(tmp_path, [1], writer="collector-ab")
    record(tmp_path, [2], writer="evaluation-ab")
    sync.run(arguments(str(tmp_path)))
    learner, collector = made
    assert [learner.name, collector.name] == ["my run", "my run-collector-ab"]
    assert [row["total_frames"] for row in learner.rows] == [0, 10, 20]
    assert [row["total_frames"] for row in collector.rows] == [1, 2]

    target.last_time = learner.rows[-1][sync.TIME]
    record(tmp_path, [30], writer="evaluation", status="stopped")
    sync.run(arguments(str(tmp_path)))
    assert [row["total_frames"] for row in made[2].rows] == [30]
    assert made[2].status == "finished"  # as the training did


def test_an_evaluation_without_training_is_the_run(tmp_path):
    record(tmp_path, [5], writer="evaluation")
    sync.run(arguments(str(tmp_path)))
    assert made[-1].name == "my run"
    assert frames_sent() == [5]


def test_what_has_not_arrived_is_tried_again(tmp_path, target):
    record(tmp_path, range(4))
    target.is_complete = False
    with pytest.raises(sync.SyncError, match="not all rows of learner have arrived at http://w"):
        sync.run(arguments(str(tmp_path)))
    assert not (tmp_path / sync.FOLDER / "synced.json").exists()


def test_a_server_that_cannot_be_reached_is_an_error(tmp_path, target):
    record(tmp_path, range(4))
    target.reason = "http://w does not answer"
    with pytest.raises(sync.SyncError, match="http://w does not answer"):
        sync.run(arguments(str(tmp_path)))


def test_a_run_that_is_live_on_w_and_b_is_left_alone(tmp_path):
    live = LocalRecord(tmp_path, warn=pytest.fail)
    live.config(CONFIG)
    live.log({"total_frames": 0, "train/Loss": 1.0})
    live.flush()
    folder = tmp_path / sync.FOLDER
    folder.mkdir()
    (folder / "run.json").write_text('{"id": "1", "mode": "online", "url": "http://w/1"}')
    with pytest.raises(sync.SyncError, match="the run goes on, and sends its rows to http://w/1"):
        _in_another_process(tmp_path)
    live.finish("finished")


def _in_another_process(run_dir: Path) -> None:
    code = (
        "import sys; from argparse import Namespace; from pathlib import Path\n"
        "from amago.cli import sync\n"
        "options = dict(project=None, entity=None, group=None, train_prefix='train')\n"
        "try: sync.run(Namespace(run_dir=Path(sys.argv[1]), **options))\n"
        "except sync.SyncError as error: sys.exit(str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run_dir)],
        env=isolated_environment(run_dir),
        capture_output=True,
        text=True,
        check=False,
    )
    raise sync.SyncError(done.stderr)


@pytest.mark.parametrize("status, shown", [("finished", "finished"), (None, "crashed")])
def test_a_run_is_shown_to_have_ended_as_it_did(tmp_path, status, shown):
    made_here = record(tmp_path, range(2), status=status)
    if status is None:
        made_here.flush()
        made_here._claim.release()  # as the death of its process does
    sync.run(arguments(str(tmp_path)))
    assert made[-1].status == shown
    if status is None:
        made_here.finish("finished")


def test_an_offline_run_has_gradient_steps_as_its_axis(tmp_path):
    record(tmp_path / "a", [0, 10])
    record(tmp_path / "b", [0, 0])
    found = []
    for name in ("a", "b"):
        sync.run(arguments(str(tmp_path / name)))
        found.append(made[-1].options["default_axis"])
    assert found == ["total_frames", "gradient_steps"]
