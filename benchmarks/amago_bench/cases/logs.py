"""One row of metrics: what a log step costs, by how many environments there are names for."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from amago_bench.cases.train import QUICK
from amago_bench.registry import Case, Context, Work
from amago_bench.watch import Watch

SCALARS = 300
ROWS = 50


@contextmanager
def _prepare(names: int, context: Context) -> Iterator[Work]:
    from amago.envs import AMAGOEnv
    from amago.loading import DiskTrajDataset
    from amago_bench import experiments
    from amago_bench.worlds import World

    names = min(names, 3) if context.quick else names

    class ManyNames(AMAGOEnv):
        """Another task with every episode, and episodes of one step."""

        episode = -1

        @property
        def env_name(self) -> str:
            return f"task{self.episode % names:04d}"

        def reset(self, *args: Any, **kwargs: Any) -> Any:
            self.episode += 1
            return super().reset(*args, **kwargs)

    experiments.bind(QUICK)
    dataset = DiskTrajDataset(str(context.folder), "buffer", dset_max_size=10 * names)
    started = experiments.experiment(
        context,
        QUICK,
        8,
        dataset=dataset,
        make_env=lambda: ManyNames(World(QUICK.obs, QUICK.actions, episode=1)),
    )
    with started as experiment:
        experiment.policy_aclr.eval()
        experiment.interact(experiment.train_envs, 2 * names)  # frames of every name
        row = {f"Metric {i}": float(i) for i in range(SCALARS)}

        def once(watch: Watch) -> float:
            with watch:
                for _ in range(ROWS):
                    experiment.log(row, key="train")
            return ROWS

        yield Work(once)


CASES = [
    Case(
        f"log/names/{n}",
        f"a row of {SCALARS} scalars, with frames collected in {n} named environments",
        "row",
        partial(_prepare, n),
        bound="python",
        curve="environment names, log",
        size=n,
    )
    for n in (1, 10, 100, 1000)
]
