"""Which Pythons this machine has, and what each brings along. Standard library only."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = ((3, 11), (3, 12), (3, 13))

_PROBE = """
import json, sys
from importlib.util import find_spec
try:
    from importlib.metadata import distribution
    torch = distribution("torch")
    torch = [torch.version, str(torch.locate_file(""))]
except Exception:
    torch = None
print(json.dumps({
    "path": sys.executable,
    "base": getattr(sys, "_base_executable", None) or sys.executable,
    "version": list(sys.version_info[:3]),
    "can_venv": bool(find_spec("venv") and find_spec("ensurepip")),
    "torch": torch,
}))
"""


class SetupError(Exception):
    """The set-up cannot go on; the message says what is missing and what to do."""


@dataclass(frozen=True)
class Torch:
    """An installed torch: its release, and the folder it lies in."""

    release: str
    folder: str

    @property
    def version(self) -> tuple[int, ...]:
        """Its numbers, e.g. `(2, 13)`, for comparison."""
        return tuple(int(number) for number in re.findall(r"\d+", self.release)[:2])

    def __str__(self) -> str:
        return f"{self.release} in {self.folder}"


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs, as it described itself."""

    path: str
    base: str
    version: tuple[int, ...]
    can_venv: bool
    torch: Torch | None

    @property
    def name(self) -> str:
        """`3.11`"""
        return ".".join(map(str, self.version[:2]))

    @property
    def dotted(self) -> str:
        """`3.11.7`"""
        return ".".join(map(str, self.version))

    @property
    def is_supported(self) -> bool:
        """Whether the package is tested on this version."""
        return self.version[:2] in SUPPORTED

    def require_venv(self) -> None:
        """Raises SetupError if it cannot create environments, as on a bare Debian."""
        if not self.can_venv:
            raise SetupError(f"{self.path} cannot create environments: apt install python3-venv")

    def __str__(self) -> str:
        return f"{self.path} {self.dotted}"


def probe(command: str | Path) -> Interpreter | None:
    """The interpreter behind `command`; None if it is no working Python (a shim, say)."""
    try:
        done = subprocess.run(
            [command, "-c", _PROBE], capture_output=True, text=True, timeout=60, check=True
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    torch = Torch(*found.pop("torch")) if found["torch"] else found.pop("torch")
    return Interpreter(**{**found, "version": tuple(found["version"])}, torch=torch)


def chosen(project: Path) -> Interpreter:
    """The Python to build on: AMAGO_PYTHON, else the one running this, else a supported one.

    An environment of this project is never built on itself, but on the Python below it.
    """
    asked = os.environ.get("AMAGO_PYTHON")
    found = probe(asked or sys.executable)
    if found and Path(found.path).is_relative_to(project):
        found = probe(found.base)
    if found and found.is_supported:
        return found
    others = {} if asked else by_version()
    if others:
        return next(iter(others.values()))
    has = f"{found.path} is {found.dotted}" if found else f"{asked} does not run"
    names = ", ".join(".".join(map(str, version)) for version in SUPPORTED)
    raise SetupError(f"Python {names} needed; {has}. Name one with AMAGO_PYTHON=python3.11")


def by_version() -> dict[tuple[int, ...], Interpreter]:
    """One working interpreter for each supported version that is found, oldest first."""
    found: dict[tuple[int, ...], Interpreter] = {}
    for version in SUPPORTED:
        for candidate in _candidates("python" + ".".join(map(str, version))):
            interpreter = probe(candidate)
            if interpreter and interpreter.version[:2] == version:
                found[version] = interpreter
                break
    return found


def _candidates(command: str) -> list[Path]:
    """Where `command` may be: the search path, then the versions that pyenv keeps."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    roots = [Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()]
    roots += [folder.parent for folder in folders if folder.name == "shims"]
    kept = [folder for root in roots for folder in sorted(root.glob("versions/*/bin"))]
    return [folder / command for folder in [*folders, *kept] if (folder / command).exists()]
