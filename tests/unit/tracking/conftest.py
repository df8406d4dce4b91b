"""A W&B server for one run, on loopback: it keeps what the real client sends."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class FakeWandb(ThreadingHTTPServer):
    """Answers what the client asks, and stores rows (by offset), configs and files."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lines: dict[str, dict[int, Any]] = {}
        self.runs: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.exit_codes: list[int | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def history(self) -> list[dict[str, Any]]:
        return [row for _, row in sorted(self.lines.get("wandb-history.jsonl", {}).items())]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client drops its connections when it has finished."""

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "query Viewer" in query:
            teams = {"edges": []}
            user = {"id": "1", "username": "someone", "entity": "team", "email": "a@b.c"}
            return {"data": {"viewer": user | {"teams": teams}}}
        if "mutation UpsertBucket" in query:
            self.runs.append(variables)
            project = {"name": variables["project"], "entity": {"name": "team"}}
            bucket = {"id": "1", "name": variables["name"], "project": project}
            bucket["displayName"] = variables.get("displayName")
            return {"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}
        if "ServerFeaturesQuery" in query:
            return {"data": {"serverInfo": {"features": []}}}
        if "RunResumeStatus" in query:
            return {"data": {"model": {"bucket": None}}}
        if "CreateRunFiles" in query:
            files = [
                {"name": name, "uploadUrl": f"{self.url}/upload/{name}"}
                for name in variables["files"]
            ]
            created = {"runID": "1", "uploadHeaders": [], "files": files}
            return {"data": {"createRunFiles": created}}
        return {"errors": [{"message": "not known to this server"}]}

    def stream(self, body: dict[str, Any]) -> None:
        for name, part in body.get("files", {}).items():
            for i, line in enumerate(part["content"]):
                self.lines.setdefault(name, {})[part["offset"] + i] = (
                    json.loads(line) if name.endswith(".jsonl") else line
                )
        if body.get("complete"):
            self.exit_codes.append(body.get("exitcode"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeWandb

    def do_POST(self) -> None:
        body = json.loads(self._body() or b"{}")
        if self.path.endswith("/file_stream"):
            self.server.stream(body)
            self._reply({"exitcode": None, "limits": {}})
        else:
            self._reply(self.server.answer(body.get("query", ""), body.get("variables", {})))

    def do_PUT(self) -> None:
        self.server.files[self.path.removeprefix("/upload/")] = self._body()
        self._reply({})

    def do_GET(self) -> None:
        self._reply({})

    def log_message(self, format: str, *args: Any) -> None:
        pass

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

    def _reply(self, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def fake_wandb() -> Iterator[FakeWandb]:
    server = FakeWandb()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
