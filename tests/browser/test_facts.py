"""Overview, Config, Log and Files: what a run says about itself."""

from pages import AVERAGE
from synthetic_record import COMMIT


def test_overview_has_command_machine_versions_and_commit(open_page):
    page = open_page(runs=["gym"])
    text = page.open("overview").locator("article").inner_text()
    for expected in (
        "python examples/gym.py --env CartPole-v1",
        "workstation",
        "/projects/amago",
        "3.12.4",
        "2.8.0",
        COMMIT[:10],
        "uncommitted",
    ):
        assert expected in text


def test_overview_shows_sessions_with_what_changed_and_gaps(open_page):
    page = open_page(runs=["resumed"])
    text = page.open("overview").locator("article").inner_text()
    assert "Sessions" in text
    assert "stopped" in text.lower()
    gap = open_page(runs=["gap"]).open("overview").locator("article").inner_text()
    assert "60" in gap[gap.index("Gaps in the record") :]


def test_config_is_nested_and_can_be_searched_by_name_and_value(open_page):
    page = open_page(runs=["gym"])
    config = page.open("config")
    config.locator(".leaf").first.wait_for()
    assert config.locator("summary", has_text="experiment").count() >= 1
    search = config.get_by_role("searchbox", name="Search settings and values")
    search.fill("learning_rate")
    names = config.locator(".leaf-name")
    assert names.all_inner_texts() == ["learning_rate"]
    search.fill("0.999")
    assert any("gamma" in name for name in names.all_inner_texts())


def test_config_of_two_runs_shows_what_differs(open_page):
    page = open_page(runs=["seeds-1", "seeds-2"])
    config = page.open("config")
    config.locator("table").wait_for()
    keys = config.locator("tbody th").all_inner_texts()
    assert sorted(keys) == ["experiment.run_name", "experiment.seed"]


def test_log_shows_the_end_of_what_was_printed(open_page):
    log = open_page(runs=["crashed"]).open("log")
    log.get_by_text("RuntimeError: CUDA error").wait_for()
    assert "Traceback" in log.inner_text()


def test_files_lists_the_folder_and_gives_a_file(open_page):
    page = open_page(runs=["gym"])
    files = page.open("files")
    with page.tab.expect_download() as started:
        files.get_by_text("config.gin").click()
    assert b"Agent.gamma" in started.value.path().read_bytes()


def test_going_back_returns_to_the_charts(open_page):
    page = open_page(runs=["gym"])
    page.chart(AVERAGE)
    page.open("overview")
    assert "tab=overview" in page.tab.url
    page.tab.go_back()
    assert page.drawn(AVERAGE)["lines"] == 1
    assert "tab=overview" not in page.tab.url
