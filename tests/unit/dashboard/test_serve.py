import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from synthetic_record import Record
from synthetic_runs import AVERAGE, small

from amago.cli.main import main
from amago.core.errors import AmagoError, ConfigError
from amago.dashboard.background import serve_in_background
from amago.dashboard.serve import address, bind, existing_folder, serve, tunnel_advice


def test_the_next_free_port_is_taken_and_never_the_one_of_ray():
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with bind("127.0.0.1", port) as second:
            assert second.getsockname()[1] > port
    with pytest.raises(ConfigError, match="Ray"):
        bind("127.0.0.1", 8265)
    for wrong in (-1, 70_000):
        with pytest.raises(ConfigError, match="--port"):
            bind("127.0.0.1", wrong)


def test_the_port_of_ray_is_passed_over(monkeypatch):
    tried = []

    class Taken(socket.socket):
        def bind(self, place):
            tried.append(place[1])
            if place[1] < 8267:
                raise OSError(98, "taken")
            super().bind((place[0], 0))

    monkeypatch.setattr(socket, "socket", Taken)
    bind("127.0.0.1", 8264).close()
    assert tried == [8264, 8266, 8267]


def test_an_address_that_is_not_of_this_machine_is_an_error():
    with pytest.raises(ConfigError, match=r"203\.0\.113\.1"):
        bind("203.0.113.1", 8228)
    with pytest.raises(ConfigError, match="no-such-host"):
        bind("no-such-host.invalid", 8228)


def test_a_folder_that_is_not_there_is_an_error_and_an_empty_one_is_not(tmp_path):
    assert existing_folder(tmp_path) == tmp_path
    with pytest.raises(ConfigError, match="does not exist"):
        existing_folder(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        existing_folder(tmp_path / "file")


def test_without_a_token_only_this_machine_is_served(tmp_path):
    with pytest.raises(ConfigError, match="--no-token"):
        serve([tmp_path], host="0.0.0.0", needs_token=False)


def test_the_address_can_be_opened_in_a_browser():
    assert address("127.0.0.1", 8228, "abc") == "http://127.0.0.1:8228/?token=abc"
    assert address("::1", 8228, None) == "http://[::1]:8228/"
    assert address("0.0.0.0", 80, None) == f"http://{socket.gethostname()}:80/"


def test_under_ssh_the_way_through_is_told(monkeypatch):
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert tunnel_advice(8228, "abc") == []
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 50000 10.0.0.2 2222")
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    lines = tunnel_advice(8228, "abc")
    assert "  ssh -N -L 8228:127.0.0.1:8228 -p 2222 ada@10.0.0.2" in lines
    assert lines[-1].endswith("http://127.0.0.1:8228/?token=abc")


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main(["dashboard", str(tmp_path / "nowhere")]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert main(["dashboard", "--reference", str(tmp_path)]) == 1
    assert "leave out the folders" in capsys.readouterr().err


def test_the_command_exports_a_page(tmp_path, capsys):
    small(tmp_path / "small")
    file = tmp_path / "page.html"
    assert main(["dashboard", "--export", str(file), str(tmp_path)]) == 0
    assert str(file) in capsys.readouterr().out
    assert file.stat().st_size > 10_000


def ask(url, token=None, body=None):
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


@contextmanager
def killed(process: subprocess.Popen[str]) -> Iterator[None]:
    """Nobody waits for it if the test has failed."""
    try:
        yield
    finally:
        process.kill()


@pytest.mark.slow
def test_a_live_row_appears_on_a_server_that_was_started_by_the_command(tmp_path):
    record = Record(tmp_path / "live")
    record.session()
    record.row({"total_frames": 0}, {AVERAGE: 1.0})
    record.save()
    command = [sys.executable, "-m", "amago", "dashboard", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, killed(process):
        assert process.stdout is not None
        found = re.search(r"(http://127.0.0.1:\d+)/\?token=(\S+)", process.stdout.readline())
        assert found is not None
        base, token = found.groups()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(f"{base}/api/runs")
        cursor = ask(f"{base}/api/changes?since=", token)["cursor"]
        (run,) = ask(f"{base}/api/runs", token)["runs"]
        question = {"runs": [run["id"]], "metrics": [AVERAGE], "x": "total_frames"}
        assert ask(f"{base}/api/series", token, question)["series"][0]["y"] == [1]
        record.row({"total_frames": 10}, {AVERAGE: 2.0})
        record.save()
        shown = [1]
        while shown == [1]:  # the test's time limit ends a server that never says so
            answer = ask(f"{base}/api/changes?since={cursor}", token)
            cursor = answer["cursor"]
            if run["id"] in answer["changed"]:  # also when it was read for the first time
                shown = ask(f"{base}/api/series", token, question)["series"][0]["y"]
        assert shown == [1, 2]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


@pytest.mark.slow
def test_a_server_in_the_background_ends_when_it_is_closed(tmp_path):
    small(tmp_path / "small")
    dashboard = serve_in_background([tmp_path], port=0)
    base, _, token = dashboard.url.partition("/?token=")
    assert ask(f"{base}/api/runs", token)["version"]
    dashboard.close()
    assert dashboard.process.returncode == 0
    with pytest.raises(urllib.error.URLError):
        ask(f"{base}/api/runs", token)


@pytest.mark.slow
def test_a_server_in_the_background_that_cannot_start_says_why(tmp_path):
    with pytest.raises(AmagoError, match="does not exist"):
        serve_in_background([tmp_path / "nowhere"])


@pytest.mark.slow
def test_a_dashboard_starts_without_torch_and_wandb(tmp_path):
    code = (
        "import sys, amago.dashboard.serve, amago.dashboard.export_html;"
        "sys.exit(bool({'torch', 'wandb', 'gymnasium'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
