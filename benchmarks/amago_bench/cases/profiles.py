"""What an update, or acting, is made of: the share of its time of each kind of operation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from amago_bench.cases import rollouts, train
from amago_bench.cases.rollouts import EPISODE, Rollout
from amago_bench.cases.train import TRAININGS, Training
from amago_bench.registry import Case, Context, Work
from amago_bench.watch import Watch

ROLLOUTS = {
    "cartpole_ff": Rollout(rollouts.FF, 24, "sync", rollouts.cartpole, 7200, memory=64),
    "lunar_tf": Rollout(rollouts.LUNAR, 24, "sync", rollouts.lunar, EPISODE * 24),
    "batched_world": Rollout(
        rollouts.SMALL_TF, 1024, "already_vectorized", rollouts.batched_world, 40 * 1024, memory=64
    ),
}


def _shares(run: Callable[[Watch], float], watch: Watch) -> float:
    """Time `run`, then note what the kinds of operations take of that time when it is run again.

    "the rest" is the interpreter, the environments, the recording.
    """
    from amago_bench.operations import OperationClock

    units = run(watch)
    with OperationClock() as clock:
        again = run(watch.another())
    per_unit = {kind: seconds / again for kind, seconds in clock.spent.items()}
    for kind, seconds in per_unit.items():
        watch.note(kind, seconds * units / watch.wall_s)
    watch.note("the rest", 1.0 - sum(per_unit.values()) * units / watch.wall_s)
    return units


@contextmanager
def _prepare_update(training: Training, context: Context) -> Iterator[Work]:
    training = train.quick(training) if context.quick else training
    with train.updates(context, training) as update:

        def run(watch: Watch) -> float:
            with watch:
                for _ in range(training.updates):
                    update()
            return training.updates

        yield Work(partial(_shares, run), warmup=2)


@contextmanager
def _prepare_rollout(rollout: Rollout, context: Context) -> Iterator[Work]:
    rollout = rollouts.quick(rollout) if context.quick else rollout
    with rollouts.acting(context, rollout) as run:
        yield Work(partial(_shares, run), warmup=2)


def _cases(how: str, unit: str, prepare: Any, of: dict[str, Any]) -> Iterator[Case]:
    for name, what in of.items():
        says = f"{how}/{name}: shares of its time by kind of operation"
        yield Case(f"profile/{how}/{name}", says, unit, partial(prepare, what))


CASES = [
    *_cases("train", "update", _prepare_update, TRAININGS),
    *_cases("rollout", "frame", _prepare_rollout, ROLLOUTS),
]
