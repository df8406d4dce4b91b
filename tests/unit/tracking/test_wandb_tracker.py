"""The real client, in a process of its own: offline, and against a server on loopback."""

import json
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_wandb import KEY, isolated_environment

from amago.core import config as gin_config
from amago.core.errors import ConfigError
from amago.core.values import Image, Video
from amago.tracking.client_messages import ClientMessages
from amago.tracking.reach import has_key
from amago.tracking.wandb_tracker import TIME, WandbRun, WandbTracker

CHILD = """
import json, sys
import numpy as np
from amago.core.values import Histogram, Image, Table, Video
from amago.tracking.base import FanOut
from amago.tracking.wandb_tracker import WandbTracker

def say(text):
    print(text, flush=True)
tracker = FanOut([WandbTracker("my run", say=say, warn=say, **json.loads(sys.argv[1]))], warn=say)
tracker.config({"agent": {"gamma": 0.9}, "api_key": "HIDE-ME", "key_location": "random"})
for i in range(5):
    axes = {"total_frames": 10 * i, "total_frames-a/b": 10 * i, "Epoch": i, "gradient_steps": i}
    tracker.log(axes | {"train/Loss": i / 2, "val/Average Total Return in a/b": float(i)})
frames = np.zeros((3, 6, 8, 3), np.uint8)
tracker.log(axes | {
    "train/Maximum Bin (All Gammas)": Histogram.of(np.arange(10.0), bins=4),
    "mine/Count": 3,
    "val/Maze": Image(frames[0]),
    "val/Rollout": Video(frames),
    "val/Returns": Table(["env", "return"], [["a/b", 1.5]]),
})
tracker.log(axes | {"System/CPU (%)": 50.0})
tracker.finish("finished")
"""

AXES = {"total_frames": 40, "total_frames-a/b": 40, "Epoch": 4, "gradient_steps": 4}


def run(folder: Path, url: str = "", key: str = KEY, **options) -> str:
    """Output of a process that makes a run."""
    environment = isolated_environment(folder, url, key) | {"MY_TOKEN": "HIDE-ME-AS-WELL"}
    environment |= {} if url else {"WANDB_MODE": "offline"}
    options = {"run_dir": str(folder / "run")} | options
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(options), "--api-key=HIDE-ME"],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def blocks(data: bytes) -> list[bytes]:
    """Records of a `.wandb` file: LevelDB's log format after 7 bytes of header."""
    records, partial, place = [], b"", 7
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        partial += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(partial)
            partial = b""
    return records


def stored_records(folder: Path) -> list:
    from wandb.proto import wandb_internal_pb2

    record = wandb_internal_pb2.Record  # pyright: ignore[reportAttributeAccessIssue]
    (file,) = folder.glob("wandb/*run-*/run-*.wandb")
    return [record.FromString(block) for block in blocks(file.read_bytes())]


def stored_rows(folder: Path) -> list[dict]:
    return [
        {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in items}
        for items in (
            record.history.item for record in stored_records(folder) if record.history.item
        )
    ]


@pytest.fixture(scope="module")
def offline_run(tmp_path_factory):
    """A finished offline run: its W&B folder, and what it printed."""
    folder = tmp_path_factory.mktemp("offline")
    output = run(folder, default_axis="gradient_steps")
    return folder / "run" / "wandb_logs", output


@pytest.mark.slow  # starts the real client
def test_offline_rows_carry_every_axis(offline_run):
    folder, output = offline_run
    rows = stored_rows(folder)
    assert len(rows) == 6  # the row of System/ metrics is W&B's own business
    assert rows[4] | AXES == rows[4]
    assert rows[5] | AXES == rows[5]
    assert (rows[4]["train/Loss"], rows[4]["val/Average Total Return in a/b"]) == (2.0, 4.0)
    said = f"W&B is offline (as asked). To upload it: amago sync {folder.parent}\n"
    assert output == said


@pytest.mark.slow  # starts the real client
def test_typed_values_become_those_of_the_client(offline_run):
    folder, _ = offline_run
    row = stored_rows(folder)[5]
    assert sum(row["train/Maximum Bin (All Gammas)/values"]) == 10
    kinds = {name: row[f"val/{name}/_type"] for name in ("Maze", "Rollout", "Returns")}
    assert kinds == {"Maze": "image-file", "Rollout": "video-file", "Returns": "table-file"}


