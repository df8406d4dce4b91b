"""Secrets are taken out of the command, the configuration and the environment before they are kept.

A *name* is secret by its words (`api_key`, `apiKey` and `API-KEY` are the words "api", "key"):

* one of them is password, passwd, passphrase, secret, credential(s) or apikey; or
* the words "api key" or "access key" stand next to each other; or
* the last word is key, token, auth or pwd (`wandb_token`, `ssh_key`): the last word says what a
  thing *is*. So `key_location`, `token_dim`, `num_tokens` and `pass_obs_keys_to_actor` stay, and so
  does a key into a dict or of a generator: `obs_key`, `split_key`, `rng_key`.

Booleans and None are never secret, nor is a number whose name is secret by its last word alone
(`--max_token=64`). Besides, `user:pass` inside a URL goes, and so does any value of a secret
environment variable, wherever it turns up.
"""

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "[redacted]"

_ANYWHERE = {
    *("password", "passwd", "passphrase", "secret", "secrets"),
    *("credential", "credentials", "apikey"),
}
_AT_THE_END = {"key", "token", "auth", "pwd"}
_KEYS_THAT_OPEN_NOTHING = {"obs", "goal", "image", "dict", "sort", "group", "split", "root", "rng"}
_PAIRS = {("api", "key"), ("access", "key")}

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_URL_USER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/\s@'\"]+@")
_ASSIGNMENT = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)(?P<sign>[\"']?\s*[=:]\s*)"
    r"(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"'&,;{}()\[\]]+)"
)
_NOT_TEXT = {"true", "false", "none", "null"}
_SHORTEST_SECRET = 8
"""Values of environment variables shorter than this are not searched for in other text."""


def is_secret_name(name: str) -> bool:
    """True if what carries this name has to be hidden. Of a dotted name the last part counts."""
    return _is_always_secret(name) or _is_secret_unless_a_number(name)


def redact_text(text: str) -> str:
    """Free text (gin bindings, a message) without URL credentials and `secret_name = value`."""
    for secret in _secret_environment_values():
        text = text.replace(secret, HIDDEN)
    return _hide_assignments(_URL_USER.sub(rf"\g<scheme>{HIDDEN}@", text))


def redact_command(arguments: Sequence[str]) -> list[str]:
    """A command without the values of secret flags: `--api-key=x`, `--api-key x`, `a.key=x`."""
    hidden, flag = [], ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        is_name = _NAME.fullmatch(name) is not None
        if flag and not argument.startswith("--") and _hides(flag, argument):
            hidden.append(HIDDEN)
        elif equals and is_name and _hides(name, value):
            hidden.append(f"{name}={HIDDEN}")
        else:
            hidden.append(redact_text(argument))
        flag = argument if is_name and not equals and argument.startswith("-") else ""
    return hidden


def redact_config(config: Any, name: str = "") -> Any:
    """A configuration (nested dicts and lists) with its secret leaves hidden."""
    if isinstance(config, Mapping):
        return {key: redact_config(value, str(key)) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [redact_config(value, name) for value in config]
    if isinstance(config, bool | None):
        return config
    if _hides(name, str(config)):
        return HIDDEN
    return redact_text(config) if isinstance(config, str) else config


def _is_always_secret(name: str) -> bool:
    words = _words(name)
    pairs = itertools.pairwise(words)
    return not _ANYWHERE.isdisjoint(words) or not _PAIRS.isdisjoint(pairs)


def _is_secret_unless_a_number(name: str) -> bool:
    *before, last = _words(name) or [""]
    if last == "key" and not _KEYS_THAT_OPEN_NOTHING.isdisjoint(before[-1:]):
        return False
    return last in _AT_THE_END


def _words(name: str) -> list[str]:
    """Lower-case words of the last part of a dotted name, without numbers."""
    words = _WORD.findall(name.rsplit(".", 1)[-1])
    return [word.lower() for word in words if not word.isdigit()]


def _hides(name: str, value: str) -> bool:
    value = value.strip("\"'")
    if not value or value.lower() in _NOT_TEXT:
        return False
    return _is_always_secret(name) or (_is_secret_unless_a_number(name) and not _is_number(value))


def _hide_value(match: re.Match[str]) -> str:
    name, sign, value = match["name"], match["sign"], match["value"]
    # An assignment may hide in the value of another: `https://host?token=x`.
    return name + sign + (HIDDEN if _hides(name, value) else _hide_assignments(value))


def _hide_assignments(text: str) -> str:
    return _ASSIGNMENT.sub(_hide_value, text)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _secret_environment_values() -> list[str]:
    return [
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST_SECRET and _hides(name, value)
    ]
