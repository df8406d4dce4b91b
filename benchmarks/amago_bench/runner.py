"""Runs cases: a child process for each package, alive together and asked in turn.

Noise of the machine then hits all of them alike, and the ratio of two answers of one round is worth
more than either answer.
"""

import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amago_bench import machine, stats
from amago_bench.registry import Case

ANSWER_LIMIT_S = 1800.0
"""A child that is silent for longer has failed."""


@dataclass(frozen=True)
class Package:
    """An `amago` to measure.

    Attributes:
        name: what the table calls it.
        path: the folder that contains `amago/`; None for the one that Python finds by itself.
        python: the interpreter that runs it, for a package that needs an environment of its own.
    """

    name: str
    path: Path | None
    python: str = sys.executable


@dataclass(frozen=True)
class Options:
    """How to measure."""

    threads: int
    repeats: int
    quick: bool
    seeds: tuple[int, ...] = (0,)


class ChildFailed(Exception):
    """A child process ended or fell silent; the message is what it said last."""


class Child:
    """A case, prepared in a process of its own. Close it, or use it in a `with`."""

    def __init__(self, case: Case, package: Package, options: Options) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="amago-bench-")
        self._stderr = open(Path(self._folder.name) / "stderr", "w+")  # noqa: SIM115
        order = {
            "case": case.name,
            "package_path": str(package.path) if package.path else None,
            "threads": options.threads,
            "quick": options.quick,
            "seeds": options.seeds,
        }
        self._process = subprocess.Popen(
            [package.python, "-m", "amago_bench.child", json.dumps(order)],
            cwd=self._folder.name,  # or `amago` could be found where the command was given
            env=_environment(package, options.threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def hear(self) -> dict[str, Any]:
        """What it says next, decoded.

        Raises:
            ChildFailed: nothing, or nothing for `ANSWER_LIMIT_S` seconds.
        """
        stdout = self._process.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            if not selector.select(ANSWER_LIMIT_S):
                raise ChildFailed(f"no answer within {ANSWER_LIMIT_S:.0f} s. {self._last_words()}")
        line = stdout.readline()
        if not line:
            status = self._process.wait()
            raise ChildFailed(f"it ended with status {status}. {self._last_words()}")
        return json.loads(line)

    def repeat(self) -> dict[str, Any]:
        """Ask for one more repeat."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("again\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # `hear` says how it ended
        return self.hear()

    def close(self) -> None:
        """Let it clean up and end; kill it if it does not."""
        try:
            self._process.communicate("\n", timeout=10)
        except (subprocess.TimeoutExpired, BrokenPipeError, ValueError):
            self._process.kill()
            self._process.wait()
        self._stderr.close()
        self._folder.cleanup()

    def _last_words(self) -> str:
        self._stderr.flush()
        text = Path(self._stderr.name).read_text(errors="replace")
        return text[-2000:].strip()


def _environment(package: Package, threads: int) -> dict[str, str]:
    beside = str(Path(__file__).resolve().parents[1])
    first = [str(package.path.resolve())] if package.path else []
    path = os.pathsep.join([*first, beside, *filter(None, [os.environ.get("PYTHONPATH")])])
    count = str(threads)
    return {
        **os.environ,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "WANDB_MODE": "disabled",
    }


class Suite:
    """Measures cases one after the other. Use it in a `with`."""

    def __init__(
        self,
        packages: Sequence[Package],
        options: Options,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.packages = packages
        self.options = options
        self._say = say

    def __enter__(self) -> "Suite":
        self._machine = Child(machine.BOUNDS, Package("machine", None), self.options)
        self._machine.hear()
        return self

    def __exit__(self, *error: object) -> None:
        self._machine.close()

    def measure(self, case: Case) -> dict[str, Any]:
        """Everything about one case, ready for JSON."""
        result: dict[str, Any] = {"says": case.says, "unit": case.unit, "bound": case.bound}
        if case.curve is not None:
            result |= {"curve": case.curve, "size": case.size, "at_once": case.at_once}
        answers, result["packages"], rounds = self._rounds(case)
        result["machine"] = stats.summaries([a["extra"] for a in rounds])
        for name, given in answers.items():
            result["packages"][name] |= stats.of_package(given)
        stats.add_ratios(result["packages"], answers, first=self.packages[0].name)
        stats.add_bounds(result, answers, rounds)
        return result

    def _rounds(
        self, case: Case
    ) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any], list[dict[str, Any]]]:
        """Answers of each package; what is known of each; answers of the machine."""
        known: dict[str, Any] = {}
        rounds: list[dict[str, Any]] = []
        with ExitStack() as stack:
            children = {}
            for package in self.packages:
                self._say(f"{case.name}: preparing {package.name}")
                child = stack.enter_context(Child(case, package, self.options))
                known[package.name] = _first_words(child)
                if "facts" in known[package.name]:
                    children[package.name] = child
            answers: dict[str, list[dict[str, Any]]] = {name: [] for name in children}
            repeats = min(self.options.repeats, case.repeats or self.options.repeats)
            for i in range(repeats if children else 0):
                self._say(f"{case.name}: {i + 1} of {repeats}")
                rounds.append(self._machine.repeat())
                for name in list(children):
                    answer = _answer(children[name])
                    if "failed" in answer:
                        known[name] = answer
                        del children[name], answers[name]
                    else:
                        answers[name].append(answer)
        return answers, known, rounds


def _first_words(child: Child) -> dict[str, Any]:
    try:
        said = child.hear()
    except ChildFailed as failure:
        return {"failed": str(failure)}
    return {"facts": said["ready"]} if "ready" in said else said


def _answer(child: Child) -> dict[str, Any]:
    try:
        return child.repeat()
    except ChildFailed as failure:
        return {"failed": str(failure)}
