from pathlib import Path

import pytest
import synthetic_runs
from starlette.testclient import TestClient

from amago.dashboard.app import create_app
from amago.dashboard.library import Library
from amago.dashboard.security import Door, allowed_hosts


class Page:
    """A dashboard over a library that is brought up to date when a test says so."""

    def __init__(self, root: Path) -> None:
        self.library = Library([root])
        self.library.start = lambda: None
        self.library.refresh()
        app = create_app(self.library, Door(None, allowed_hosts("127.0.0.1")))
        self.client = TestClient(app, base_url="http://127.0.0.1:8228")

    def get(self, path, status=200):
        response = self.client.get(path)
        assert response.status_code == status, response.text
        return response.json()

    def post(self, question, status=200, **body):
        response = self.client.post(f"/api/{question}", json=body)
        assert response.status_code == status, response.text
        return response.json()

    def ids(self):
        """Run ids by name."""
        return {run["name"]: run["id"] for run in self.get("/api/runs")["runs"]}


@pytest.fixture
def open_page(tmp_path):
    """Makes a page of synthetic runs: `open_page("gym", mine=writer)`."""
    pages = []

    def make(*kinds, **writers):
        root = tmp_path / "runs"
        root.mkdir(exist_ok=True)
        by_name = dict(synthetic_runs.kinds())
        for name, write in [*((kind, by_name[kind]) for kind in kinds), *writers.items()]:
            write(root / name)
        pages.append(Page(root))
        return pages[-1]

    yield make
    for page in pages:
        page.library.close()
