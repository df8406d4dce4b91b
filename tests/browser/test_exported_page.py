"""One file that shows runs without a server and without a network."""

import subprocess
import sys
from pathlib import Path

import pytest
from pages import AVERAGE, Page, Watch
from synthetic_runs import HOSTILE, gym, hostile, lake


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """A page with three runs, away from their folders."""
    runs = tmp_path_factory.mktemp("some-runs")
    for kind in (gym, lake):
        kind(runs / kind.__name__)
    hostile(runs / HOSTILE[0])
    file = tmp_path_factory.mktemp("sent") / "runs.html"
    command = [sys.executable, "-m", "amago", "dashboard", "--export", str(file), str(runs)]
    subprocess.run(command, check=True, capture_output=True)
    return file


@pytest.fixture
def page(chromium, exported):
    """The file, opened by a browser that has no network."""
    watch = Watch(chromium.new_context(offline=True), host="none")
    watch.page.goto(exported.as_uri())
    yield Page(watch.page)
    watch.context.close()
    assert watch.complaints == []


def only(page, name):
    row = page.tab.locator(".run-row", has=page.tab.locator("bdi", has_text=name)).first
    row.hover()
    row.get_by_role("button", name="Show only").click()


def test_it_shows_what_the_server_shows(page, open_page):
    only(page, "gym")
    served = open_page(runs=["gym"])
    assert page.drawn(AVERAGE) == served.drawn(AVERAGE)
    tables = [each.section("test").locator("table.bars").inner_text() for each in (page, served)]
    assert tables[0] == tables[1]


def test_other_axes_and_pages_work(page):
    only(page, "gym")
    page.chart(AVERAGE)
    page.choose_axis("Epoch")
    page.wait_for_axis(AVERAGE, "Epoch")
    assert page.drawn(AVERAGE)["axis"] == "Epoch"
    overview = page.open("overview")
    overview.get_by_text("examples/gym.py").wait_for()
    assert "CartPole-v1" in overview.inner_text()
    config = page.open("config")
    config.get_by_text("learning_rate").first.wait_for()
    assert "batch_size" in config.inner_text()


def test_the_chart_by_attempt_is_there(page):
    only(page, "lake")
    curves = page.section("val").locator(".attempt-panel path.curve")
    curves.first.wait_for()
    assert curves.count() > 1  # early and late in training


def test_hostile_names_are_text_here_too(page):
    only(page, "<img")
    page.section("val")
    assert page.drawn(AVERAGE)["lines"] == 1
    assert page.tab.locator("img[src=x], svg[onload]").count() == 0
