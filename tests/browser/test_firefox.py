"""The page works in Firefox as well."""

import json

from firefox import firefox
from pages import AVERAGE

CHART = f"article[data-metric={json.dumps(AVERAGE)}] .chart[aria-busy=false]"
DRAWN = f"""{{
    const chart = document.querySelector({json.dumps(CHART)});
    const canvas = chart?.querySelector("canvas");
    if (!canvas || chart.dataset.lines === "0") return null;
    const {{ data }} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return {{ ...chart.dataset, colours: new Set(data).size }};
}}"""


def until(expression: str) -> str:
    """JavaScript that waits until a function body gives something, frame by frame."""
    look = f"(() => {expression})()"
    return (
        f"new Promise((resolve) => {{ const again = () => {{ const found = {look}; "
        "if (found) resolve(found); else requestAnimationFrame(again); }; again(); })"
    )


def test_charts_are_drawn(firefox_program, address, tmp_path):
    with firefox(firefox_program, tmp_path) as browser:
        browser.open(address)
        browser.evaluate(until("{ return location.search === '' }"))  # the token is taken
        runs = browser.evaluate("fetch('/api/runs').then((r) => r.json())")["runs"]
        (gym,) = (run["id"] for run in runs if run["name"] == "gym")
        browser.open(f"{address.partition('?')[0]}#runs={gym}&search=Across")
        drawn = browser.evaluate(until(DRAWN))
        assert drawn["axis"] == "total_frames"
        assert drawn["lines"] == "1"
        assert drawn["colours"] > 10
        browser.evaluate("document.querySelector('[data-tab=overview]').click()")
        assert browser.complaints == []
