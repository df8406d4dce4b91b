"""How episodes went: returns and special metrics by environment name, and frames taken.

Axes: `N` environments.
"""

import copy
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from amago.envs.histories import ReturnHistory, SpecialMetricHistory
from amago.envs.pool.base import PoolStep


class Statistics(Protocol):
    """How the episodes of `N` environments went, whoever counts them: see `EpisodeStatistics`."""

    @property
    def returns(self) -> list[ReturnHistory]: ...

    @property
    def specials(self) -> list[SpecialMetricHistory]: ...

    @property
    def episodes_finished(self) -> int: ...

    @property
    def frames_by_env_name(self) -> list[Counter[str]]: ...

    @property
    def frames(self) -> list[int]: ...

    def clear(self) -> None: ...

    def restart(self) -> None: ...

    def observe(self, step: PoolStep) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class EpisodeStatistics:
    """Counts frames and collects the results of finished episodes, for each of `N` environments.

    Frames are counted for ever; returns and special metrics until `clear`.
    """

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self._return_so_far = np.zeros(num_envs)
        self._uncounted = np.zeros(num_envs, dtype=np.int64)  # frames of episodes still running
        self._frames_by_name = [Counter[str]() for _ in range(num_envs)]
        self._names = [""] * num_envs
        self.clear()

    def clear(self) -> None:
        """Forget finished episodes. Running ones, and the frame counts, go on."""
        self.returns = [ReturnHistory("") for _ in range(self.num_envs)]
        self.specials = [SpecialMetricHistory("") for _ in range(self.num_envs)]
        self.episodes_finished = 0

    def restart(self) -> None:
        """Forget the running episodes too: the environments are about to be reset."""
        self._count_running_episodes()
        self._return_so_far[:] = 0.0

    def observe(self, step: PoolStep) -> None:
        """Take in one step of all environments. Of an episode that a fault cut off, only the frames
        count.
        """
        if step.interrupted.any():
            self._count_running_episodes(step.interrupted)
            self._return_so_far[step.interrupted] = 0.0
        self._return_so_far += np.where(step.stepped, step.reward, 0.0)
        self._uncounted += step.stepped
        if step.env_names != self._names:
            self._meet(step.env_names)
        for row, metric, value in step.metrics:
            self.specials[row].add_score(step.env_names[row], metric, value)
        rows = np.flatnonzero(step.ended & step.stepped)
        if len(rows):
            self._finish(rows, step.env_names)

    def _finish(self, rows: np.ndarray, names: list[str]) -> None:
        returns, frames = self._return_so_far[rows].tolist(), self._uncounted[rows].tolist()
        for row, score, count in zip(rows.tolist(), returns, frames, strict=True):
            name = names[row]
            self.returns[row].add_score(name, score)
            self._frames_by_name[row][name] += count
        self._return_so_far[rows] = 0.0
        self._uncounted[rows] = 0
        self.episodes_finished += len(rows)

    def _meet(self, names: list[str]) -> None:
        self._names = list(names)
        for counts, name in zip(self._frames_by_name, names, strict=True):
            counts[name] += 0  # from now on every row has its x-axis

    @property
    def frames_by_env_name(self) -> list[Counter[str]]:
        """`N` counters of frames by environment name, running episodes included. A name that was
        met, and not stepped yet, has 0.
        """
        self._count_running_episodes()
        return self._frames_by_name

    @property
    def frames(self) -> list[int]:
        """Frames taken by each of the `N` environments."""
        return [sum(counts.values()) for counts in self.frames_by_env_name]

    def _count_running_episodes(self, rows: np.ndarray | bool = True) -> None:
        for row in np.flatnonzero(rows & (self._uncounted > 0)):
            self._frames_by_name[row][self._names[row]] += int(self._uncounted[row])
            self._uncounted[row] = 0

    def state_dict(self) -> dict[str, Any]:
        """Running and finished episodes. Frames are not in it: whoever saves keeps their sum."""
        return {
            "return_so_far": self._return_so_far.copy(),
            "names": list(self._names),
            "returns": [copy.deepcopy(history.data) for history in self.returns],
            "specials": [copy.deepcopy(history.data) for history in self.specials],
            "episodes_finished": self.episodes_finished,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken; frames are counted from zero. A state of another number of
        environments is left aside: all of its episodes are over.
        """
        if len(state["names"]) != self.num_envs:
            return
        self._return_so_far = state["return_so_far"].copy()
        self._uncounted[:] = 0
        self._frames_by_name = [Counter[str]() for _ in range(self.num_envs)]
        self._names = list(state["names"])
        self.clear()
        for row in range(self.num_envs):
            self.returns[row].data = copy.deepcopy(state["returns"][row])
            self.specials[row].data = copy.deepcopy(state["specials"][row])
        self.episodes_finished = state["episodes_finished"]


Histories = tuple[list[ReturnHistory], list[SpecialMetricHistory]]


def joined(parts: Iterable[Histories]) -> Histories:
    """The histories of several processes as those of one."""
    returns: list[ReturnHistory] = []
    specials: list[SpecialMetricHistory] = []
    for some_returns, some_specials in parts:
        returns.extend(some_returns)
        specials.extend(some_specials)
    return returns, specials


def evaluation_metrics(
    returns: Iterable[ReturnHistory], specials: Iterable[SpecialMetricHistory]
) -> dict[str, float]:
    """What `val/` and `test/` report of finished episodes, by environment name.

    Within a name every episode counts once. The average over all names is the unweighted mean of
    the per-name means. A name whose episodes have not finished gives no entry.
    """
    by_name = _scores(returns)
    metrics: dict[str, float] = {}
    for name, scores in by_name.items():
        metrics[f"Average Total Return in {name}"] = float(np.mean(scores))
        metrics[f"Bottom Quintile Total Return in {name}"] = float(np.percentile(scores, 20))
    for (name, metric), values in _samples(specials).items():
        # An environment's own "Total Return" must not stand where the return does.
        metrics.setdefault(f"Average {metric} in {name}", float(np.mean(values)))
    if by_name:
        means = [np.mean(scores) for scores in by_name.values()]
        metrics["Average Total Return (Across All Env Names)"] = float(np.mean(means))
    return metrics


def episode_metrics(returns: Iterable[ReturnHistory]) -> dict[str, float]:
    """What `val_episodes/` and `test_episodes/` report: how many episodes finished, and their mean
    return, of which there is none if nobody finished.
    """
    scores = [score for some in _scores(returns).values() for score in some]
    metrics: dict[str, float] = {"Episodes Finished": len(scores)}
    if scores:
        metrics["Average Total Return (Across All Episodes)"] = float(np.mean(scores))
    return metrics


def _scores(returns: Iterable[ReturnHistory]) -> dict[str, list[float]]:
    """Returns of episodes by environment name; never an empty list."""
    pooled: dict[str, list[float]] = {}
    for history in returns:
        for name, scores in history.data.items():
            if scores:
                pooled.setdefault(name, []).extend(scores)
    return pooled


def _samples(specials: Iterable[SpecialMetricHistory]) -> dict[tuple[str, str], list[Any]]:
    """Samples by environment name and metric; never an empty list."""
    pooled: dict[tuple[str, str], list[Any]] = {}
    for history in specials:
        for name, metrics in history.data.items():
            for metric, samples in metrics.items():
                if samples:
                    pooled.setdefault((name, metric), []).extend(samples)
    return pooled
