"""Whatever happens to W&B, a run ends as it would without, and says what is missing in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_wandb import KEY, FakeWandb, isolated_environment, serving

from amago.tracking.reader import read_events, read_rows

pytestmark = pytest.mark.slow  # every test starts the real client in a process of its own

ROWS = 200
FINISH_TIMEOUT_S = 3.0
START_LIMIT_S = 20.0
MARGIN_S = 30.0
"""What a machine may take longer that has other things to do."""

CHILD = """
import json, sys, time
from amago.tracking.base import FanOut
from amago.tracking.store import LocalRecord
from amago.tracking.wandb_tracker import WandbTracker

folder, rows, finish_timeout_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])

def say(text):
    print(text, flush=True)

def go(trackers, wait):
    '''Seconds inside of `log`, and of `finish`.'''
    fan = FanOut(trackers, warn=say)
    fan.config({"agent": {"gamma": 0.9}})
    wait()
    began = time.perf_counter()
    for i in range(rows):
        fan.log({"total_frames": i, **{f"train/{j}": i / 2 for j in range(50)}})
    logged = time.perf_counter()
    fan.finish("finished")
    return logged - began, time.perf_counter() - logged

alone = go([LocalRecord(f"{folder}/alone", warn=say)], wait=lambda: None)
run_dir = f"{folder}/run"
wandb = WandbTracker("n", run_dir, "p", finish_timeout_s=finish_timeout_s, say=say, warn=say)
both = go([LocalRecord(run_dir, warn=say), wandb], wait=sys.stdin.readline)
print(json.dumps({"alone": alone, "both": both}), flush=True)
"""


class Child:
    """A process that logs rows with W&B, once it is told to, and the same rows without."""

    def __init__(self, folder: Path, url: str, key: str = KEY) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder), str(ROWS), str(FINISH_TIMEOUT_S)],
            env=isolated_environment(folder, url, key),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_for(self, start: str) -> None:
        """Read its output up to a line with this start."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.startswith(start):
                return
        pytest.fail(f"no line starts with '{start}': {self.lines}")

    def ends_well(self) -> str:
        """Let it go on to its end. Returns the only line it had to say besides the page."""
        output, _ = self._process.communicate("\n", timeout=120)
        self.lines += output.splitlines()
        assert self._process.returncode == 0, self.lines
        *said, last = self.lines
        self._check_times(json.loads(last))
        self._check_record()
        (line,) = (text for text in said if not text.startswith("W&B run: "))
        return line

    def _check_times(self, seconds: dict[str, list[float]]) -> None:
        logging, finishing = seconds["both"]
        ratio = logging / seconds["alone"][0]
        sys.stdout.write(f"log() of {ROWS} rows: {logging:.3f} s, {ratio:.1f} x that without W&B\n")
        sys.stdout.write(f"finish(): {finishing:.1f} s\n")
        assert logging < 1 + 20 * seconds["alone"][0]  # a wait for a server is seconds a row
        assert finishing < START_LIMIT_S + FINISH_TIMEOUT_S + MARGIN_S

    def _check_record(self) -> None:
        rows = list(read_rows(self.folder / "run"))
        assert [row.axes["total_frames"] for row in rows] == list(range(ROWS))
        assert [event["kind"] for event in read_events(self.folder / "run")] == [
            "session",
            "finish",
        ]


def offline(reason: str, folder: Path) -> str:
    return f"W&B is offline ({reason}). To upload it: amago sync {folder / 'run'}"


@pytest.mark.parametrize(
    "behaviour, reason",
    [
        ("fails", "{url} does not answer"),
        ("never answers", "{url} does not answer"),
        ("refuses the key", "user is not logged in"),
    ],
)
def test_a_server_that_does_not_work_when_the_run_starts(tmp_path, behaviour, reason):
    with serving() as server:
        server.behaviour = behaviour
        line = Child(tmp_path, server.url).ends_well()
        assert line == offline(reason.format(url=server.url), tmp_path)


def test_a_server_that_greets_and_then_never_answers(tmp_path):
    with serving() as server:
        server.behaviour = "only greets"
        line = Child(tmp_path, server.url).ends_well()
        assert line.startswith("W&B is offline (")
        assert line.endswith(f"To upload it: amago sync {tmp_path / 'run'}")


def test_no_key(tmp_path):
    with serving() as server:
        line = Child(tmp_path, server.url, key="").ends_well()
        assert line == offline("no API key: run `wandb login` first", tmp_path)
        assert server.asked == []


def test_no_network(tmp_path):
    with serving() as server:
        url = server.url
    line = Child(tmp_path, url).ends_well()
    assert line == offline(f"{url} does not answer", tmp_path)


def _kill(server: FakeWandb) -> None:
    server.kill()


def _behave(behaviour: str):
    def change(server: FakeWandb) -> None:
        server.behaviour = behaviour

    return change


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(_kill, id="killed"),
        *(
            pytest.param(_behave(behaviour), id=behaviour)
            for behaviour in ("fails", "never answers", "refuses the key")
        ),
    ],
)
def test_a_server_that_stops_working_while_the_run_goes_on(tmp_path, trouble):
    with serving() as server:
        child = Child(tmp_path, server.url)
        child.wait_for("W&B run: ")
        trouble(server)
        line = child.ends_well()
    assert line.startswith("W&B has not taken everything (")
    assert line.endswith(f"). To upload it: amago sync {tmp_path / 'run'}")


def test_a_run_that_was_cut_off_is_completed_by_amago_sync(tmp_path):
    with serving() as server:
        child = Child(tmp_path, server.url)
        child.wait_for("W&B run: ")
        server.behaviour = "fails"
        child.ends_well()
        server.behaviour = "well"
        code = (
            "import sys; from argparse import ArgumentParser; from amago.cli import sync\n"
            "parser = ArgumentParser(); sync.add_arguments(parser)\n"
            "sys.exit(sync.run(parser.parse_args()))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "run")],
            env=isolated_environment(tmp_path, server.url),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert [row["total_frames"] for row in server.rows()] == list(range(ROWS))
