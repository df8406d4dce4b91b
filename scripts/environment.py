"""Local Python environments in the project folder: found ready, or made. Standard library only.

An environment is valid for one Python, one project folder and one content of `pyproject.toml` and
`constraints.txt`. What it was made for is written into it, so a set-up is repeated only when one
of these has changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interpreters import Interpreter, SetupError, probe

ROOT = Path(__file__).resolve().parent.parent
TORCH_AT_LEAST = (2, 6)
NEEDS_TORCH = {"torch", "accelerate", "safetensors", "einops"}  # absent in a torch-free environment
TEST_TOOLS = {"httpx2", "pytest", "pytest-timeout", "pytest-xdist", "hypothesis"}
HEARTBEAT_S = 30

_started = time.monotonic()


def say(text: str) -> None:
    """One line of progress, with the seconds since the command began."""
    print(f"[{time.monotonic() - _started:4.0f} s] {text}", flush=True)


@dataclass(frozen=True)
class Environment:
    """A folder with a Python and packages, and commands run in it."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def run(self, *arguments: str, title: str | None = None) -> int:
        """Run its Python with `arguments` in the project folder; returns the exit status."""
        if title:
            say(title)
        return subprocess.call([self.python, *arguments], cwd=ROOT, env=self._variables())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The same in the background; the caller collects what it printed."""
        return subprocess.Popen(
            [self.python, *arguments],
            cwd=ROOT,
            env=self._variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _variables(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {**os.environ, "PATH": path, "VIRTUAL_ENV": str(self.folder)}


def full(python: Interpreter, extras: str) -> Environment:
    """`.venv`: torch, the package as it stands in this folder, and its `extras`."""
    with _prepared(python, ROOT / ".venv", extras) as make:
        if make:
            constraints = make.borrow_torch(python) or make.install_torch()
            what = f".[{extras}]"
            make.pip(f"installing the package ({extras})", "-c", constraints, "-e", what)
    return Environment(ROOT / ".venv")


def torch_free(python: Interpreter) -> Environment:
    """`.venv-3.12` or the like: what the torch-free half of the package and its tests need."""
    folder = ROOT / f".venv-{python.name}"
    with _prepared(python, folder, "light") as make:
        if make:
            needed = _torch_free_requirements()
            make.pip("installing without torch", "-c", "constraints.txt", *needed)
            make.pip("installing the package", "--no-deps", "-e", ".")
    return Environment(folder)


def _torch_free_requirements() -> list[str]:
    import tomllib  # Python 3.11: known to be there once an interpreter was chosen

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    tools = [r for r in extras["dev"] if _name(r) in TEST_TOOLS] + extras["media"]
    return [r for r in project["dependencies"] if _name(r) not in NEEDS_TORCH] + tools


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9-]", requirement, maxsplit=1)[0]


# ------------------------------------------------------------------------------------- making


@contextlib.contextmanager
def _prepared(python: Interpreter, folder: Path, contents: str) -> Iterator[_Maker | None]:
    """A maker if `folder` lacks `contents`, else None. What was made is recorded at the end."""
    with _only_one():
        record = folder / "made-for.json"
        wanted = {
            "python": python.dotted,
            "root": str(ROOT),
            "inputs": _inputs(),
            "has": contents,
        }
        found = json.loads(record.read_text()) if record.exists() else {}
        maker = _Maker(folder)
        if not maker.is_whole(with_torch=contents != "light"):
            found = {}
        if found in [{**wanted, "has": enough} for enough in _that_include(contents)]:
            yield None
            return
        if any(found.get(key) != wanted[key] for key in ("python", "root")):
            maker.create(python)
        record.unlink(missing_ok=True)
        yield maker
        record.write_text(json.dumps(wanted, indent=1) + "\n")


def _that_include(contents: str) -> tuple[str, ...]:
    """`contents`, and the larger sets of extras that will do as well."""
    growing = ("demo", "dev", "test")
    return growing[growing.index(contents) :] if contents in growing else (contents,)


def _inputs() -> str:
    digest = hashlib.sha256(os.environ.get("AMAGO_TORCH_INDEX", "").encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """Two commands started at once in this folder set it up one after the other."""
    handle = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up in this folder")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class _Maker:
    """Fills one environment folder; the output of every step goes to `setup.log` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "setup.log"
        self.python = folder / "bin" / "python"

    def is_whole(self, with_torch: bool) -> bool:
        """Whether its Python still runs, and still finds the torch it was given."""
        found = probe(self.python) if self.python.exists() else None
        return found is not None and (found.torch is not None or not with_torch)

    def create(self, python: Interpreter) -> None:
        """An empty environment, in place of any there was."""
        python.require_venv()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self._step(
            f"creating {self.folder.name} (Python {python.dotted})",
            [python.path, "-m", "venv", self.folder],
        )

    def borrow_torch(self, python: Interpreter) -> str | None:
        """Use the torch that `python` has, if it will do; returns the pins without torch's.

        Its folder is appended to the search path: what `.venv` has itself comes first.
        """
        if python.torch is None or python.torch.version < TORCH_AT_LEAST:
            return None
        say(f"using the torch that is installed: {python.torch}")
        site = next(self.folder.glob("lib/python3*/site-packages"))
        (site / "borrowed_torch.pth").write_text(f"{python.torch.folder}\n")
        pins = self.folder / "constraints.txt"
        lines = (ROOT / "constraints.txt").read_text().splitlines(keepends=True)
        pins.write_text("".join(line for line in lines if _name(line) != "torch"))
        return str(pins)

    def install_torch(self) -> str:
        """Install the pinned torch, before anything that would choose another build of it."""
        lines = (ROOT / "constraints.txt").read_text().splitlines()
        pin = next(line for line in lines if _name(line) == "torch")
        index = os.environ.get("AMAGO_TORCH_INDEX")
        self.pip(f"installing {pin}", *(["--index-url", index] if index else []), pin)
        return "constraints.txt"

    def pip(self, title: str, *arguments: str) -> None:
        """Run `pip install`, quietly and independent of a user's own pip habits."""
        # Compiling every file of every package takes longer than compiling those that are used.
        self._step(title, [self.python, "-m", "pip", "install", "--no-compile", *arguments])

    def _step(self, title: str, command: list[str | Path]) -> None:
        say(title)
        variables = {**os.environ, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        variables.pop("PYTHONPATH", None)
        with self.log.open("a") as log:
            log.write(f"\n$ {' '.join(map(str, command))}\n")
            log.flush()
            process = subprocess.Popen(
                command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            while True:
                try:
                    status = process.wait(timeout=HEARTBEAT_S)
                    break
                except subprocess.TimeoutExpired:
                    say(f"... still {title}")
        if status != 0:
            raise SetupError(self._explanation(title))

    def _explanation(self, title: str) -> str:
        text = self.log.read_text(errors="replace")
        tail = "\n".join(f"    {line}" for line in text.splitlines()[-15:])
        return f"{title} failed.{_hint(text)} The end of {self.log.relative_to(ROOT)}:\n{tail}"


def _hint(log: str) -> str:
    """What to do, where the log of a failed step shows it."""
    if "No space left on device" in log:
        return " The disk is full."
    if shutil.which("cc") is None and re.search(
        r"\b(gcc|g\+\+|cc|clang)'? (failed|not found)", log
    ):
        return (
            " A package had to be built and there is no C compiler: "
            "apt install build-essential python3-dev"
        )
    if "No matching distribution found for torch" in log:
        return " AMAGO_TORCH_INDEX names the package index that torch is taken from."
    return ""
