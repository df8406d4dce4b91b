"""Many environments, several attempts, histograms and media."""

import pytest
from pages import rows_of
from synthetic_runs import ML45


def test_forty_five_environments_are_one_table(open_page, runs_folder):
    page = open_page(runs=["ml45"])
    matrix = page.section("val").locator("table.matrix")
    matrix.wait_for()
    envs = matrix.locator("tbody:not(.summary) th[scope=row]").all_inner_texts()
    assert sorted(envs) == sorted(ML45)
    metric = "val/Average Trial 2 Success in pick-place-v3"
    last = rows_of(runs_folder, "ml45", metric)[-1]["data"][metric]
    cell = matrix.locator(
        'button.cell[data-env="pick-place-v3"][data-metric="Average Trial 2 Success"]'
    )
    assert float(cell.locator(".value").inner_text()) == pytest.approx(last, rel=0.01)
    assert cell.locator("svg path").count() == 1


def test_a_cell_of_the_table_opens_its_chart(open_page):
    page = open_page(runs=["ml45"])
    page.section("val").locator('button.cell[data-env="reach-v3"]').first.click()
    dialog = page.tab.get_by_role("dialog", name="Chart in full screen")
    dialog.locator("canvas").wait_for()
    assert "reach-v3" in dialog.get_by_role("heading").inner_text()


def test_there_are_272_metrics_of_val(open_page):
    page = open_page(runs=["ml45"])
    section = page.section("val")
    assert section.locator(".section-count").inner_text() == "272"
    assert section.locator("article.chart-card").count() == 272


@pytest.mark.parametrize("run, attempts", [("ml45", 3), ("lake", 10)])
def test_the_chart_by_attempt_has_a_line_for_each_of_several_moments(run, attempts, open_page):
    page = open_page(runs=[run])
    panel = page.section("val").locator(".attempt-panel").first
    panel.scroll_into_view_if_needed()
    lines = panel.locator("path.curve")
    assert 2 <= lines.count() <= 6
    assert panel.locator("circle").count() == attempts * lines.count()


def test_a_histogram_is_painted(open_page):
    page = open_page(runs=["values"])
    card = page.card("train/Maximum Bin (All Gammas)")
    card.scroll_into_view_if_needed()
    canvas = card.locator("canvas")
    canvas.wait_for()
    assert canvas.evaluate(
        "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size > 20"
    )


def test_media_shows_pictures_tables_and_texts(open_page):
    page = open_page(runs=["values"])
    media = page.open("media")
    picture = media.locator("img").first
    picture.wait_for()
    page.tab.wait_for_function("() => [...document.images].every(image => image.complete)")
    assert picture.evaluate("image => image.naturalWidth") == 48
    assert "all is well" in media.inner_text()