@pytest.mark.slow  # starts the real client
def test_offline_run_has_a_default_axis_its_config_and_no_secret(offline_run):
    folder, _ = offline_run
    records = stored_records(folder)
    axes = {r.metric.glob_name: r.metric.step_metric for r in records if r.metric.glob_name}
    assert axes == dict.fromkeys(("mine/*", "train/*", "val/*"), "gradient_steps")
    begun = next(record.run for record in records if record.HasField("run"))
    config = {item.key: json.loads(item.value_json) for item in begun.config.update}
    assert config["agent"] == {"gamma": 0.9}
    assert config["key_location"] == "random"
    assert begun.display_name == "my run"
    for file in folder.rglob("*"):
        assert not file.is_file() or b"HIDE-ME" not in file.read_bytes(), file


@pytest.mark.slow  # starts the real client in processes of its own
def test_an_online_run_arrives_whole_and_the_next_process_continues_it(tmp_path, fake_wandb):
    _git_with_a_secret_address(tmp_path)
    output = run(tmp_path, fake_wandb.url, project="mine", group="seeds")
    (run_id,) = fake_wandb.ids
    assert output == f"W&B run: {fake_wandb.url}/team/mine/runs/{run_id}\n"
    rows = fake_wandb.rows()
    assert len(rows) == 6
    assert rows[4] | AXES | {"train/Loss": 2, "val/Average Total Return in a/b": 4} == rows[4]
    assert all(AXES.keys() <= row.keys() for row in rows)
    sent = fake_wandb.runs[0]
    given = (sent["project"], sent["displayName"], sent["groupName"])
    assert given == ("mine", "my run", "seeds")
    config = fake_wandb.config()
    assert config["agent"] == {"gamma": 0.9}
    assert config["api_key"] == "[redacted]"
    metadata = json.loads(fake_wandb.file("wandb-metadata.json"))
    assert metadata["args"][-1] == "--api-key=[redacted]"
    defined = ("mine/*", "train/*", "val/*")
    assert fake_wandb.definitions() == dict.fromkeys(defined, "total_frames")
    assert fake_wandb.exit_codes == [0]
    assert "query RunResumeStatus" not in fake_wandb.asked

    run(tmp_path, fake_wandb.url, project="mine")
    assert fake_wandb.ids == [run_id]
    assert "query RunResumeStatus" in fake_wandb.asked
    assert [row["_step"] for row in fake_wandb.rows()] == list(range(12))
    everything = b"".join(fake_wandb.received)
    assert b"HIDE-ME" not in everything
    assert KEY.encode() not in everything


