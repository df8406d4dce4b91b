"""How episodes went: returns and special metrics by environment name, and frames taken.

Axes: `N` environments.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from amago.envs.histories import ReturnHistory, SpecialMetricHistory
from amago.envs.pool.base import PoolStep


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
        """Take in one step of all environments."""
        self._return_so_far += np.where(step.stepped, step.reward, 0.0)
        self._uncounted += step.stepped
        self._names = step.env_names
        for row, metric, value in step.metrics:
            self.specials[row].add_score(step.env_names[row], metric, value)
        for row in np.flatnonzero(step.ended & step.stepped):
            self.returns[row].add_score(step.env_names[row], float(self._return_so_far[row]))
            self._return_so_far[row] = 0.0
            self._frames_by_name[row][step.env_names[row]] += int(self._uncounted[row])
            self._uncounted[row] = 0
            self.episodes_finished += 1

    @property
    def frames_by_env_name(self) -> list[Counter[str]]:
        """`N` counters of frames by environment name, running episodes included."""
        self._count_running_episodes()
        return self._frames_by_name

    @property
    def frames(self) -> list[int]:
        """Frames taken by each of the `N` environments."""
        return [sum(counts.values()) for counts in self.frames_by_env_name]

    def _count_running_episodes(self) -> None:
        for row in np.flatnonzero(self._uncounted):
            self._frames_by_name[row][self._names[row]] += int(self._uncounted[row])
        self._uncounted[:] = 0


def evaluation_metrics(
    returns: Iterable[ReturnHistory], specials: Iterable[SpecialMetricHistory]
) -> dict[str, float]:
    """What `val/` and `test/` report of finished episodes, by environment name.

    The average over all names is the unweighted mean of the per-name means. A name whose episodes
    have not finished gives no entry.
    """
    by_name: dict[str, list[float]] = {}
    for history in returns:
        for name, scores in history.data.items():
            by_name.setdefault(name, []).extend(scores)
    metrics: dict[str, float] = {}
    for name, scores in by_name.items():
        metrics[f"Average Total Return in {name}"] = float(np.mean(scores))
        metrics[f"Bottom Quintile Total Return in {name}"] = float(np.percentile(scores, 20))
    for (name, metric), values in _pooled(specials).items():
        metrics[f"Average {metric} in {name}"] = float(np.mean(values))
    if by_name:
        means = [np.mean(scores) for scores in by_name.values()]
        metrics["Average Total Return (Across All Env Names)"] = float(np.mean(means))
    return metrics


def _pooled(specials: Iterable[SpecialMetricHistory]) -> dict[tuple[str, str], list[Any]]:
    pooled: dict[tuple[str, str], list[Any]] = {}
    for history in specials:
        for name, metrics in history.data.items():
            for metric, values in metrics.items():
                pooled.setdefault((name, metric), []).extend(values)
    return pooled
