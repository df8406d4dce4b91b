"""What a client library would write on the terminal, over our progress bars, in our words."""

import re
from collections.abc import Callable

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(r"^(wandb: )?(WARNING |ERROR )?", re.MULTILINE)


class ClientMessages:
    """Stands for the logger to which the W&B client writes when it is silent.

    Args:
        warn: shows one line, once for each.
        lost: is told why something is not uploaded.
    """

    def __init__(self, warn: Callable[[str], None], lost: Callable[[str], None]) -> None:
        self._warn, self._lost = warn, lost
        self._seen = {"Timed out finishing run."}  # `finish` raises this as well

    def info(self, msg: str) -> None:
        """Leave it out: the address of the page, and where files are."""

    def warning(self, msg: str) -> None:
        """Pass it on."""
        text = _PREFIX.sub("", _COLOUR.sub("", msg)).strip()
        if text in self._seen:
            return
        self._seen.add(text)
        if "will not be synced" in text:
            self._lost(text.partition(". ")[0])
        else:
            self._warn(f"W&B says: {text}")

    error = warning
