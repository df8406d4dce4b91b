"""Charts: what is drawn, over which axis, and what one can do with a chart."""

import csv
import io

import pytest
from pages import AVERAGE, rows_of

AXES = ("Wall Time", "Process Time", "total_frames", "Epoch", "gradient_steps", "Step")
OF_THE_TASK = "total_frames-CartPole-v1"

COUNT_COLOURS = """canvas => {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const counts = {};
    for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3] < 255) continue;
        const colour = `rgb(${data[i]}, ${data[i + 1]}, ${data[i + 2]})`;
        counts[colour] = (counts[colour] ?? 0) + 1;
    }
    return counts;
}"""
"""How many pixels a canvas has of each opaque colour."""


def test_sections_are_in_the_documented_order(open_page):
    page = open_page(runs=["gym"])
    page.chart("dataset/Trajectory Files Deleted")
    headings = page.tab.locator(".section:visible").evaluate_all(
        "all => all.map(s => s.dataset.section)"
    )
    assert headings == ["test", "dataset", "Charts", "train", "val", "System"]


def test_the_default_axis_is_frames_and_for_an_offline_run_updates(open_page):
    assert open_page(runs=["gym"]).drawn(AVERAGE)["axis"] == "total_frames"
    assert open_page(runs=["offline"]).drawn(AVERAGE)["axis"] == "gradient_steps"


def test_the_menu_lists_every_axis_and_step_is_last(open_page):
    page = open_page(runs=["gym"])
    page.chart(AVERAGE)
    page.tab.get_by_role("combobox", name="X axis of all charts").focus()
    listed = page.tab.locator("[role=listbox]:visible [role=option] bdi").all_inner_texts()
    assert listed == [*AXES[:-1], OF_THE_TASK, "Step"]


@pytest.mark.parametrize("axis", [*AXES, OF_THE_TASK])
def test_every_axis_draws_the_metric_over_its_own_values(axis, open_page, runs_folder):
    page = open_page(runs=["gym"], x="Epoch" if axis == "total_frames" else "total_frames")
    page.chart(AVERAGE)
    page.choose_axis(axis)
    page.wait_for_axis(AVERAGE, axis)
    drawn = page.drawn(AVERAGE)
    rows = rows_of(runs_folder, "gym", AVERAGE)
    # Nothing but the rows' own times decides these two.
    in_the_row = {
        "Wall Time": lambda row: row["t"],
        "Step": lambda row: row["step"],
        "Process Time": lambda row: row["t"] - rows[0]["t"],
    }
    value = in_the_row.get(axis, lambda row: row["axes"][axis])
    assert drawn["from"] == pytest.approx(value(rows[0]))
    assert drawn["to"] == pytest.approx(value(rows[-1]))


def test_one_chart_may_have_an_axis_of_its_own(open_page):
    page = open_page(runs=["gym"])
    other = "val/Average Total Return in CartPole-v1"
    page.chart(AVERAGE)
    page.card(AVERAGE).get_by_role("button", name="X axis of this chart").click()
    page.tab.get_by_role("combobox", name=f"X axis of {AVERAGE}").fill("Epoch")
    page.tab.keyboard.press("Enter")
    page.wait_for_axis(AVERAGE, "Epoch")
    assert page.drawn(other)["axis"] == "total_frames"


def test_every_selected_run_is_drawn_in_its_colour(open_page):
    # Fine enough for pixels in the middle of a line, which have its colour and nothing else.
    page = open_page(context={"device_scale_factor": 4}, runs=["wide-1", "wide-2"])
    metric = "val/metric 002"
    assert page.drawn(metric)["lines"] == 2
    dots = page.tab.locator(".run-row.is-selected .run-row-dot")
    colours = dots.evaluate_all("all => all.map(dot => getComputedStyle(dot).backgroundColor)")
    painted = page.chart(metric).locator("canvas").evaluate(COUNT_COLOURS)
    assert len(set(colours)) == 2
    assert all(painted.get(colour, 0) > 50 for colour in colours)


