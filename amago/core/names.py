"""Helpers for names that people type or that end up in a path."""

import difflib
import hashlib
import re
from collections.abc import Iterable


def nearest(wrong: str, known: Iterable[str]) -> str:
    """`"; did you mean 'tau'?"`, or `"."` when nothing is close."""
    match = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{match[0]}'?" if match else "."


def slug(name: str, max_length: int = 64) -> str:
    """`name` as one safe path component of `[A-Za-z0-9.-]`, unique where it had to be changed.

    A changed name gets 8 hex digits of its hash, so that different names never share a slug.
    """
    cleaned = re.sub(r"[^A-Za-z0-9.-]", "", name).lstrip(".")[:max_length]
    if cleaned == name and cleaned:
        return cleaned
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{cleaned[: max_length - 9]}-{digest}".lstrip("-")
