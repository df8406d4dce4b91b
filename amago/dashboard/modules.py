"""The page's modules inside one file: imports become names of an import map of `data:` URLs.

A page opened from `file://` may not import its neighbours, so each module travels inside the page.
Modules stay modules: cycles and live bindings work as they do on the server.
"""

import base64
import json
import posixpath
import re
from collections.abc import Callable

from amago.core.errors import AmagoError

_IMPORT = re.compile(
    r"""^(?P<head>(?:import|export)\b(?:[^'";]*?\bfrom)?\s*)(?P<quote>["'])(?P<path>\.{1,2}/[^"']+)(?P=quote)\s*;""",
    re.MULTILINE,
)
_PREFIX = "amago/"


def collect(entry: str, read: Callable[[str], str]) -> dict[str, str]:
    """Every module that `entry` needs: path to source, with imports as names of the import map.

    Args:
        entry: path of the first module, e.g. `js/main.js`.
        read: gives the source of a path.

    Raises:
        AmagoError: a module imports something outside of the page's own files.
    """
    found: dict[str, str] = {}
    waiting = [entry]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        source = read(path)
        found[path] = ""
        for match in _IMPORT.finditer(source):
            waiting.append(_target(path, match["path"]))
        found[path] = _IMPORT.sub(lambda match, path=path: _named(path, match), source)
    return found


def name_of(path: str) -> str:
    """The name by which the import map knows the module at `path`."""
    return _PREFIX + path


def import_map(modules: dict[str, str]) -> str:
    """The import map of `modules` as JSON."""
    urls = {name_of(path): _data_url(source) for path, source in sorted(modules.items())}
    return json.dumps({"imports": urls}, separators=(",", ":"))


def _named(path: str, match: re.Match[str]) -> str:
    return f'{match["head"]}"{name_of(_target(path, match["path"]))}";'


def _target(path: str, relative: str) -> str:
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), relative))
    if target.startswith(".."):
        raise AmagoError(f"{path} imports {relative}, which is none of the page's files.")
    return target


def _data_url(source: str) -> str:
    return "data:text/javascript;base64," + base64.b64encode(source.encode()).decode()
