"""Narrow windows, dark rooms, no mouse."""

import pytest
from pages import AVERAGE
from synthetic_runs import small

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.mark.parametrize("tab", ["charts", "overview", "config", "log", "files", "media"])
def test_nothing_is_wider_than_a_phone(tab, open_page):
    page = open_page(context=PHONE, runs=["ml45" if tab == "charts" else "gym"])
    page.chart(AVERAGE)
    if tab != "charts":
        page.open(tab)
    page.tab.wait_for_load_state("networkidle")
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_phone_reaches_the_list_of_runs(open_page):
    page = open_page(context=PHONE, runs=["wide-1"])
    page.chart("val/metric 002")
    page.tab.get_by_role("button", name="Runs", exact=True).tap()
    box = page.tab.locator(f'[data-run="{page.ids["wide-2"]}"]').get_by_role("checkbox")
    box.scroll_into_view_if_needed()
    box.tap()
    page.tab.locator(".shade").tap(position={"x": 380, "y": 400})
    assert page.drawn("val/metric 002")["lines"] == 2


def brightness(page):
    """Of the page's background, 0 to 255."""
    colour = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    red, green, blue = (int(part) for part in colour.strip("rgba()").split(",")[:3])
    return (red + green + blue) / 3


def test_it_is_dark_where_the_system_is_and_can_be_told_otherwise(open_page):
    page = open_page(context={"color_scheme": "dark"}, runs=["gym"])
    page.chart(AVERAGE)
    assert brightness(page) < 60
    page.tab.get_by_role("button", name="Appearance").click()
    page.tab.wait_for_function("() => document.documentElement.dataset.theme === 'light'")
    assert brightness(page) > 200


def test_keys_do_what_the_mouse_does(open_page):
    page = open_page(runs=["gym"])
    page.chart(AVERAGE)
    keys = page.tab.keyboard
    keys.press("/")
    keys.type("Return")
    assert page.tab.get_by_role("searchbox", name="Search metrics").input_value() == "Return"
    keys.press("Escape")
    keys.press("Escape")
    keys.press("x")
    keys.type("gradient")
    keys.press("Enter")
    page.wait_for_axis(AVERAGE, "gradient_steps")
    keys.press("l")
    assert page.tab.get_by_label("Log y").is_checked()
    keys.press("?")
    page.tab.get_by_role("dialog", name="Keys").wait_for()


WHERE_THE_FOCUS_IS = """() => {
    const focused = document.activeElement;
    if (focused === document.body) return null;
    const { outlineStyle, boxShadow } = getComputedStyle(focused);
    const name = focused.getAttribute("aria-label") ?? focused.textContent;
    return [name, outlineStyle !== "none" || boxShadow !== "none"];
}"""


def test_tab_reaches_everything_and_shows_where_it_is(open_page, serve, tmp_path):
    small(tmp_path / "small")
    with serve(tmp_path) as address:
        page = open_page(at=address)
        page.chart(AVERAGE)
        reached = []
        for _ in range(30):
            page.tab.keyboard.press("Tab")
            reached.append(page.tab.evaluate(WHERE_THE_FOCUS_IS))
    seen = {name: is_seen for name, is_seen in filter(None, reached)}
    assert {"Overview", "Config", "X axis of all charts", "Smoothing"} <= seen.keys()
    assert [name for name, is_seen in seen.items() if not is_seen] == []
