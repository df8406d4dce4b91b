"""The real client, in a process of its own: offline, and against a server on loopback."""

import json
import os
import socket
import struct
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

import amago
from amago.tracking.wandb_tracker import WandbTracker, _has_key

CHILD = """
import json, sys, time
import numpy as np
from amago.core.values import Histogram
from amago.tracking.wandb_tracker import WandbTracker

options = json.loads(sys.argv[1])
def say(text):
    print(text, flush=True)
tracker = WandbTracker("my run", say=say, warn=say, **options)
tracker.config({"agent": {"gamma": 0.9}, "api_key": "HIDE-ME", "key_location": "random"})
began = time.monotonic()
tracker.start()
print(f"started in {time.monotonic() - began:.1f} s", flush=True)
for i in range(5):
    axes = {"total_frames": 10 * i, "total_frames-a/b": 10 * i, "Epoch": i, "gradient_steps": i}
    tracker.log(axes | {"train/Loss": i / 2, "val/Average Total Return in a/b": float(i)})
tracker.log(axes | {"train/Maximum Bin (All Gammas)": Histogram.of(np.arange(10.0), bins=4)})
tracker.log(axes | {"System/CPU (%)": 50.0})
tracker.finish("finished")
"""

AXES = {"total_frames": 40, "total_frames-a/b": 40, "Epoch": 4, "gradient_steps": 4}


def run(tmp_path: Path, environment: dict[str, str], **options) -> str:
    """Output of a process that makes a run; W&B sees nothing of this machine's settings."""
    inherited = {k: v for k, v in os.environ.items() if "WANDB" not in k and k != "NETRC"}
    isolated = {"HOME": str(tmp_path), "WANDB_CONFIG_DIR": str(tmp_path / "settings")}
    isolated |= {"WANDB_ERROR_REPORTING": "false", "WANDB_CACHE_DIR": str(tmp_path / "cache")}
    isolated |= {"WANDB_DATA_DIR": str(tmp_path / "data"), "no_proxy": "127.0.0.1"}
    isolated["PYTHONPATH"] = str(Path(amago.__file__).parents[1])
    options = {"run_dir": str(tmp_path / "run")} | options
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(options), "--api-key=HIDE-ME"],
        env=inherited | isolated | environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def online(url: str) -> dict[str, str]:
    return {"WANDB_BASE_URL": url, "WANDB_API_KEY": "k" * 40}


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
    output = run(folder, {"WANDB_MODE": "offline"}, default_axis="gradient_steps")
    return folder / "run" / "wandb_logs", output


def test_offline_rows_carry_every_axis(offline_run):
    folder, output = offline_run
    rows = stored_rows(folder)
    assert len(rows) == 6  # the row of System/ metrics is W&B's own business
    assert rows[4] | AXES == rows[4]
    assert rows[5] | AXES == rows[5]
    assert (rows[4]["train/Loss"], rows[4]["val/Average Total Return in a/b"]) == (2.0, 4.0)
    histogram = "train/Maximum Bin (All Gammas)"
    assert rows[5][f"{histogram}/_type"] == "histogram"
    assert sum(rows[5][f"{histogram}/values"]) == 10
    assert output.count("W&B is offline (as asked). To upload: wandb sync") == 1


def test_offline_run_has_a_default_axis_its_config_and_no_secret(offline_run):
    folder, _ = offline_run
    records = stored_records(folder)
    axes = {r.metric.glob_name: r.metric.step_metric for r in records if r.metric.glob_name}
    sections = ("val/*", "test/*", "train/*", "dataset/*")
    assert axes == dict.fromkeys(sections, "gradient_steps")
    (begun,) = (record.run for record in records if record.HasField("run"))
    config = {item.key: json.loads(item.value_json) for item in begun.config.update}
    assert config["agent"] == {"gamma": 0.9}
    assert config["key_location"] == "random"
    assert begun.display_name == "my run"
    for file in folder.rglob("*"):
        assert not file.is_file() or b"HIDE-ME" not in file.read_bytes(), file


def test_disabled_writes_nothing(tmp_path):
    output = run(tmp_path, {"WANDB_MODE": "disabled"})
    assert "W&B" not in output
    assert not list((tmp_path / "run").rglob("*.wandb"))


@pytest.mark.slow  # starts the real client in processes of its own
def test_an_online_run_arrives_whole_and_the_next_process_continues_it(tmp_path, fake_wandb):
    output = run(tmp_path, online(fake_wandb.url), project="mine", group="seeds")
    assert f"W&B run: {fake_wandb.url}/team/mine/runs/" in output
    rows = [row for row in fake_wandb.history if "total_frames" in row]
    assert len(rows) == 6
    assert rows[4] | AXES | {"train/Loss": 2, "val/Average Total Return in a/b": 4} == rows[4]
    first = fake_wandb.runs[0]
    assert (first["project"], first["displayName"], first["groupName"]) == (
        *("mine", "my run", "seeds"),
    )
    config = json.loads(first["config"])
    assert config["agent"]["value"] == {"gamma": 0.9}
    assert config["api_key"]["value"] == "[redacted]"
    metadata = json.loads(fake_wandb.files["wandb-metadata.json"])
    assert metadata["args"][-1] == "--api-key=[redacted]"
    assert fake_wandb.exit_codes == [0]

    run(tmp_path, online(fake_wandb.url), project="mine")
    assert len(fake_wandb.runs) > 2
    assert {sent["name"] for sent in fake_wandb.runs} == {first["name"]}


