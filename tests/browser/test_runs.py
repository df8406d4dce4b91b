"""The list of runs, and runs that are not as they should be."""

import pytest
from pages import AVERAGE, rows_of


def row(page, name):
    return page.tab.locator(f'.run-row[data-run="{page.ids[name]}"]')


def test_every_run_is_listed_with_its_state(open_page):
    page = open_page(runs=["gym"])
    page.chart(AVERAGE)
    assert row(page, "gym").locator(".status").inner_text() == "finished"
    assert row(page, "crashed").locator(".status").inner_text() == "crashed"
    assert "frames" in row(page, "gym").inner_text()
    assert row(page, "seeds-1").locator(".run-group").inner_text() == "seeds"
    assert page.tab.locator(".run-row").count() == len(page.ids)


def test_the_list_can_be_filtered_and_a_run_shown_alone(open_page):
    page = open_page(runs=["wide-1", "wide-2"])
    page.chart("val/metric 002")
    page.tab.get_by_role("searchbox", name="Filter runs").fill("^seeds-[12]$")
    row(page, "gym").wait_for(state="hidden")
    names = page.tab.locator(".run-row:visible .run-label bdi").all_inner_texts()
    assert sorted(names) == ["seeds-1", "seeds-2"]
    row(page, "seeds-2").hover()
    row(page, "seeds-2").get_by_role("button", name="Show only seeds-2").click()
    assert page.drawn(AVERAGE)["lines"] == 1


def test_ticking_adds_and_removes_a_line(open_page):
    page = open_page(runs=["wide-1"])
    metric = "val/metric 002"
    assert page.drawn(metric)["lines"] == 1
    row(page, "wide-2").get_by_role("checkbox").check()
    page.card(metric).locator('.chart[data-lines="2"]').wait_for()
    row(page, "wide-2").get_by_role("checkbox").uncheck()
    page.card(metric).locator('.chart[data-lines="1"]').wait_for()


@pytest.mark.parametrize("name", ["broken", "empty"])
def test_a_run_that_cannot_be_read_stands_in_nobodys_way(name, open_page):
    page = open_page(runs=["gym"])
    page.chart(AVERAGE)
    if name in page.ids:  # an empty record may also be none at all
        assert row(page, name).locator(".status").inner_text() != "finished"


def test_rows_that_a_resume_replaced_are_not_drawn(open_page, runs_folder):
    page = open_page(runs=["resumed"])
    metric = "train/Loss"
    page.chart(metric)
    ids = [page.ids["resumed"]]
    asked = {"runs": ids, "metrics": [metric], "x": "gradient_steps", "points": 4000}
    series = page.api("/api/series", {**asked, "range": None})["series"][0]
    assert series["x"] == sorted(set(series["x"]))
    assert series["n"] == len(
        {r["axes"]["gradient_steps"] for r in rows_of(runs_folder, "resumed", metric)}
    )


def test_process_time_leaves_out_the_pause_between_sessions(open_page):
    page = open_page(runs=["resumed"], x="Wall Time")
    wall = page.drawn(AVERAGE)
    page.choose_axis("Process Time")
    page.wait_for_axis(AVERAGE, "Process Time")
    process = page.drawn(AVERAGE)
    assert wall["to"] - wall["from"] > 3600 > process["to"] - process["from"]


def test_collectors_evaluations_are_part_of_the_run(open_page):
    page = open_page(runs=["collectors"])
    assert page.drawn(AVERAGE)["lines"] == 1
    assert page.drawn("train/Loss")["lines"] == 1


def test_a_run_with_one_row_has_a_table_only(open_page):
    page = open_page(runs=["only-a-test"])
    page.tab.locator('[data-section="test"] table').wait_for()
    assert page.tab.locator("canvas:visible").count() == 0


def test_numbers_that_are_not_finite_leave_a_gap(open_page):
    page = open_page(runs=["values"])
    assert page.drawn(AVERAGE)["lines"] == 1
    assert page.drawn("val/Worst")["lines"] == 1
