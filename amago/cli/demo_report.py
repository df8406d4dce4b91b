"""What the demo reports: success by attempt with 95 % intervals, as a table, a figure, a file.

Axes: `R` rollouts, `K` attempts in each.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amago.core.errors import MissingExtraError

_Z95 = 1.959964


@dataclass(frozen=True)
class Estimate:
    """An estimate and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Result:
    """How one policy did in `rollouts` rollouts of the same lakes.

    Attributes:
        attempts: success rate of each attempt, Wilson intervals.
        gain: last attempt minus first, paired by rollout.
    """

    rollouts: int
    attempts: list[Estimate]
    gain: Estimate

    @classmethod
    def of(cls, success: np.ndarray) -> "Result":
        """Result of a table of successes, bool `[R, K]`."""
        rollouts = len(success)
        attempts = [wilson(int(wins), rollouts) for wins in success.sum(axis=0)]
        return cls(rollouts, attempts, paired_gain(success[:, 0], success[:, -1]))


def wilson(successes: int, trials: int) -> Estimate:
    """Success rate with its Wilson score interval.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    rate = successes / trials
    z2 = _Z95**2 / trials
    centre = (rate + z2 / 2) / (1 + z2)
    half = _Z95 * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials)) / (1 + z2)
    return Estimate(rate, centre - half, centre + half)


def paired_gain(first: np.ndarray, last: np.ndarray) -> Estimate:
    """Mean of `last - first` over rollouts, with its normal interval. Both bool `[R]`."""
    difference = last.astype(float) - first.astype(float)
    half = _Z95 * float(difference.std(ddof=1)) / math.sqrt(len(difference))
    mean = float(difference.mean())
    return Estimate(mean, mean - half, mean + half)


def table(results: Mapping[str, Result]) -> list[str]:
    """Lines of text: a row for each attempt and the gain, a column for each policy."""
    header = " " * 12 + "".join(f"  {name:<18}" for name in results)
    attempts = zip(*(result.attempts for result in results.values()), strict=True)
    rows = {f"attempt {i}": row for i, row in enumerate(attempts, start=1)}
    rows["last - first"] = tuple(result.gain for result in results.values())
    lines = [f"{name:<12}" + "".join(f"  {e!s:<18}" for e in row) for name, row in rows.items()]
    return [line.rstrip() for line in (header, *lines)]


def write_summary(path: Path, results: Mapping[str, Result], **facts: Any) -> None:
    """Write everything known about the demo as JSON."""
    evaluation = {name: asdict(result) for name, result in results.items()}
    text = json.dumps({**facts, "evaluation": evaluation}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def write_figure(
    path: Path, results: Mapping[str, Result], curve: list[dict[str, Any]], title: str
) -> None:
    """Draw success by attempt for each policy, and the learning curve.

    Args:
        curve: one entry per evaluation during training: `{"frames": int, "success": [K]}`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "demo", "the figure of the demo") from error
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    by_attempt, learning = figure.subplots(1, 2, sharey=True)
    _draw_attempts(by_attempt, results)
    _draw_curve(learning, curve)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)


def _draw_attempts(axes: Any, results: Mapping[str, Result]) -> None:
    for name, result in results.items():
        attempts = range(1, len(result.attempts) + 1)
        means = np.array([e.mean for e in result.attempts])
        errors = np.array([[e.mean - e.low, e.high - e.mean] for e in result.attempts]).T
        axes.errorbar(attempts, means, yerr=errors, marker="o", capsize=3, label=name)
    rollouts = next(iter(results.values())).rollouts
    axes.set(
        title=f"Lakes never seen (n = {rollouts}, 95 % intervals)",
        xlabel="attempt at the same lake",
        ylabel="success",
        ylim=(0, 1.02),
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="best")
    axes.grid(alpha=0.3)


def _draw_curve(axes: Any, curve: list[dict[str, Any]]) -> None:
    frames = [point["frames"] for point in curve]
    for i in range(len(curve[0]["success"])):
        success = [point["success"][i] for point in curve]
        axes.plot(frames, success, marker=".", label=f"attempt {i + 1}")
    axes.set(title="During training", xlabel="environment frames")
    axes.legend(loc="best")
    axes.grid(alpha=0.3)
