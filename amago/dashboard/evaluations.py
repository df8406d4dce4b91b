"""What the names of evaluation metrics say: which environment, which metric, which attempt.

`val/` and `test/` name their metrics `Average Total Return in {name}`, `Bottom Quintile Total
Return in {name}` and `Average {metric} in {name}`. An env name may contain " in " itself, so the
names known from the axes `total_frames-{name}` are tried first, the longest first.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from amago.dashboard.ordering import natural

RETURN = "Average Total Return"
BOTTOM = "Bottom Quintile Total Return"

_IN = " in "
_FRAMES_OF = "total_frames-"
_ATTEMPT_WORD = re.compile(r"(?i)\b(?:attempt|trial|episode|ep|rollout|try|round)s?[ _.#-]*(\d+)")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Grid:
    """The metrics of a section by environment.

    Attributes:
        envs: environment names, in natural order.
        metrics: the return, its bottom quintile, then the others in natural order, each as it
            stands before " in {name}".
        names: full metric name (with its section) of each `(env, metric)` there is.
    """

    envs: list[str]
    metrics: list[str]
    names: dict[tuple[str, str], str]


@dataclass(frozen=True)
class Family:
    """Metrics that differ in the number of an attempt only.

    Attributes:
        title: e.g. "Trial {i} Success"; the word "Average" is left out.
        attempts: the numbers, ascending; at least two.
        names: for each environment, the full metric name of each attempt; None where missing.
    """

    title: str
    attempts: list[int]
    names: dict[str, list[str | None]] = field(default_factory=dict)


def env_names(axes: Iterable[str]) -> list[str]:
    """The environments that have an axis of their own."""
    return [axis.removeprefix(_FRAMES_OF) for axis in axes if axis.startswith(_FRAMES_OF)]


def parse(names: Iterable[str], section: str, known_envs: Iterable[str]) -> Grid:
    """The metrics of `section` among `names` that belong to one environment, as a grid."""
    prefix = f"{section}/"
    bodies = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    known = set(known_envs) | set(_envs_with_a_return(bodies))
    found: dict[tuple[str, str], str] = {}
    for body in bodies:
        parts = _split(body, sorted(known, key=len, reverse=True))
        if parts is not None:
            metric, env = parts
            found[env, metric] = prefix + body
    envs = sorted({env for env, _ in found}, key=natural)
    metrics = sorted({metric for _, metric in found}, key=_return_first)
    return Grid(envs, metrics, found)


def families(grid: Grid) -> list[Family]:
    """The families of attempts in `grid`, by title."""
    members: dict[str, dict[int, dict[str, str]]] = {}
    for (env, metric), name in grid.names.items():
        split = _split_attempt(metric)
        if split is not None:
            title, attempt = split
            members.setdefault(title, {}).setdefault(attempt, {})[env] = name
    found = []
    for title in sorted(members, key=natural):
        by_attempt = members[title]
        attempts = sorted(by_attempt)
        if len(attempts) >= 2:
            envs = [e for e in grid.envs if any(e in by_attempt[i] for i in attempts)]
            names = {env: [by_attempt[i].get(env) for i in attempts] for env in envs}
            found.append(Family(title, attempts, names))
    return found


def _envs_with_a_return(bodies: Iterable[str]) -> Iterable[str]:
    for body in bodies:
        for fixed in (RETURN, BOTTOM):
            if body.startswith(fixed + _IN):
                yield body.removeprefix(fixed + _IN)


def _split(body: str, longest_first: Iterable[str]) -> tuple[str, str] | None:
    """`(metric, env)` of a name without its section; None if it is about no environment."""
    if not body.startswith(("Average ", BOTTOM)):
        return None
    for env in longest_first:
        if body.endswith(_IN + env):
            return body.removesuffix(_IN + env), env
    metric, separator, env = body.partition(_IN)
    return (metric, env) if separator and metric and env else None


def _split_attempt(metric: str) -> tuple[str, int] | None:
    """`(title, attempt)`: the number after a word such as "Episode", else the last number."""
    metric = metric.removeprefix("Average ")
    word = _ATTEMPT_WORD.search(metric)
    numbers = list(_NUMBER.finditer(metric))
    if word is not None:
        start, end = word.span(1)
    elif numbers:
        start, end = numbers[-1].span()
    else:
        return None
    digits = metric[start:end]
    if len(digits) > 9:  # a hash or a date, not an attempt
        return None
    return f"{metric[:start]}{{i}}{metric[end:]}", int(digits)


def _return_first(metric: str) -> tuple[int, object]:
    order = (RETURN, BOTTOM)
    return (order.index(metric), 0) if metric in order else (len(order), natural(metric))