class FakeRun:
    """Remembers what a run is asked to do."""

    offline, id, project, entity, url, dir = False, "1", "p", "e", "http://w", "/d/files"

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
    monkeypatch.setattr("amago.tracking.wandb_tracker._choose_mode", lambda: ("online", ""))
    for name in ("WANDB_PROJECT", "WANDB_ENTITY", "WANDB_RUN_GROUP"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"AMAGO_{name}", raising=False)
    return runs, arguments


def tracker_in(tmp_path, **options) -> WandbTracker:
    said: list[str] = []
    tracker = WandbTracker("name", tmp_path, say=said.append, warn=said.append, **options)
    tracker.start()
    return tracker


@pytest.mark.parametrize("what", ["project", "entity"])
def test_an_argument_wins_over_amagos_variable_over_wandbs(
    tmp_path, fake_client, monkeypatch, what
):
    _, arguments = fake_client
    tracker_in(tmp_path)
    monkeypatch.setenv(f"WANDB_{what.upper()}", "from wandb")
    tracker_in(tmp_path)
    monkeypatch.setenv(f"AMAGO_WANDB_{what.upper()}", "from amago")
    tracker_in(tmp_path)
    tracker_in(tmp_path, **{what: "argument"})
    found = [given[what] for given in arguments]
    assert found == [None, "from wandb", "from amago", "argument"]


def test_upstreams_prefix_can_be_had_back(tmp_path, fake_client):
    tracker_in(tmp_path, train_prefix="train-update").log({"Epoch": 1, "train/Loss": 2.0})
    (made,) = fake_client[0]
    assert made.rows == [{"Epoch": 1, "train-update/Loss": 2.0}]
    assert made.axes["train-update/*"] == "total_frames"


def test_a_broken_client_at_the_end_is_only_a_warning(tmp_path, fake_client):
    said = []
    tracker = WandbTracker("name", tmp_path, say=said.append, warn=said.append)
    tracker.log({"train/Loss": 1.0})
    tracker.finish("finished")
    assert said == [
        *("W&B run: http://w",),
        "W&B did not finish cleanly (ConnectionError: the service has died).",
    ]


def test_a_row_after_the_end_continues_the_run(tmp_path, fake_client):
    tracker = tracker_in(tmp_path)
    tracker.finish("finished")
    tracker.log({"test/x": 1.0})
    _, arguments = fake_client
    assert [given["resume"] for given in arguments] == [None, "allow"]


def test_a_run_that_cannot_start_is_not_tried_again(tmp_path, fake_client, monkeypatch):
    attempts = []

    def fail(**given):
        attempts.append(given["mode"])
        raise OSError("disk full")

    monkeypatch.setattr("wandb.init", fail)
    tracker = WandbTracker("name", tmp_path)
    with pytest.raises(OSError, match="disk full"):
        tracker.log({"train/Loss": 1.0})
    tracker.log({"train/Loss": 1.0})
    tracker.finish("finished")
    assert attempts == ["online", "offline"]


def test_a_key_in_netrc_is_found(tmp_path, monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "keys"))
    assert not _has_key("https://here.example")
    (tmp_path / "keys").write_text("machine here.example login user password x\n")
    assert _has_key("https://here.example/path")
    assert not _has_key("https://there.example")


class Failing(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(500)

    def log_message(self, format, *args):
        pass


@pytest.fixture(params=["refuses", "fails", "never answers"])
def bad_server(request):
    """Address of something that is no working W&B server."""
    if request.param == "fails":
        with ThreadingHTTPServer(("127.0.0.1", 0), Failing) as server:
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield f"http://127.0.0.1:{server.server_address[1]}"
            server.shutdown()
            thread.join()
    else:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            if request.param == "never answers":
                listener.listen()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.slow  # starts the real client in processes of its own
def test_a_server_that_does_not_answer_costs_seconds_and_no_rows(tmp_path, bad_server):
    began = time.monotonic()
    output = run(tmp_path, online(bad_server))
    assert time.monotonic() - began < 15
    assert (
        output.count(f"W&B is offline ({bad_server} does not answer). To upload: wandb sync") == 1
    )
    assert len(stored_rows(tmp_path / "run" / "wandb_logs")) == 6


def test_without_a_key_the_run_is_offline_and_says_how_to_log_in(tmp_path, fake_wandb):
    output = run(tmp_path, {"WANDB_BASE_URL": fake_wandb.url})
    assert output.count("W&B is offline (no API key: run `wandb login` first)") == 1
    assert fake_wandb.runs == []


def test_wandb_is_imported_only_when_a_run_starts():
    code = (
        "import sys, amago.tracking.wandb_tracker as w; w.WandbTracker('n', '.').config({});"
        "assert 'wandb' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
