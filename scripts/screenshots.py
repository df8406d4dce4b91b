"""Takes the pictures of docs/tracking.md: the dashboard on real runs, in a real browser.

    python scripts/screenshots.py [ROOT] [--gym NAME] [--media NAME] ...

ROOT holds the runs, by default those that come with amago; the names are those of their folders.
None of those has pictures or tables, so `--media` needs a ROOT.
Needs `playwright`, a Chromium and `pillow`. Pictures have 256 colours, which is enough for charts
and a third of the size.
"""

import argparse
import io
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, urlsplit

from PIL import Image
from playwright.sync_api import (  # pyright: ignore[reportMissingImports]
    BrowserContext,
    Page,
    sync_playwright,
)

from amago.dashboard.background import serve_in_background
from amago.dashboard.reference_runs import unpack_references

OUT = Path(__file__).resolve().parents[1] / "docs" / "images"
LARGEST = 300_000
SEEDS = [f"tmaze-seed-{seed}" for seed in range(1, 5)]
_COLOURS = 256
_PHONE = {"is_mobile": True, "has_touch": True}


@dataclass(frozen=True)
class Picture:
    """One file in the folder of pictures.

    Args:
        runs: which runs it shows: a name of a command line argument.
        size: of the window, in CSS pixels.
        view: keys of the page's address.
        show: what to do before the picture is taken; what it returns is what is in the picture.
        context: more about the browser, such as that it is a phone.
        sharpness: pixels of the picture for a CSS pixel.
    """

    name: str
    runs: str
    size: tuple[int, int]
    view: dict[str, str] = field(default_factory=dict)
    show: Callable[[Page], Any] = lambda page: page
    context: dict[str, Any] = field(default_factory=dict)
    sharpness: float = 1.5


def _whole_page(page: Page) -> Page:
    """The window as high as the page: charts far below a window are not drawn."""
    size = page.viewport_size
    assert size is not None
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": height})
    undrawn = "article.chart-card:not(:has(.chart[aria-busy=false] canvas))"
    page.wait_for_function("undrawn => !document.querySelector(undrawn)", arg=undrawn)
    return page


def _axis_menu(page: Page) -> Page:
    page.get_by_role("combobox", name="X axis of all charts").focus()
    return page


def _section(page: Page, name: str, block: str) -> Any:
    page.get_by_role("navigation", name="Sections").get_by_text(name, exact=True).click()
    found = page.locator(f'[data-section="{name}"] {block}')
    found.locator("svg").first.wait_for()
    return found


PICTURES = (
    Picture(
        "sections", "gym", (1240, 900), {"collapsed": "Charts,train,System"}, _whole_page, {}, 1.0
    ),
    Picture("axes", "tasks", (1240, 620), {"search": "Across"}, _axis_menu),
    Picture("overview", "gym", (1240, 860), {"tab": "overview"}),
    Picture("config", "pair", (1240, 560), {"tab": "config"}),
    Picture(
        "matrix",
        "tasks",
        (1600, 1200),
        {},
        lambda page: _section(page, "val", ".section-matrix .scroller"),
    ),
    Picture(
        "attempts", "attempts", (1000, 800), {}, lambda p: _section(p, "val", ".section-attempts")
    ),
    Picture("bands", "seeds", (1240, 620), {"groupby": "group", "search": "val/"}),
    Picture("log", "gym", (1240, 520), {"tab": "log"}),
    Picture("files", "gym", (1240, 420), {"tab": "files"}),
    Picture("media", "media", (1240, 620), {"tab": "media"}),
    Picture("dark", "gym", (1240, 760), {"theme": "dark", "search": "^(train|val)/"}),
    Picture("phone", "gym", (390, 844), {"search": "^val/"}, context=_PHONE, sharpness=2.0),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Take every picture, or those that were asked for; returns the exit status."""
    args = _arguments(argv)
    runs = {"gym": [args.gym], "tasks": [args.tasks], "attempts": [args.attempts]}
    runs |= {"pair": args.pair, "seeds": args.seeds, "media": args.media}
    args.out.mkdir(parents=True, exist_ok=True)
    wanted = [p for p in PICTURES if not args.only or p.name in args.only]
    with nullcontext(args.root) if args.root else TemporaryDirectory(prefix="runs-") as root:
        if not args.root:
            unpack_references(Path(root))
        sizes = _take_all(Path(root), args.out, wanted, runs)
    for name, size in sizes.items():
        print(f"{name}.png: {size / 1000:.0f} kB{', too large' if size > LARGEST else ''}")
    return 1 if any(size > LARGEST for size in sizes.values()) else 0


def _take_all(
    root: Path, out: Path, pictures: Sequence[Picture], runs: dict[str, list[str]]
) -> dict[str, int]:
    """Write the pictures that there are runs for; returns the size of each in bytes."""
    sizes = {}
    with closing(serve_in_background([root], port=0)) as server, sync_playwright() as tool:
        browser = tool.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for picture in (each for each in pictures if runs[each.runs]):
            width, height = picture.size
            context = browser.new_context(
                viewport={"width": width, "height": height},
                device_scale_factor=picture.sharpness,
                **picture.context,
            )
            data = _smaller(_take(context, server.url, picture, runs[picture.runs]))
            context.close()
            (out / f"{picture.name}.png").write_bytes(data)
            sizes[picture.name] = len(data)
        browser.close()
    return sizes


def _take(context: BrowserContext, address: str, picture: Picture, runs: list[str]) -> bytes:
    origin = f"http://{urlsplit(address).netloc}"
    context.request.get(address)  # the token, for a cookie
    known = context.request.get(f"{origin}/api/runs").json()["runs"]
    ids = {run["name"]: run["id"] for run in known}
    missing = [name for name in runs if name not in ids]
    if missing:
        raise SystemExit(f"no run is named {', '.join(missing)}; there are: {', '.join(ids)}")
    view = {"runs": ",".join(ids[name] for name in runs), **picture.view}
    page = context.new_page()
    page.goto(f"{origin}/#" + "&".join(f"{k}={quote(v, safe=',:~')}" for k, v in view.items()))
    page.wait_for_load_state("networkidle")
    target = picture.show(page)
    page.wait_for_load_state("networkidle")
    page.mouse.move(0, 0)
    return target.screenshot(animations="disabled")


def _smaller(png: bytes) -> bytes:
    """The same picture in few colours, chosen for it."""
    smaller = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(_COLOURS).save(
        smaller, "PNG", optimize=True
    )
    return smaller.getvalue()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, nargs="?", help="folder that holds the runs")
    parser.add_argument("--gym", default="cartpole", help="a run with one task")
    parser.add_argument("--tasks", default="ml45", help="a run with many tasks")
    parser.add_argument("--attempts", default="frozen-lake", help="a run with several attempts")
    parser.add_argument("--pair", nargs=2, default=["tmaze-transformer", "tmaze-ff"])
    parser.add_argument("--seeds", nargs="+", default=SEEDS, help="runs of one group")
    parser.add_argument("--media", nargs="*", default=[], help="a run with pictures and tables")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the pictures")
    parser.add_argument("--only", nargs="*", help="names of pictures; all by default")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
