"""`amago dashboard --export`: the page, its code and the runs' data in one file.

It opens from a disk, without a server and without a network: its Content-Security-Policy lets it
load nothing from anywhere, and run the code it was written with and no other.
"""

import html
import os
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import amago
from amago.core.atomic import write_whole
from amago.core.errors import AmagoError, ConfigError
from amago.dashboard import catalogue, encoding, modules
from amago.dashboard.app import STATIC
from amago.dashboard.export_data import export_run
from amago.dashboard.library import run_id, shown_folder
from amago.dashboard.listing import broken_row
from amago.dashboard.serve import existing_folder
from amago.tracking.run import open_run
from amago.tracking.runs import find_runs
from amago.tracking.sections import section_order

_ENTRY = re.compile(r'[ \t]*<script[^>]*\bsrc="/static/(?P<path>[^"]+)"[^>]*></script>\n?')
_STYLE = re.compile(
    r'[ \t]*<link[^>]*\brel="stylesheet"[^>]*\bhref="/static/(?P<path>[^"]+)"[^>]*>\n?'
)
_OTHER_LINK = re.compile(r'[ \t]*<link\b[^>]*\bhref="/static/[^"]*"[^>]*>\n?')


def export_page(folders: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str]) -> int:
    """Write one page that shows every run below `folders`; returns its size in bytes.

    Metrics are thinned; pictures and other files of the runs are left out, and so are the names of
    the machine, its user and its folders.

    Raises:
        ConfigError: a folder that does not exist or holds no run, or `path` cannot be written.
    """
    roots = [existing_folder(folder).resolve() for folder in folders]
    paths = find_runs(roots)
    if not paths:
        names = ", ".join(map(str, folders))
        raise ConfigError(f"there is no run to export below {names}.")
    page = assemble(exported_data(paths, roots)).encode()
    try:
        write_whole(os.fspath(path), [page])
    except OSError as error:
        raise ConfigError(f"cannot write {os.fspath(path)}: {error.strerror}.") from error
    return len(page)


def exported_data(paths: Sequence[Path], roots: Sequence[Path]) -> dict[str, Any]:
    """What the page's `offline.js` answers from. Broken runs are listed with their error."""
    runs, broken = [], []
    for path in paths:
        folder = shown_folder(path, roots)
        try:
            run = open_run(path)
        except (AmagoError, OSError) as error:
            # Its message may name folders of this machine.
            reason = f"The record cannot be read ({type(error).__name__})."
            row = broken_row(run_id(path), path, folder, reason)
            broken.append({"id": row["id"], "row": row})
            continue
        try:
            runs.append(export_run(run, run_id(path), folder))
        finally:
            run.close()
    entries = [metric for run in runs for metric in run["metrics"]]
    names = sorted({entry["name"] for entry in entries}, key=catalogue.title_key)
    order = {name: i for i, name in enumerate(names)}
    for entry in entries:
        entry["order"] = order[entry["name"]]
    return {
        "runs": [*runs, *broken],
        "roots": [root.name for root in roots],
        "now": time.time(),
        "version": amago.__version__,
        "sections": section_order(names),
        "axes": catalogue.menu(axis for run in runs for axis in run["axes"]),
    }


def assemble(data: dict[str, Any]) -> str:
    """The page with its modules, styles and `data` inside."""
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    scripts = [match["path"] for match in _ENTRY.finditer(page)]
    styles = [match["path"] for match in _STYLE.finditer(page)]
    if len(scripts) != 1:
        raise AmagoError(f"index.html must name exactly one script, not {scripts}.")
    bundle = modules.collect(scripts[0], _source)
    entry = f'import "{modules.name_of(scripts[0])}";'
    nonce = secrets.token_urlsafe(16)
    # Before </head>: an import map must come before the first module.
    head = "\n".join(
        [
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(nonce)}">',
            f'<style nonce="{nonce}">{_styles(styles)}</style>',
            f'<script type="application/json" id="amago-export">{in_script(data)}</script>',
            f'<script nonce="{nonce}">globalThis.AMAGO_EXPORT = '
            'JSON.parse(document.getElementById("amago-export").textContent);</script>',
            f'<script type="importmap" nonce="{nonce}">{modules.import_map(bundle)}</script>',
            f'<script type="module" nonce="{nonce}">{entry}</script>',
        ]
    )
    for pattern in (_ENTRY, _STYLE, _OTHER_LINK):
        page = pattern.sub("", page)
    before, marker, after = page.partition("</head>")
    if not marker:
        raise AmagoError("index.html has no </head>.")
    return f"{before}{head}\n{marker}{after}"


def in_script(data: Any) -> str:
    """`data` as JSON that no HTML parser takes for anything else, whatever the texts in it say."""
    text = encoding.dumps(data).decode("ascii")  # so U+2028 is escaped already
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(nonce: str) -> str:
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return html.escape(policy, quote=True).replace("&#x27;", "'")


def _styles(paths: Iterable[str]) -> str:
    text = "\n".join(_source(path) for path in paths)
    if "</style" in text.lower():
        raise AmagoError("a style sheet of the page holds '</style'.")
    return text


def _source(path: str) -> str:
    file = STATIC / path
    if not file.is_file():
        raise AmagoError(f"the page needs {path}, which is not among its files.")
    return file.read_text(encoding="utf-8")
