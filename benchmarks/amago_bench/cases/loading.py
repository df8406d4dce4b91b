"""Batches from stored trajectories: choosing, reading, cutting, padding. No loader workers."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from amago_bench.cases.train import QUICK
from amago_bench.registry import Case, Context, Work
from amago_bench.watch import Watch, rss_mb

PIXELS = (64, 64, 3)
SEQ_LEN, BATCH = 128, 24


@contextmanager
def _prepare(
    files: int, transitions: int, obs: int | tuple[int, ...], batches: int, context: Context
) -> Iterator[Work]:
    if context.quick:
        files, transitions, batches = min(files, 20), min(transitions, 40), 2
    from amago.loading import DiskTrajDataset
    from amago_bench import buffers, experiments

    experiments.bind(QUICK)  # the policy is not used

    def reading(name: str, files: int) -> AbstractContextManager[Any]:
        buffers.fill(context.folder, name, files, transitions, obs)
        return experiments.experiment(
            context,
            QUICK,
            SEQ_LEN,
            dataset=DiskTrajDataset(str(context.folder), name, dset_max_size=10 * files),
            batch_size=BATCH,
            train_batches_per_epoch=batches,
            train_timesteps_per_epoch=0,
            has_dset_edit_rights=False,
        )

    with reading("small", 2) as experiment:
        _read(experiment)
        before = rss_mb()
    with reading("buffer", files) as experiment:

        def once(watch: Watch) -> float:
            with watch:
                count = _read(experiment)
            watch.note("resident_mb_beyond_2_files", rss_mb() - before)
            return count

        yield Work(once, warmup=2)


def _read(experiment: Any) -> int:
    """An epoch's batches; returns how many sequences they held."""
    loader = experiment.init_dloaders() or experiment.train_dloader
    return sum(len(batch.rl2s) for batch in loader)


def _case(
    name: str,
    says: str,
    files: int,
    transitions: int,
    obs: int | tuple[int, ...] = 8,
    batches: int = 20,
    curve: str | None = None,
    size: float | None = None,
    is_slow: bool = False,
) -> Case:
    return Case(
        f"loading/{name}",
        f"{says}; windows of at most {SEQ_LEN}",
        "sequence",
        partial(_prepare, files, transitions, obs, batches),
        bound="python",
        curve=curve,
        size=size,
        is_slow=is_slow,
    )


CASES = [
    *(
        _case(
            f"states/{n}",
            f"trajectories of {n} transitions, 8 floats each",
            files=200,
            transitions=n,
            curve="stored length, states",
            size=n,
        )
        for n in (10, 128, 1000, 10_000)
    ),
    *(
        _case(
            f"pixels/{n}",
            f"trajectories of {n} transitions, 64 x 64 x 3 bytes each",
            files=50,
            transitions=n,
            obs=PIXELS,
            batches=3,
            curve="stored length, pixels",
            size=n,
        )
        for n in (10, 128, 1000)
    ),
    *(
        _case(
            f"buffer/{n}",
            f"{n} trajectories of 128 transitions",
            files=n,
            transitions=128,
            curve="stored trajectories",
            size=n,
            is_slow=n > 100_000,
        )
        for n in (100, 1000, 10_000, 100_000, 1_000_000)
    ),
]