def test_a_section_with_one_row_is_a_table_with_bars(open_page, runs_folder):
    page = open_page(runs=["gym"])
    table = page.tab.locator('[data-section="test"] table')
    table.wait_for()
    metric = "test/Average Total Return (Across All Env Names)"
    value = rows_of(runs_folder, "gym", metric)[0]["data"][metric]
    row = table.get_by_role("row", name="Average Total Return (Across All Env Names)")
    assert f"{value:.1f}" in row.inner_text()
    assert row.locator(".bar").count() == 1
    assert page.tab.locator('[data-section="test"] canvas').count() == 0


def test_a_metric_is_explained_where_it_is_drawn(open_page):
    page = open_page(runs=["gym"])
    page.chart(AVERAGE)
    page.card(AVERAGE).get_by_role("button", name=f"What is {AVERAGE}?").click()
    help_ = page.tab.locator(".help")
    help_.wait_for()
    assert "How good the policy is" in help_.inner_text()


def test_search_takes_a_regular_expression(open_page):
    page = open_page(runs=["gym"])
    page.chart(AVERAGE)
    field = page.tab.get_by_role("searchbox", name="Search metrics")
    field.fill("^val/.*Quintile|Loss$")
    page.card(AVERAGE).wait_for(state="hidden")
    shown = page.tab.locator(".chart-card:visible").evaluate_all(
        "all => all.map(c => c.dataset.metric)"
    )
    assert shown == [
        *("train/Actor Loss", "train/Critic Loss", "train/Loss"),
        "val/Bottom Quintile Total Return in CartPole-v1",
    ]


def test_a_search_that_finds_something_in_a_table_shows_the_table(open_page):
    page = open_page(runs=["gym"], search="^test/.*Quintile")
    table = page.tab.locator('[data-section="test"] table')
    table.wait_for()
    assert "Bottom Quintile Total Return in CartPole-v1" in table.inner_text()


def test_a_search_that_cannot_be_says_so_and_hides_nothing(open_page):
    page = open_page(runs=["gym"])
    page.chart(AVERAGE)
    page.tab.get_by_role("searchbox", name="Search metrics").fill("(((")
    page.tab.get_by_role("alert").filter(has_text="not a valid pattern").wait_for()
    assert page.card(AVERAGE).is_visible()


@pytest.mark.parametrize("view", [{"smooth": "0.9"}, {"logy": "1"}])
def test_smoothing_and_a_logarithmic_axis_change_what_is_painted(view, open_page):
    page = open_page(runs=["gym"])
    plain = page.pixels(AVERAGE)
    if "smooth" in view:
        page.tab.get_by_role("slider", name="Smoothing").fill("0.9")
    else:
        page.tab.get_by_label("Log y").check()
    page.tab.wait_for_function(
        "wanted => location.hash.includes(wanted)", arg="=".join(*view.items())
    )
    assert page.pixels(AVERAGE) != plain
    assert open_page(runs=["gym"], **view).pixels(AVERAGE) != plain


def test_dragging_zooms_and_a_double_click_shows_everything(open_page):
    page = open_page(runs=["gym"])
    everything = page.drawn(AVERAGE)
    over = page.chart(AVERAGE).locator(".u-over")
    box = over.bounding_box()
    page.tab.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 20)
    page.tab.mouse.down()
    page.tab.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 30, steps=5)
    page.tab.mouse.up()
    page.wait_until(AVERAGE, "Number(data.from) > 0")
    zoomed = page.drawn(AVERAGE)
    quarter = (everything["to"] - everything["from"]) / 4
    assert zoomed["from"] == pytest.approx(quarter, rel=0.2)
    assert zoomed["to"] == pytest.approx(2 * quarter, rel=0.2)
    assert "zoom=" in page.tab.url
    over.dblclick()
    page.wait_until(AVERAGE, "Number(data.from) === 0")
    assert page.drawn(AVERAGE) == everything


def test_the_cursor_shows_every_run_and_is_in_the_other_charts_too(open_page):
    page = open_page(runs=["wide-1", "wide-2"])
    one, other = page.chart("val/metric 002"), page.chart("val/metric 006")
    one.locator(".u-over").hover()
    tip = page.tab.locator(".chart-tip:visible")
    tip.wait_for()
    assert {"wide-1", "wide-2"} <= set(tip.locator("bdi").all_inner_texts())
    assert other.locator(".chart-dot:visible").count() == 2


