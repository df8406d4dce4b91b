"""What can be measured, and how a command line chooses among it. Imports nothing heavy."""

import difflib
import fnmatch
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

CASE_MODULES = (
    "train",
    "profiles",
    "rollouts",
    "loading",
    "logs",
    "start",
    "whole_runs",
    "contexts",
    "gpu",
)


class Unsupported(Exception):
    """The package under test lacks what a case needs; the message says what."""


@dataclass
class Context:
    """What a case is told about the run, in the child process."""

    folder: Path
    """Empty, and deleted afterwards."""
    threads: int
    quick: bool
    """Sizes so small that the numbers mean nothing: for tests."""
    seeds: tuple[int, ...] = (0,)


@dataclass
class Work:
    """What is repeated.

    Attributes:
        once: called with a `Watch`; times what counts with `with watch:`, and returns how many
            units that were.
        facts: numbers that do not change between repeats. `gflop` is what a unit needs at least.
        warmup: repeats that are not counted.
    """

    once: Callable[[Any], float]
    facts: dict[str, float] = field(default_factory=dict)
    warmup: int = 1


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        says: one line for `--list`.
        unit: what `Work.once` counts.
        prepare: context manager from `Context` to `Work`. Raises `Unsupported`.
        bound: which of the machine's own speeds this case is compared with (`machine.SPEEDS`).
        curve: name of the plot that this case is a point of.
        size: its position on that plot's axis.
        at_once: the unit is one of `size` that are done together (a frame of many actors), so that
            the plotted cost is that of all.
        is_slow: runs only if nothing faster is meant: see `select`.
        repeats: at most so many; None for what the command line says.
    """

    name: str
    says: str
    unit: str
    prepare: Callable[[Context], AbstractContextManager[Work]]
    bound: str = "gemm_fp32"
    curve: str | None = None
    size: float | None = None
    at_once: bool = False
    is_slow: bool = False
    repeats: int | None = None


def all_cases() -> dict[str, Case]:
    """Every case by its name, in the order of the modules."""
    cases: dict[str, Case] = {}
    for module in CASE_MODULES:
        for case in import_module(f"amago_bench.cases.{module}").CASES:
            if case.name in cases:
                raise ValueError(f"two benchmark cases are called '{case.name}'.")
            cases[case.name] = case
    return cases


def select(wanted: Iterable[str], cases: dict[str, Case]) -> list[Case]:
    """The cases that a command line names; without a name, all but the slow ones.

    Args:
        wanted: names, first parts of names ("train" is every "train/..."), or patterns
            ("train*/lunar_*"). Slow cases are among them only if nothing else is.

    Raises:
        KeyError: nothing is called so; the message says what comes near.
    """
    wanted = list(wanted)
    usual = [case.name for case in cases.values() if not case.is_slow]
    chosen: list[str] = [] if wanted else usual
    for text in wanted:
        matching = [text] if text in cases else [name for name in cases if _matches(text, name)]
        if not matching:
            raise KeyError(_unknown(text, cases))
        chosen += [name for name in matching if not cases[name].is_slow] or matching
    return [cases[name] for name in dict.fromkeys(chosen)]


def _matches(text: str, name: str) -> bool:
    return name.startswith(f"{text.rstrip('/')}/") or fnmatch.fnmatchcase(name, text)


def _unknown(text: str, cases: dict[str, Case]) -> str:
    near = difflib.get_close_matches(text, [*cases, *{name.split("/")[0] for name in cases}], 3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"no benchmark case is called '{text}'.{hint} `--list` shows them all."