def _git_with_a_secret_address(folder: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    address = "https://me:HIDE-ME@example.com/me/it.git"
    subprocess.run(["git", "remote", "add", "origin", address], cwd=folder, check=True)


class FakeRun:
    """Remembers what a run is asked to do."""

    offline, resumed, id, project, entity = False, False, "1", "p", "e"
    url, dir = "http://w", "/d/files"

    def __init__(self):
        self.axes, self.rows = {}, []

    def define_metric(self, name, step_metric=None):
        self.axes[name] = step_metric

    def log(self, row):
        self.rows.append(row)

    def finish(self, exit_code):
        raise ConnectionError("the service has died")


@pytest.fixture
def fake_client(monkeypatch):
    """Replaces the client: `(runs made, arguments each was made with)`."""
    runs, arguments = [], []

    def init(**given):
        arguments.append(given)
        runs.append(FakeRun())
        return runs[-1]

    monkeypatch.setattr("wandb.init", init)
    monkeypatch.setattr("amago.tracking.wandb_tracker._reason_against_online", lambda messages: "")
    for name in ("WANDB_PROJECT", "WANDB_ENTITY", "WANDB_RUN_GROUP"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"AMAGO_{name}", raising=False)
    return runs, arguments


@pytest.fixture
def said() -> list[str]:
    return []


def started(tmp_path, said, **options) -> WandbRun:
    made = WandbRun("name", tmp_path, say=said.append, warn=said.append, **options)
    made.start()
    return made


@pytest.mark.parametrize("what", ["project", "entity"])
def test_an_argument_wins_over_amagos_variable_over_wandbs(
    tmp_path, fake_client, monkeypatch, said, what
):
    _, arguments = fake_client
    started(tmp_path, said)
    monkeypatch.setenv(f"WANDB_{what.upper()}", "from wandb")
    started(tmp_path, said)
    monkeypatch.setenv(f"AMAGO_WANDB_{what.upper()}", "from amago")
    started(tmp_path, said)
    started(tmp_path, said, **{what: "argument"})
    found = [given[what] for given in arguments]
    assert found == [None, "from wandb", "from amago", "argument"]


def test_upstreams_prefix_can_be_had_back_by_gin(tmp_path, fake_client):
    gin_config.parse_bindings(["WandbTracker.train_prefix = 'train-update'"])
    tracker = WandbTracker("name", tmp_path, say=lambda text: None, warn=lambda text: None)
    before = time.time()
    tracker.log({"Epoch": 1, "train/Loss": 2.0})
    tracker.finish("finished")
    (made,) = fake_client[0]
    (row,) = made.rows
    assert before <= row.pop(TIME) <= time.time()
    assert row == {"Epoch": 1, "train-update/Loss": 2.0}
    assert made.axes["train-update/*"] == "total_frames"


def test_gin_binds_the_project_of_an_experiment_and_not_of_its_tracker():
    with pytest.raises(ConfigError, match="project"):
        gin_config.parse_bindings(["WandbTracker.project = 'mine'"])


def test_rows_of_axes_or_of_our_hardware_metrics_alone_are_not_sent(tmp_path, fake_client):
    tracker = WandbTracker("name", tmp_path, say=lambda text: None, warn=lambda text: None)
    tracker.log({"Epoch": 1, "System/CPU (%)": 50.0})
    tracker.log({"Epoch": 1})
    tracker.log({"Epoch": 1, "val/x": 1.0})
    tracker.finish("finished")
    (made,) = fake_client[0]
    assert [row.keys() - {TIME} for row in made.rows] == [{"Epoch", "val/x"}]


def test_a_broken_client_at_the_end_is_only_a_warning(tmp_path, fake_client, said):
    made = started(tmp_path / "my run", said)
    made.finish("finished")
    assert not made.is_complete
    assert said == [
        "W&B run: http://w",
        f"W&B has not taken everything (ConnectionError: the service has died). "
        f"To upload it: amago sync '{tmp_path / 'my run'}'",
    ]


def test_a_collector_names_the_folder_of_the_run_to_upload(tmp_path, fake_client, said):
    started(tmp_path / "run" / "collectors" / "ab12", said).finish("finished")
    assert said[-1].endswith(f"amago sync {tmp_path / 'run'}")


def test_a_row_after_the_end_continues_the_run(tmp_path, fake_client, said):
    made = started(tmp_path, said)
    made.finish("finished")
    made.log({"test/x": 1.0})
    _, arguments = fake_client
    assert [given["resume"] for given in arguments] == [None, "allow"]
    assert [given["id"] for given in arguments][1] == "1"


def test_a_run_that_cannot_start_is_named_once_and_not_tried_again(
    tmp_path, fake_client, monkeypatch, said
):
    attempts = []

    def fail(**given):
        attempts.append(given["mode"])
        raise OSError("disk full")

    monkeypatch.setattr("wandb.init", fail)
    tracker = WandbTracker("name", tmp_path, say=said.append, warn=said.append)
    for _ in range(3):
        tracker.log({"train/Loss": 1.0})
    tracker.finish("finished")
    assert attempts == ["online", "offline"]
    assert len(said) == 1
    assert "disk full" in said[0]


def test_disabled_starts_nothing(tmp_path, monkeypatch, said):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    made = started(tmp_path, said)
    made.log({"train/Loss": 1.0})
    made.finish("finished")
    assert said == []
    assert not list(tmp_path.iterdir())


def test_what_pillow_is_needed_for_is_left_out_of_a_row(tmp_path, fake_client, monkeypatch, said):
    monkeypatch.setitem(sys.modules, "PIL", None)
    made = started(tmp_path, said)
    pixels = np.zeros((2, 4, 5, 3), np.uint8)
    for _ in range(2):
        made.log({"val/i": Image(pixels[0]), "val/v": Video(pixels), "val/x": 1.0})
    (client,) = fake_client[0]
    assert client.rows == [{"val/x": 1.0}] * 2
    assert len(said) == 2
    assert "pip install 'amago[media]'" in said[1]


def test_the_client_tells_trouble_once_and_chatter_never():
    said, lost = [], []
    messages = ClientMessages(said.append, lost.append)
    messages.info("wandb: Run data is saved locally")
    for _ in range(2):
        messages.warning("\x1b[34mwandb\x1b[0m: \x1b[33mWARNING\x1b[0m odd step")
        messages.error("wandb: WARNING Fatal error. Some run data will not be synced, but kept.")
        messages.warning("wandb: WARNING Timed out finishing run.")
    assert said == ["W&B says: odd step"]
    assert lost == ["Fatal error"]


def test_a_key_in_netrc_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("NETRC", str(tmp_path / "keys"))
    assert not has_key("https://here.example", "SOME_KEY")
    (tmp_path / "keys").write_text("machine here.example login user password x\n")
    assert has_key("https://here.example/path", "SOME_KEY")
    assert not has_key("https://there.example", "SOME_KEY")
    monkeypatch.setenv("SOME_KEY", "x")
    assert has_key("https://there.example", "SOME_KEY")


def test_wandb_is_imported_only_when_a_run_starts():
    code = (
        "import sys, amago.tracking.wandb_tracker as w; w.WandbTracker('n', '.');"
        "assert 'wandb' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
