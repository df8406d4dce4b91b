"""The page as a test sees it: a tab that is watched, and where things are on it."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

AVERAGE = "val/Average Total Return (Across All Env Names)"


class Watch:
    """A browser context with one tab, and everything about it that must never happen.

    Attributes:
        complaints: errors on the console, uncaught errors, dialogs, requests to other hosts.
    """

    def __init__(self, context: Any, host: str) -> None:
        self.context = context
        self.complaints: list[str] = []
        self.page = context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.on("dialog", self._on_dialog)
        context.on("request", lambda request: self._on_request(request.url, host))

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text} ({message.location['url']})")

    def _on_dialog(self, dialog: Any) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _on_request(self, url: str, host: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "file") and parts.netloc != host:
            self.complaints.append(f"request to another host: {url}")


class Page:
    """The dashboard in a tab, however it came there."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab

    def section(self, name: str) -> Any:
        """A section, in view: what is far from the window is not there yet."""
        self.tab.get_by_role("navigation", name="Sections").get_by_text(name, exact=True).click()
        return self.tab.locator(f"[data-section={css_text(name)}]")

    def card(self, metric: str) -> Any:
        """The card of a metric."""
        return self.tab.locator(f"article.chart-card[data-metric={css_text(metric)}]")

    def chart(self, metric: str) -> Any:
        """The drawn chart of a metric, in view."""
        card = self.card(metric)
        card.wait_for()
        self.tab.wait_for_function(FOLLOW, arg=card.element_handle())
        card.scroll_into_view_if_needed()  # waits until it stands still
        return card.locator('.chart[aria-busy="false"]')

    def drawn(self, metric: str) -> dict[str, Any]:
        """What the chart of a metric shows: `axis`, `from`, `to` and the number of `lines`."""
        data = self.chart(metric).evaluate("chart => ({...chart.dataset})")
        return {
            "axis": data["axis"],
            "from": float(data["from"]),
            "to": float(data["to"]),
            "lines": int(data["lines"]),
        }

    def wait_for_axis(self, metric: str, axis: str) -> None:
        """Until the chart of `metric` is drawn over `axis`."""
        self.wait_until(metric, f"data.axis === {json.dumps(axis)}")

    def wait_until(self, metric: str, condition: str) -> None:
        """Until JavaScript's `condition` holds of `data`, which is what the chart shows."""
        self.chart(metric)
        self.tab.wait_for_function(
            f"""metric => {{
                const cards = [...document.querySelectorAll("article.chart-card")];
                const card = cards.find((each) => each.dataset.metric === metric);
                const chart = card?.querySelector(".chart[aria-busy=false]");
                const data = chart?.dataset ?? {{}};
                return chart !== null && ({condition});
            }}""",
            arg=metric,
        )

    def pixels(self, metric: str) -> str:
        """What is painted, as one string."""
        return self.chart(metric).locator("canvas").evaluate("canvas => canvas.toDataURL()")

    def choose_axis(self, axis: str) -> None:
        """Choose the x-axis of all charts in the menu."""
        menu = self.tab.get_by_role("combobox", name="X axis of all charts")
        menu.fill(axis)
        self.tab.locator(f"[role=option]:has(bdi:text-is({css_text(axis)}))").first.click()

    def open(self, tab: str) -> Any:
        """Go to another page of the dashboard; returns what it shows."""
        self.tab.locator(f'[data-tab="{tab}"]').click()
        shown = self.tab.locator(f'main[data-page="{tab}"]')
        shown.wait_for()
        return shown


FOLLOW = """card => {
    const { top, bottom } = card.getBoundingClientRect();
    if (top < 0 || bottom > innerHeight) card.scrollIntoView({ block: "center" });
    return card.querySelector('.chart[aria-busy="false"] canvas') !== null;
}"""
"""Keep a card in view until it is drawn: tables above it appear late, and push it away."""


class ServedPage(Page):
    """The dashboard of a server.

    Args:
        address: as the server prints it, with the token.
        runs: names of runs to select; the page chooses if it is None.
        view: more keys of the page's address, such as `x="Epoch"`.

    Attributes:
        ids: the server's id of each run, by its name.
    """

    def __init__(
        self, tab: Any, address: str, runs: Sequence[str] | None = None, **view: str
    ) -> None:
        super().__init__(tab)
        self.origin = "http://" + urlsplit(address).netloc
        tab.context.request.get(address)  # takes the token, gives the cookie
        self.ids = {run["name"]: run["id"] for run in self.api("/api/runs")["runs"]}
        if runs is not None:
            view["runs"] = ",".join(self.ids[name] for name in runs)
        told = "&".join(f"{key}={quote(value, safe=',:~')}" for key, value in view.items())
        tab.goto(f"{self.origin}/#{told}")

    def api(self, path: str, body: Any = None) -> Any:
        """The server's own answer."""
        ask = self.tab.context.request
        url = f"{self.origin}{path}"
        answer = ask.get(url) if body is None else ask.post(url, data=body)
        assert answer.ok, answer.text()
        return answer.json()


def css_text(text: str) -> str:
    """`text` as a string of CSS."""
    return '"' + "".join(f"\\{ord(c):x} " if c in '"\\\n' else c for c in text) + '"'


def rows_of(folder: Any, run: str, metric: str) -> list[dict[str, Any]]:
    """Rows of a run's record that hold `metric`, as they are in its files."""
    files = sorted((folder / run / "tracking").glob("*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [row for row in rows if row["kind"] == "row" and metric in row["data"]]
