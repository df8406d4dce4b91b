"""Names are text, and nobody without the token sees anything."""

import pytest
from pages import AVERAGE
from synthetic_runs import HOSTILE

TABS = ("charts", "overview", "config", "log", "files", "media")


@pytest.mark.parametrize("tab", TABS)
def test_hostile_names_are_shown_as_text(tab, open_page):
    page = open_page(runs=[HOSTILE[0]])
    page.chart(AVERAGE)
    if tab != "charts":
        page.open(tab)
    page.tab.wait_for_load_state("networkidle")
    # What the names would have made, had they been taken for markup.
    assert page.tab.locator("img[src=x], svg[onload], body script").count() == 0
    assert HOSTILE[0] in page.tab.locator("body").inner_text()


def test_hostile_metrics_can_be_drawn_searched_and_enlarged(open_page):
    page = open_page(runs=[HOSTILE[0]])
    metric = f"val/Average Total Return in {HOSTILE[1]}"
    assert page.drawn(metric)["lines"] == 1
    page.choose_axis(f"total_frames-{HOSTILE[0]}")
    page.wait_for_axis(metric, f"total_frames-{HOSTILE[0]}")
    page.card(metric).get_by_role("button", name="Full screen").click()
    dialog = page.tab.get_by_role("dialog", name="Chart in full screen")
    assert HOSTILE[1] in dialog.get_by_role("heading").inner_text()


def test_a_section_may_have_the_name_of_a_part_of_javascript(open_page):
    page = open_page(runs=[HOSTILE[0]])
    for section in ("__proto__", "constructor"):
        assert page.drawn(f"{section}/metric")["lines"] == 1


def test_without_the_token_there_is_nothing(chromium, address):
    bare = address.partition("?")[0]
    context = chromium.new_context()
    page = context.new_page()
    assert page.goto(bare).status == 401
    assert "token" in page.inner_text("body").lower()
    assert context.request.get(f"{bare}api/runs").status == 401
    context.close()
