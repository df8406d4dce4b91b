"""Around `learn`: one live learner in a run folder, signals, and how the record says it ended."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING

from amago.checkpoint.lock import LearnerLock
from amago.core.errors import ConfigError
from amago.experiment import state
from amago.experiment.space import store_trajectories
from amago.tracking.reader import read_events, read_rows
from amago.training.stop import EXIT_RESUME, StopRequested

if TYPE_CHECKING:
    from amago.experiment.experiment import Experiment


@contextlib.contextmanager
def session(experiment: Experiment) -> Iterator[None]:
    """What `learn` happens in.

    Raises:
        ConfigError: another learner lives in the folder, or the run has finished and was not loaded
            to go on.
        SystemExit: a signal asked the run to stop. It has saved its state; the code is
            `EXIT_RESUME`.
    """
    learns = experiment.role != "collect" and experiment.train_batches_per_epoch > 0
    owns_the_run = learns and experiment.ranks.is_main
    is_new = experiment.epoch == 0 and experiment.grad_update_counter == 0
    if owns_the_run and is_new:
        _refuse_finished(experiment)
    with contextlib.ExitStack() as around:
        around.enter_context(_quick_collections())
        if owns_the_run:
            around.enter_context(_sole_learner(experiment))
        experiment.dataset.on_learning_begins(experiment)
        if experiment.ranks.is_main:
            around.enter_context(experiment.record.learning())
        if learns and is_new and experiment.ckpt_interval:
            # Killed before its first checkpoint, a run has to begin again from what was there.
            state.save(experiment, state.interim_folder(experiment))
        try:
            with experiment.stop.listening():
                yield
        except StopRequested:
            _leave(experiment, saves=learns)


@contextlib.contextmanager
def _quick_collections() -> Iterator[None]:
    """Spare Python's garbage collector what was there before, libraries above all: nothing of it
    becomes garbage meanwhile, and to search it took more time than to record thousands of actors.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def _sole_learner(experiment: Experiment) -> Iterator[None]:
    """Hold the lock of the run's folder, which every save looks at."""
    with LearnerLock(experiment.run_dir) as lock:
        experiment.lock = lock
        try:
            yield
        finally:
            experiment.lock = None


def _leave(experiment: Experiment, saves: bool) -> None:
    """Save what a stopped process must not lose. An abandoned collector just ends."""
    if saves:
        state.save(experiment, state.interim_folder(experiment))
        experiment.console.line(
            "Stopped by a signal; everything is saved. To go on: the same script, with "
            "experiment.resume() between start() and learn()."
        )
    else:
        store_trajectories(experiment)
    if experiment.stop.is_agreed:
        experiment.record.finish("stopped")
        raise SystemExit(EXIT_RESUME)


def _refuse_finished(experiment: Experiment) -> None:
    events = [e for e in read_events(experiment.run_dir) if e["writer"] == "learner"]
    if not events or events[-1].get("status") != "finished":
        return
    trained_steps = max(
        (row.axes.get("gradient_steps", 0) for row in read_rows(experiment.run_dir)), default=0
    )
    if trained_steps > 0:
        raise ConfigError(
            f"the run '{experiment.run_name}' in {experiment.ckpt_base_dir} has already finished "
            f"({trained_steps} gradient steps). To go on with it, raise `epochs` and call "
            f"experiment.resume(), or experiment.load_checkpoint(epoch), before "
            f"experiment.learn(); to start afresh, choose another run_name or remove "
            f"{experiment.run_dir}."
        )