def test_full_screen_opens_and_escape_closes_it(open_page):
    page = open_page(runs=["wide-1", "wide-2"])
    metric = "val/metric 002"
    small = page.chart(metric).locator("canvas").bounding_box()
    page.card(metric).get_by_role("button", name="Full screen").click()
    dialog = page.tab.get_by_role("dialog", name="Chart in full screen")
    dialog.locator("canvas").wait_for()
    assert dialog.locator("canvas").bounding_box()["height"] > 2 * small["height"]
    assert {"wide-1", "wide-2"} <= set(dialog.locator(".legend bdi").all_inner_texts())
    page.tab.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


def download(page, metric, what):
    page.chart(metric)
    page.card(metric).get_by_role("button", name="Download this chart").click()
    with page.tab.expect_download() as started:
        page.tab.get_by_role("button", name=what).click()
    return started.value.path().read_bytes()


def test_the_csv_holds_every_stored_value(open_page, runs_folder):
    page = open_page(runs=["gym"])
    table = list(csv.DictReader(io.StringIO(download(page, AVERAGE, "Values (CSV)").decode())))
    rows = rows_of(runs_folder, "gym", AVERAGE)
    assert [float(line["total_frames"]) for line in table] == [
        r["axes"]["total_frames"] for r in rows
    ]
    assert [float(line["value"]) for line in table] == pytest.approx(
        [r["data"][AVERAGE] for r in rows]
    )
    assert {(line["run"], line["metric"]) for line in table} == {("gym", AVERAGE)}


def test_the_picture_is_a_png(open_page):
    picture = download(open_page(runs=["gym"]), AVERAGE, "Picture (PNG)")
    assert picture.startswith(b"\x89PNG\r\n")
    assert len(picture) > 3000


def test_an_address_shows_the_same_view_in_another_browser(open_page):
    page = open_page(runs=["wide-1", "wide-2"])
    page.chart("train/metric 001")
    page.choose_axis("Epoch")
    page.tab.get_by_role("searchbox", name="Search metrics").fill("metric 00")
    page.tab.get_by_role("slider", name="Smoothing").fill("0.5")
    page.tab.get_by_role("button", name="dataset").first.click()
    page.tab.wait_for_function("() => location.hash.includes('smooth=0.5')")
    page.wait_for_axis("train/metric 001", "Epoch")
    copy = open_page()
    copy.tab.goto(page.tab.url)
    copy.wait_for_axis("train/metric 001", "Epoch")
    for each in (page, copy):
        each.tab.wait_for_load_state("networkidle")
    assert copy.tab.locator(".run-row.is-selected bdi").all_inner_texts()[0] == "wide-1"
    assert copy.tab.get_by_role("searchbox", name="Search metrics").input_value() == "metric 00"
    assert copy.drawn("train/metric 001") == page.drawn("train/metric 001")
    assert copy.pixels("train/metric 001") == page.pixels("train/metric 001")


def test_a_folded_section_stays_folded(open_page):
    page = open_page(runs=["gym"])
    page.chart(AVERAGE)
    page.tab.locator('[data-section="val"] .section-button').click()
    page.card(AVERAGE).wait_for(state="hidden")
    page.tab.reload()
    page.tab.locator('[data-section="val"]').wait_for()
    assert not page.card(AVERAGE).is_visible()


def test_seeds_are_averaged_with_a_band(open_page, runs_folder):
    seeds = [f"seeds-{i}" for i in range(1, 6)]
    page = open_page(runs=seeds)
    assert page.drawn(AVERAGE)["lines"] == 5
    page.tab.get_by_label("Group runs by").select_option("group name")
    page.tab.locator(f'article[aria-label="{AVERAGE}"] .chart[data-lines="1"]').wait_for()
    table = list(csv.DictReader(io.StringIO(download(page, AVERAGE, "Values (CSV)").decode())))
    first = [rows_of(runs_folder, seed, AVERAGE)[0]["data"][AVERAGE] for seed in seeds]
    assert float(table[0]["value"]) == pytest.approx(sum(first) / 5)
    assert float(table[0]["low"]) < float(table[0]["value"]) < float(table[0]["high"])
    assert page.tab.get_by_label("Band of a group").is_visible()
