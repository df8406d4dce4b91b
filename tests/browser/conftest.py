"""A real server on made-up runs, and a real browser that looks at its page.

Every page is watched: an error on its console, a dialog, or a request to another host fails the
test that opened it.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pages import ServedPage, Watch
from synthetic_runs import write_all

from amago.dashboard.background import serve_in_background

_REQUIRED = os.environ.get("AMAGO_REQUIRE_BROWSERS") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here starts programs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


def needs(what: str, is_there: bool) -> None:
    """Skip, or fail where browsers are required, if `what` is not installed."""
    if not is_there:
        (pytest.fail if _REQUIRED else pytest.skip)(f"{what} is not installed")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address, with its token, of a server of the runs below `folder`."""
    with closing(serve_in_background([folder], port=0)) as page:
        yield page.url


@pytest.fixture(scope="session")
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of each kind. Tests that write make a folder of their own."""
    folder = tmp_path_factory.mktemp("runs")
    write_all(folder)
    return folder


@pytest.fixture(scope="session")
def address(runs_folder: Path) -> Iterator[str]:
    """Where the runs of `runs_folder` are shown."""
    with serving(runs_folder) as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium: the one of the system, else the one Playwright has fetched."""
    needs("the package playwright", importlib.util.find_spec("playwright") is not None)
    from playwright.sync_api import Error, sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        except Error as error:
            needs(f"a Chromium ({str(error).splitlines()[0]})", False)
            raise
        yield browser
        browser.close()


@pytest.fixture
def watches() -> list[Watch]:
    """The pages that a test has opened."""
    return []


@pytest.fixture
def serve(watches: list[Watch]) -> Callable[[Path], Any]:
    """`with serve(folder) as address`: a server of one's own; its end closes the pages first."""

    @contextmanager
    def serve_one(folder: Path) -> Iterator[str]:
        with serving(folder) as url:
            yield url
            close(watches)  # a page that goes on asking would complain about the server's end

    return serve_one


def close(watches: list[Watch]) -> None:
    """Close every page; twice does no harm."""
    for watch in watches:
        watch.context.close()


@pytest.fixture
def open_page(
    chromium: Any, address: str, watches: list[Watch]
) -> Iterator[Callable[..., ServedPage]]:
    """`open_page(runs=["gym"], x="Epoch")`: the page in a browser without a past."""

    def open_one(
        runs: Sequence[str] | None = None,
        at: str = address,
        context: dict[str, Any] | None = None,
        **view: str,
    ) -> ServedPage:
        watch = Watch(chromium.new_context(**(context or {})), urlsplit(at).netloc)
        watches.append(watch)
        return ServedPage(watch.page, at, runs, **view)

    yield open_one
    close(watches)
    assert [complaint for watch in watches for complaint in watch.complaints] == []


@pytest.fixture(scope="session")
def firefox_program() -> str:
    """Path of Firefox."""
    needs("the package websockets", importlib.util.find_spec("websockets") is not None)
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    needs("firefox", program is not None)
    assert program is not None
    return program
