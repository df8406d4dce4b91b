"""Whether a web service could be used at all: is there a key for it, does it answer?"""

import netrc
import os
import ssl
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit


def has_key(url: str, *variables: str) -> bool:
    """True if one of the environment `variables` is set, or netrc has a login for `url`."""
    if any(os.environ.get(name) for name in variables):
        return True
    named = os.environ.get("NETRC")
    files = [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]
    return any(_has_login(file, urlsplit(url).netloc) for file in files)


def _has_login(file: Path, host: str) -> bool:
    try:
        return netrc.netrc(file).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def is_reachable(url: str, timeout_s: float = 3.0) -> bool:
    """True if a web server that is not broken answers at `url` in time.

    In a thread, because looking up a name has no time-out of its own.
    """
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(_answers(url, timeout_s)), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return bool(answers and answers[0])


def _answers(url: str, timeout_s: float) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=timeout_s):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except urllib.error.URLError as error:
        # Python may lack certificates that a client which is no Python program has.
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, ValueError):
        return False
