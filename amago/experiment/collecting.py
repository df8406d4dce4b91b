"""One run, many processes: how collectors and a learner meet, and only on disk.

```text
<run_dir>/
├── learner.lock                     touched by the learner while it lives
├── ckpts/latest/{policy.pt, published.json}    learner -> collectors: weights, how far it is
└── collectors/<id>/heartbeat.json   collector -> everybody: frames, the version it acts with
<dset_root>/<dset_name>/buffer/fifo/ collectors -> learner: trajectories
```

Every file has one writer. Nobody waits for anybody but a learner for its first data, so any of them
may be killed, started again, or added, in any order. The loop does not ask in which role it runs:
it talks to a `Link`, which knows.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from amago.checkpoint import weights
from amago.checkpoint.lock import LearnerLock
from amago.core.config import configurable
from amago.core.errors import CheckpointError, amago_warning
from amago.core.rng import derive_seed
from amago.experiment import heartbeats
from amago.experiment.heartbeats import Collectors, Heartbeat

if TYPE_CHECKING:
    from amago.experiment.assembly import Assembly

STALENESS = "Collector Policy Staleness (versions)"
_POLL_S = 1.0


@dataclass(frozen=True)
class Counts:
    """How far the run is, all its processes together.

    Args:
        frames: by environment name.
    """

    frames: Counter[str]
    epoch: int
    gradient_steps: int


def make_link(experiment: Assembly) -> Link:
    """The link of this process. A collective call in a collector of several processes."""
    return CollectorLink(experiment) if experiment.role == "collect" else Link(experiment)


class Link:
    """The link of a process that learns, or that does everything: it listens to collectors.

    Attributes:
        seed: everything random in this process follows from it.
        writer: whose record this process writes.
        evaluation_writer: the same for what it logs outside of `learn`.
        folder: where this process keeps files of its own.
        is_abandoned: there is nobody left to work for. The same in all processes of a launch.
    """

    writer = "learner"
    evaluation_writer = "evaluation"
    is_abandoned = False

    def __init__(self, experiment: Assembly) -> None:
        self._experiment = experiment
        self.folder = Path(experiment.run_dir)
        self.collectors = Collectors(experiment.run_dir)

    @property
    def seed(self) -> int:
        return self._experiment.run_seed

    def session(self) -> contextlib.AbstractContextManager[None]:
        """Around `learn`."""
        return contextlib.nullcontext()

    def on_step(self) -> None:
        """After every step of any environments."""

    def on_collected(self) -> None:
        """At the end of each collection phase."""

    def load_latest(self) -> None:
        """Put the newest published weights into the policy; warns if there are none."""
        experiment = self._experiment
        try:
            latest = weights.fetch_latest(experiment.ckpt_dir, experiment.DEVICE)
        except CheckpointError as error:
            amago_warning(f"The latest policy was not loaded: {error}")
        else:
            self._load(latest)

    def _load(self, latest: Mapping) -> None:
        self._experiment.console.line("Loading latest policy....")
        self._experiment.policy.load_state_dict(latest, strict=True)

    def counts(self, own: Mapping[str, int], epoch: int, gradient_steps: int) -> Counts:
        """The x-axes of a row.

        Args:
            own: frames of this launch's own environments, by environment name.
            epoch, gradient_steps: of this process.
        """
        return Counts(Counter(own) + self.collectors.frames(), epoch, gradient_steps)

    def metrics(self) -> dict[str, int]:
        """What the learner knows about its collectors; nothing while none is alive."""
        self.collectors.refresh()
        versions = self.collectors.live_versions()
        published = weights.read_published(self._experiment.ckpt_dir)
        if not versions or published is None:
            return {}
        return {STALENESS: max(0, published.version - min(versions))}


@configurable(module="amago.experiment.collecting")
class CollectorLink(Link):
    """The link of a collector: it says what it does, reads weights, and notices when it is alone.

    A collector is somebody new at every start. Its name is in its random streams, so that several
    with one seed never collect the same episodes.

    Args:
        patience_s: a collector that has seen a learner alive ends when none was for so long.
            One that never saw any goes on: the learner may start later.
        beat_every_s: seconds between two heartbeats while it acts.
        clock: seconds, never going back.

    Attributes:
        group: name of the collector; its processes, if it is several, add their rank.
    """

    def __init__(
        self,
        experiment: Assembly,
        patience_s: float = 1800.0,
        beat_every_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(experiment)
        ranks = experiment.ranks
        self.group: str = ranks.broadcast(heartbeats.new_id())
        self.id = heartbeats.rank_id(self.group, ranks.rank)
        self.writer = f"collector-{self.id}"
        self.evaluation_writer = f"evaluation-{self.id}"
        self.folder = heartbeats.folder(experiment.run_dir, self.id)
        self._patience_s = patience_s
        self._beat_every_s = beat_every_s
        self._clock = clock
        self._next_beat_s = float("inf")  # silent outside of a session
        self._beat_number = 0
        self._episodes: Counter[str] = Counter()
        self._learner = weights.Published(version=0)
        self._has_warned: set[str] = set()

    @property
    def seed(self) -> int:
        return derive_seed(self._experiment.run_seed, "collector", self.group)

    # ------------------------------------------------------------------------- speaking

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """A first heartbeat, a first look for the learner, and a heartbeat that says good-bye."""
        self._beat()
        self._look_for_learner()
        try:
            yield
        finally:
            self._beat(ended=True)
            self._next_beat_s = float("inf")

    def on_step(self) -> None:
        """A heartbeat if one is due, and a look for the learner."""
        if self._clock() >= self._next_beat_s:
            self._beat()
            if self._experiment.ranks.world_size == 1:  # several have to agree, between phases
                self._look_for_learner()

    def on_collected(self) -> None:
        """Count the finished episodes; a heartbeat, and a look for the learner."""
        for history in self._experiment.train_envs.statistics.returns:
            self._episodes.update({name: len(scores) for name, scores in history.data.items()})
        self._beat()
        self._look_for_learner()

    def _beat(self, ended: bool = False) -> None:
        self._next_beat_s = self._clock() + self._beat_every_s
        self._beat_number += 1
        frames: Counter[str] = Counter()
        for counts in self._experiment.train_envs.statistics.frames_by_env_name:
            frames.update(counts)
        heartbeat = Heartbeat(
            id=self.id,
            beat=self._beat_number,
            ended=ended,
            frames=dict(frames),
            episodes=dict(self._episodes),
            policy_version=self._latest.version,
        )
        try:
            heartbeats.write_heartbeat(self._experiment.run_dir, heartbeat)
        except OSError as error:  # collecting goes on; the next beat tells what this one did not
            self._warn_once("beat", f"the heartbeat in {self.folder} was not written: {error}.")

    def _warn_once(self, subject: str, message: str) -> None:
        if subject not in self._has_warned:
            self._has_warned.add(subject)
            amago_warning(message)

    # ------------------------------------------------------------------------ listening

    @cached_property
    def _latest(self) -> weights.LatestWeights:
        return weights.LatestWeights(self._experiment.ckpt_dir)

    def load_latest(self) -> None:
        """Put newly published weights into the policy. It acts as it is while there are none."""
        path = weights.latest_path(self._experiment.ckpt_dir)
        if not path.exists():
            self._warn_once(
                "nothing published",
                f"The latest policy was not loaded: no learner has published '{path}' yet. "
                f"Collecting with the weights there are.",
            )
            return
        try:
            latest = self._latest.fetch_if_new(self._experiment.DEVICE)
        except CheckpointError as error:
            amago_warning(f"The latest policy was not loaded: {error}")
            return
        if latest is not None:
            self._load(latest)

    def counts(self, own: Mapping[str, int], epoch: int, gradient_steps: int) -> Counts:
        """The x-axes of a row: every collector's frames and, as far as published, the learner's.

        The epochs of a collector are not those of the run: the learner's count.
        """
        self.collectors.refresh()
        now, before = weights.read_published(self._experiment.ckpt_dir), self._learner
        if now is not None:  # the greatest ever seen: a resumed learner may have gone back
            self._learner = weights.Published(
                version=now.version,
                epoch=max(now.epoch, before.epoch),
                gradient_steps=max(now.gradient_steps, before.gradient_steps),
                frames=dict(Counter(now.frames) | Counter(before.frames)),
            )
        learner = self._learner
        others = self.collectors.frames(without=self.group)
        frames = Counter(own) + others + Counter(learner.frames)
        return Counts(frames, learner.epoch, learner.gradient_steps)

    def metrics(self) -> dict[str, int]:
        """Nothing: the learner reports about its collectors."""
        return {}

    # --------------------------------------------------------------------- being needed

    @cached_property
    def _watch(self) -> LearnerWatch:
        run_dir, ckpt_dir = self._experiment.run_dir, self._experiment.ckpt_dir
        return LearnerWatch(
            [LearnerLock(run_dir).path, weights.latest_path(ckpt_dir)], clock=self._clock
        )

    def _look_for_learner(self) -> None:
        silence = self._experiment.ranks.broadcast(self._watch.silence_s())
        if silence > self._patience_s and not self.is_abandoned:
            self.is_abandoned = True
            self._experiment.console.warn(
                f"no learner has been alive in '{self._experiment.run_dir}' for {silence:.0f} "
                f"seconds: this collector stops. Start one with --mode learn, then this again; "
                f"CollectorLink.patience_s is how long it waits."
            )


class LearnerWatch:
    """Tells whether a learner is alive by what it does: it touches its lock, it publishes.

    Only changes count, on the clock of this process: neither a lock that a killed learner left
    behind nor the clock of another machine can mislead it.
    """

    def __init__(self, paths: list[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._marks = {path: weights.file_mark(path) for path in paths}
        self._clock = clock
        self._alive_s: float | None = None

    def silence_s(self) -> float:
        """Looks, and returns the seconds since the last sign of life; 0 if there never was one."""
        for path, before in self._marks.items():
            mark = weights.file_mark(path)
            if mark != before:
                self._marks[path] = mark
                if mark is not None:  # a lock that is given back is no sign of life
                    self._alive_s = self._clock()
        return 0.0 if self._alive_s is None else self._clock() - self._alive_s


def wait_for_data(
    experiment: Assembly,
    should_stop: Callable[[], bool] = lambda: False,
    wait: Callable[[float], object] = time.sleep,
) -> bool:
    """In the role "learn", wait until collectors have left enough data; else return at once.

    Returns:
        Whether the dataset is ready. False in the role "learn" means that `should_stop` said so.
    """
    dataset, ranks = experiment.dataset, experiment.ranks
    if experiment.role != "learn":
        return dataset.ready_for_training
    has_said = False
    while not (is_ready := ranks.broadcast(dataset.ready_for_training)):
        if ranks.broadcast(should_stop()):
            break
        if not has_said:
            has_said = True
            experiment.console.line(f"Waiting for data in {dataset.get_description()} ...")
        wait(_POLL_S)
        dataset.on_end_of_collection(experiment)  # this is how every dataset looks for what is new
    return is_ready
