"""The command line: which cases, which packages, where the numbers go."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from amago_bench import curves, machine, regress, report, stats
from amago_bench.registry import all_cases, select
from amago_bench.runner import Options, Package, Suite

RESULTS = Path(__file__).resolve().parents[1] / "results"
"""Of a checkout; an installed package has no such folder."""
QUICK_REPEATS, REPEATS = 2, 7


class UsageError(Exception):
    """A command line that cannot be followed; the message says what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything that `amago bench` takes."""
    add = parser.add_argument
    add("cases", nargs="*", metavar="CASE", help="name, first part of names, or pattern")
    add("--list", action="store_true", help="print the cases and stop")
    add(
        "--package-path",
        action="append",
        default=[],
        metavar="[NAME=]PATH",
        help="folder that contains an `amago/` to measure; repeat it to compare with the first",
    )
    add(
        "--python",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="interpreter that runs the package of that name",
    )
    add("--threads", type=int, default=os.cpu_count(), help="default: one for each core")
    add("--repeats", type=int, help=f"of each case (default {REPEATS})")
    add("--seeds", type=int, nargs="+", default=[0], help="for cases that train")
    add("--quick", action="store_true", help="tiny sizes: whether it runs, not how fast")
    add("--out", type=Path, metavar="FILE.json", help="where the numbers go (see benchmarks/)")
    add("--table", type=Path, metavar="FILE.md", help="write the table there too")
    add("--plots", type=Path, metavar="FOLDER", help="draw cost against size there")
    add("--compare", type=Path, metavar="FILE.json", help="exit 1 if a case got slower")
    add(
        "--tolerance",
        type=float,
        default=regress.TOLERANCE,
        help="for --compare: allowed growth of a cost (default %(default)s)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m amago_bench`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="amago bench", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Measure; 0 if all went well, 1 if a case failed or got slower, 2 for a wrong command."""
    try:
        with _ended_by_sigterm():
            return _run(args)
    except (UsageError, regress.NotComparable, curves.NoMatplotlib) as error:
        print(f"amago bench: {error}", file=sys.stderr)
        return 2


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the program as an exception does: children and their folders go with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(args: argparse.Namespace) -> int:
    cases = all_cases()
    try:
        chosen = select(args.cases, cases)
    except KeyError as error:
        raise UsageError(error.args[0]) from None
    if args.list:
        for case in chosen if args.cases else cases.values():
            print(f"{case.name:36s} {case.says}{' (slow)' if case.is_slow else ''}")
        return 0
    stored = _read(args.compare) if args.compare else None
    packages = parse_packages(args.package_path, args.python)
    repeats = args.repeats or (QUICK_REPEATS if args.quick else REPEATS)
    options = Options(args.threads, repeats, args.quick, tuple(args.seeds))
    out = args.out or (RESULTS / "suite.json" if not args.cases and not args.quick else None)
    measured = _measure(chosen, packages, options, save=partial(_save, out))
    _show(measured, args)
    failed = _failures(measured)
    slower = regress.slower(measured, stored, args.tolerance) if stored else []
    for line in [*failed, *slower]:
        print(line, file=sys.stderr)
    return 1 if failed or slower else 0


def _measure(
    chosen: list[Any],
    packages: list[Package],
    options: Options,
    save: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """A report of the cases; `save` is given what there is of it after each of them."""
    result: dict[str, Any] = {
        "machine": machine.facts(options.threads),
        "packages": [_describe(package) for package in packages],
        "options": {
            "threads": options.threads,
            "repeats": options.repeats,
            "quick": options.quick,
            "seeds": list(options.seeds),
        },
        "cases": {},
    }
    with Suite(packages, options, say=_progress) as suite:
        for case in chosen:
            measured = {"name": case.name} | suite.measure(case)
            result["cases"][case.name] = measured
            _progress("")
            print("\n".join(report.lines(measured)), flush=True)
            speeds = stats.medians([done["machine"] for done in result["cases"].values()])
            load = [round(load, 2) for load in os.getloadavg()]
            result["machine"] |= {"speeds": speeds, "load_average_after": load}
            save(result)
    return result


def _save(out: Path | None, measured: dict[str, Any]) -> None:
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished = out.with_suffix(".part")
        unfinished.write_text(json.dumps(measured, indent=1) + "\n")
        unfinished.replace(out)


def _show(measured: dict[str, Any], args: argparse.Namespace) -> None:
    body = [row for result in measured["cases"].values() for row in report.rows(result)]
    table = report.markdown(report.HEADER, body)
    print(table)
    print(report.machine_lines(measured["machine"]["speeds"], machine.SPEEDS))
    print("\n".join(curves.describe(measured)))
    if args.table:
        args.table.write_text(table + "\n")
    if args.plots:
        for file in curves.plot(measured, args.plots):
            print(f"plot: {file}")


def _failures(measured: dict[str, Any]) -> list[str]:
    return [
        f"{name}, {package}: {numbers['failed']}"
        for name, result in measured["cases"].items()
        for package, numbers in result["packages"].items()
        if "failed" in numbers
    ]


def parse_packages(paths: Sequence[str], interpreters: Sequence[str]) -> list[Package]:
    """What `--package-path` and `--python` say; without either, the `amago` that Python finds.

    Raises:
        UsageError: a folder without an `amago/`, a name twice, an interpreter of no package.
    """
    pythons = dict(_split(text, "--python") for text in interpreters)
    packages = []
    for text in paths:
        name, _, path = text.rpartition("=")
        folder = Path(path)
        if not (folder / "amago" / "__init__.py").is_file():
            raise UsageError(
                f"--package-path {text}: there is no amago/__init__.py in {folder}. Give the "
                f"folder that contains the package's own."
            )
        name = name or folder.resolve().name
        packages.append(Package(name, folder.resolve(), pythons.pop(name, sys.executable)))
    if not packages:
        # Its folder is named to the child, which is not started where this command was.
        packages = [Package("amago", _found(), pythons.pop("amago", sys.executable))]
    names = [package.name for package in packages]
    if len(set(names)) < len(names):
        raise UsageError(f"two packages are called alike ({', '.join(names)}): give NAME=PATH.")
    if pythons:
        raise UsageError(f"--python {next(iter(pythons))}=...: no package is called so.")
    return packages


def _split(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{option} {text}: write NAME=FILE.")
    return name, value


def _describe(package: Package) -> dict[str, Any]:
    """Name and origin of a package, without its place on this machine."""
    commit = _git(package.path, "rev-parse", "--short", "HEAD")
    changed = _git(package.path, "status", "--porcelain", "--", "amago")
    return {"name": package.name, "commit": commit, "dirty": bool(changed) if commit else None}


def _found() -> Path:
    from importlib.util import find_spec

    spec = find_spec("amago")
    if spec is None or spec.origin is None:
        raise UsageError("there is no `amago` to measure: give its folder as --package-path.")
    return Path(spec.origin).resolve().parents[1]


def _git(folder: Path | None, *command: str) -> str | None:
    if folder is None or not (folder / ".git").exists():
        return None
    done = subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"--compare {path}: {error}") from None


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{line}")
        sys.stderr.flush()
