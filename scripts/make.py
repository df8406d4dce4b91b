"""Sets up a local environment and runs the project's commands in it. Standard library only.

    python3 scripts/make.py TARGET        or, the same:  make TARGET

The environment is `.venv` in the project folder; nothing is installed outside it. A set-up that
is still valid is not repeated.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import environment
import interpreters
from environment import ROOT, Environment, say

TARGETS = {
    "setup": "create .venv with everything that development needs",
    "demo": "train an agent that adapts in context, and show that it does (SEED=n)",
    "check": "style, types, import rules and the fast tests; under two minutes",
    "test": "every test but learning runs; the torch-free half on every Python found",
    "test-light": "the torch-free half on every Python found",
    "bench": "measure the speed of everything, beside what the machine can do",
    "clean": "remove environments, caches and builds; outputs of runs stay",
}
SETTINGS = """settings (environment variables):
  SEED                    seed of the demo
  AMAGO_PYTHON            the Python that .venv is built on, 3.11 to 3.13 (default: this one)
  AMAGO_TORCH_INDEX       package index that torch is installed from (default: pip's own)
  AMAGO_REQUIRE_BROWSERS  1: tests of the page fail where there is no browser, and are not skipped
"""

FAST_TESTS = ("tests/unit", "tests/shape", "tests/contract", "tests/structure")
TORCH_FREE_TESTS = (
    "tests/unit/core",
    "tests/unit/dashboard",
    "tests/unit/envs",
    "tests/unit/envs_builtin",
    "tests/unit/test_hindsight.py",
    "tests/unit/tracking",
)
LINT_IMPORTS = "from importlinter.cli import lint_imports_command as lint; lint()"
ONE_TEST_LIMIT_S = 600  # a test that hangs ends with a traceback
MAX_PROCESSES = 4


def main() -> int:
    """Run one target; returns the exit status of what it ran."""
    parser = argparse.ArgumentParser(
        prog="make",
        description="\n".join(f"  {name:12s}{what}" for name, what in TARGETS.items()),
        epilog=SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", choices=TARGETS, metavar="TARGET")
    target = parser.parse_args().target
    try:
        return RUN[target]()
    except interpreters.SetupError as error:
        print(f"make {target}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


# ------------------------------------------------------------------------------------ targets


def setup() -> int:
    """Create `.venv`, or find it ready."""
    say(f"ready: {_development().python.relative_to(ROOT)}")
    return 0


def demo() -> int:
    """Set up what the demo needs, and run it."""
    env = environment.full(interpreters.chosen(ROOT), "demo")
    seed = os.environ.get("SEED")
    return env.run("-m", "amago", "demo", *(["--seed", seed] if seed else []))


def check() -> int:
    """Everything that reads the code, and the fast tests."""
    env = _development()
    # The slowest reader of all: beside the others and the tests, which do not keep every core busy.
    types = env.start("-m", "pyright", "--pythonpath", str(env.python))
    readers = {
        "ruff check": ("-m", "ruff", "check", "--quiet", "."),
        "ruff format": ("-m", "ruff", "format", "--check", "."),
        "import rules": ("-c", LINT_IMPORTS, "--no-logo", "--no-cache"),
    }
    failed = [name for name, command in readers.items() if env.run(*command, title=name) != 0]
    env.run("scripts/sizes.py", title="long files and functions (places to look, not failures)")
    status = env.run(*_pytest(FAST_TESTS, "not slow and not learning"), title="fast tests")
    say("pyright")
    print(types.communicate()[0], end="")
    if types.returncode != 0:
        failed.append("pyright")
    return _report(status or (1 if failed else 0), failed)


def test() -> int:
    """The torch-free half on the other Pythons, then everything on this one."""
    python = interpreters.chosen(ROOT)
    env = environment.full(python, "test")
    failed = _torch_free_half(exclude=python.version[:2])
    if failed:
        say(f"failed so far: {', '.join(failed)}")
    status = env.run(*_pytest(("tests",), "not learning"), title="tests")
    return _report(status or (1 if failed else 0), failed)


def test_light() -> int:
    """The torch-free half on every Python found."""
    failed = _torch_free_half()
    return _report(1 if failed else 0, failed)


def bench() -> int:
    """The suite of `amago bench`, then the older scripts about single parts."""
    env = environment.full(interpreters.chosen(ROOT), "test")
    statuses = [env.run("-m", "amago", "bench", title="the suite")]
    for script in sorted((ROOT / "benchmarks").glob("bench_*.py")):
        statuses.append(env.run(str(script), title=script.stem))
    return max(statuses)


def clean() -> int:
    """Remove what `make` made; `demo/` and other outputs stay."""
    patterns = (".venv*", "*.egg-info", ".*_cache", ".hypothesis", "build", "*/**/__pycache__")
    made = [path for pattern in patterns for path in ROOT.glob(pattern)]
    for path in filter(Path.exists, made):
        shutil.rmtree(path)
    return 0


# -------------------------------------------------------------------------------------- parts


def _development() -> Environment:
    return environment.full(interpreters.chosen(ROOT), "dev")


def _torch_free_half(exclude: tuple[int, ...] | None = None) -> list[str]:
    """Run it on each supported Python; returns the names of those it failed on."""
    failed = []
    for version, python in interpreters.by_version().items():
        if version == exclude:
            continue
        if not python.can_venv:
            say(f"Python {python.name}: left out, it cannot create environments")
            continue
        env = environment.torch_free(python)
        title = f"the torch-free half on Python {python.dotted}"
        if env.run(*_pytest(TORCH_FREE_TESTS, "not slow and not learning"), title=title) != 0:
            failed.append(title)
    return failed


def _pytest(folders: tuple[str, ...], marks: str) -> list[str]:
    there = [folder for folder in folders if (ROOT / folder).exists()]
    processes = str(min(os.cpu_count() or 1, MAX_PROCESSES))
    spread = ["-n", processes, "--dist", "worksteal", f"--timeout={ONE_TEST_LIMIT_S}"]
    return ["-m", "pytest", "-q", "-m", marks, *spread, *there]


def _report(status: int, failed: list[str]) -> int:
    if failed:
        print(f"FAILED: {', '.join(failed)} (see above)", file=sys.stderr)
    return status


RUN = {
    "setup": setup,
    "demo": demo,
    "check": check,
    "test": test,
    "test-light": test_light,
    "bench": bench,
    "clean": clean,
}

if __name__ == "__main__":
    sys.exit(main())
