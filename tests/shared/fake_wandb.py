"""A W&B server on loopback: it keeps what the real client sends, and can be made to misbehave.

It answers the requests of client 0.31 that are listed in `answer`; another request is told that it
is not known, which the client tolerates where it matters not.
"""

import gzip
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KEY = "k" * 40
"""What a client takes for an API key."""


class FakeWandb(ThreadingHTTPServer):
    """Keeps runs with their rows (by offset), configs and files.

    Attributes:
        behaviour: "well"; "fails" (HTTP 500); "refuses the key" (HTTP 401); "never answers";
            "only greets" (never answers once a client has a request); "is gone".
        runs: variables of every `UpsertBucket`, in order.
        lines: `{run id: {file name: {offset: line}}}`.
        files: what was uploaded, by run id and name.
        exit_codes: of every run that was finished, in order.
        asked: names of the GraphQL operations, in order.
        received: every body as it came, decompressed.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behaviour = "well"
        self.released = threading.Event()
        self.runs: list[dict[str, Any]] = []
        self.lines: dict[str, dict[str, dict[int, Any]]] = {}
        self.files: dict[tuple[str, str], bytes] = {}
        self.exit_codes: list[int | None] = []
        self.asked: list[str] = []
        self.received: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def ids(self) -> list[str]:
        """Ids of the runs there are, in the order in which they came."""
        return list(dict.fromkeys(sent["name"] for sent in self.runs))

    def rows(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """History of a run by offset; None means the only one."""
        if run_id is None:
            (run_id,) = self.ids
        lines = self.lines.get(run_id, {}).get("wandb-history.jsonl", {})
        return [row for _, row in sorted(lines.items())]

    def file(self, name: str) -> bytes:
        """Last upload under `name`, of any run."""
        return [content for (_, found), content in self.files.items() if found == name][-1]

    def config(self, run_id: str | None = None) -> dict[str, Any]:
        """Settings of a run as they came last, without the client's own."""
        sent = [run for run in self.runs if run_id in (None, run["name"]) and run.get("config")]
        given = json.loads(sent[-1]["config"])
        return {name: item["value"] for name, item in given.items() if name != "_wandb"}

    def definitions(self) -> dict[str, str]:
        """`{metric pattern: x-axis}` of the last run, which the client puts into its settings."""
        sent = [run["config"] for run in self.runs if run.get("config")]
        # Fields of its MetricRecord by number: 1 name, 2 pattern, 5 axis as its place from 1.
        found = json.loads(sent[-1])["_wandb"]["value"]["m"]
        return {item["2"]: found[item["5"] - 1]["1"] for item in found if "2" in item}

    def kill(self) -> None:
        """Answer nobody from now on, neither over old connections nor over new ones."""
        self.behaviour = "is gone"
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client drops its connections when it has finished."""

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "query Viewer" in query:
            teams = {"edges": []}
            user = {"id": "1", "username": "someone", "entity": "team", "email": "a@b.c"}
            return {"data": {"viewer": user | {"teams": teams}}}
        if "mutation UpsertBucket" in query:
            return {"data": {"upsertBucket": self._upsert(variables)}}
        if "ServerFeaturesQuery" in query:
            return {"data": {"serverInfo": {"features": []}}}
        if "RunResumeStatus" in query:
            return {"data": {"model": {"bucket": self._resume_status(variables["name"])}}}
        if "CreateRunFiles" in query:
            address = f"{self.url}/upload/{variables['run']}"
            names = variables["files"]
            files = [{"name": name, "uploadUrl": f"{address}/{name}"} for name in names]
            created = {"runID": "1", "uploadHeaders": [], "files": files}
            return {"data": {"createRunFiles": created}}
        return {"errors": [{"message": "not known to this server"}]}

    def stream(self, run_id: str, body: dict[str, Any]) -> None:
        lines = self.lines.setdefault(run_id, {})
        for name, part in body.get("files", {}).items():
            for i, line in enumerate(part["content"]):
                lines.setdefault(name, {})[part["offset"] + i] = (
                    json.loads(line) if name.endswith(("jsonl", "summary.json")) else line
                )
        if body.get("complete"):
            self.exit_codes.append(body.get("exitcode"))

    def _upsert(self, variables: dict[str, Any]) -> dict[str, Any]:
        is_new = variables["name"] not in self.ids
        self.runs.append(variables)
        project = {"name": variables["project"], "entity": {"name": "team"}}
        bucket = {"id": "1", "name": variables["name"], "project": project}
        bucket["displayName"] = variables.get("displayName")
        return {"bucket": bucket, "inserted": is_new}

    def _resume_status(self, run_id: str) -> dict[str, Any] | None:
        if run_id not in self.ids:
            return None
        lines = self.lines.get(run_id, {})
        history, events = (
            [json.dumps(line) for _, line in sorted(lines.get(name, {}).items())]
            for name in ("wandb-history.jsonl", "wandb-events.jsonl")
        )
        summary = dict(sorted(lines.get("wandb-summary.json", {}).items()))
        sent = [run["config"] for run in self.runs if run["name"] == run_id and run.get("config")]
        return {
            "name": run_id,
            "historyLineCount": len(history),
            "eventsLineCount": len(events),
            "logLineCount": len(lines.get("output.log", {})),
            "historyTail": json.dumps(history[-1:]),
            "eventsTail": json.dumps(events[-1:]),
            "summaryMetrics": json.dumps(list(summary.values())[-1] if summary else {}),
            "config": sent[-1] if sent else "{}",
            "tags": [],
            "wandbConfig": json.dumps({"t": {}}),
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeWandb

    def do_POST(self) -> None:
        data = self._body()
        if not self._is_answered():
            return
        self.server.received.append(data)
        body = json.loads(data or b"{}")
        if self.path.endswith("/file_stream"):
            self.server.stream(self.path.split("/")[-2], body)
            self._reply({"exitcode": None, "limits": {}})
        else:
            query = body.get("query", "")
            self.server.asked.append(query.split("(")[0].split("{")[0].strip())
            self._reply(self.server.answer(query, body.get("variables", {})))

    def do_PUT(self) -> None:
        data = self._body()
        if not self._is_answered():
            return
        self.server.received.append(data)
        run_id, _, name = self.path.removeprefix("/upload/").partition("/")
        self.server.files[run_id, name] = data
        self._reply({})

    def do_GET(self) -> None:
        if self._is_answered(needs_key=False):
            self._reply({})

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _is_answered(self, needs_key: bool = True) -> bool:
        behaviour = self.server.behaviour
        if behaviour == "fails":
            self._reply({"error": "broken"}, 500)
        elif behaviour == "refuses the key" and needs_key:
            self._reply({"errors": [{"message": "user is not logged in"}]}, 401)
        elif behaviour == "never answers" or (behaviour == "only greets" and needs_key):
            self.server.released.wait()
            self.close_connection = True
        elif behaviour == "is gone":
            self.close_connection = True
        else:
            return True
        return False

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _reply(self, content: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serving() -> Iterator[FakeWandb]:
    """A server, and its end when the block ends."""
    server = FakeWandb()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def isolated_environment(folder: Path, url: str = "", key: str = KEY) -> dict[str, str]:
    """Variables of a process that sees nothing of this machine's W&B account; online if `url`.

    Args:
        folder: stands for the home folder.
        key: "" for none.
    """
    kept = {name: value for name, value in os.environ.items() if "WANDB" not in name}
    kept.pop("NETRC", None)
    root = Path(__file__).parents[2]
    here = {"HOME": str(folder), "PYTHONPATH": str(root), "no_proxy": "127.0.0.1"}
    for what in ("CONFIG", "CACHE", "DATA"):
        here[f"WANDB_{what}_DIR"] = str(folder / what.lower())
    here["WANDB_ERROR_REPORTING"] = "false"
    if url:
        here["WANDB_BASE_URL"] = url
    if key and url:
        here["WANDB_API_KEY"] = key
    return kept | here
