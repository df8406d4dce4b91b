"""Taking the machine out of a record that others will read: host, user, folders.

Absolute paths become their last part, wherever they stand in a text (a command, a setting, a
warning with its traceback). The names of the host and the user are taken out by themselves, because
they also turn up outside of paths.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

# A slash that begins a word, then names: `/data/x/y.py`, and not `val/x`, `it/s`, `https://host/x`.
_PATH = re.compile(r"(?<![\w/.~*)\]-])(?:file://)?~?(?:/[\w.@+~%,=-]+)+/?")
_USER_FOLDER = re.compile(r"/(?:home|Users)/([\w.@+-]+)")
_SHORTEST_NAME = 3
_DROPPED = ("cwd", "environment")
_REPLACED = {"host": "", "pid": None}


class Anonymiser:
    """Rewrites texts and entries of one record.

    Args:
        sessions: the record's `session` entries, which say where it ran.
    """

    def __init__(self, sessions: Iterable[Mapping[str, Any]]) -> None:
        hosts, users = set(), set()
        for session in sessions:
            hosts.add(str(session.get("host") or ""))
            hosts.add(str(session.get("host") or "").partition(".")[0])
            text = " ".join(map(str, [session.get("cwd"), session.get("command")]))
            users.update(_USER_FOLDER.findall(text))
        # Longest first: "gpu7.lab.org" before "gpu7".
        names = sorted((n for n in hosts | users if len(n) >= _SHORTEST_NAME), key=len)[::-1]
        self._names = re.compile("|".join(rf"\b{re.escape(n)}\b" for n in names)) if names else None

    def text(self, text: str) -> str:
        """`text` without absolute paths and names of host and user."""
        text = _PATH.sub(lambda match: match[0].rstrip("/").rpartition("/")[2] or "/", text)
        return text if self._names is None else self._names.sub("x", text)

    def value(self, value: Any) -> Any:
        """`value` (nested) with every text in it rewritten, and keys as well."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value

    def session(self, session: Mapping[str, Any]) -> dict[str, Any]:
        """A session's facts without the machine: no host, folder, process or environment."""
        kept = {key: value for key, value in session.items() if key not in _DROPPED}
        return self.value(kept) | {key: _REPLACED[key] for key in _REPLACED if key in session}
