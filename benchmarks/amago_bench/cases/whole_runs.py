"""Small jobs from the start of the interpreter to the end, and the time to a score."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from amago_bench.cases.start import run_python
from amago_bench.registry import Case, Context, Work
from amago_bench.watch import Watch


@contextmanager
def _prepare(job: str, context: Context) -> Iterator[Work]:
    """A fresh process for each seed; the unit is a seed."""

    def once(watch: Watch) -> float:
        scores = []
        with watch:
            for seed in context.seeds:
                call = f"from amago_bench.jobs import main; main({job!r}, {seed}, {context.quick})"
                scores.append(json.loads(run_python(context, "-c", call).splitlines()[-1]))
        for name in scores[0]:
            watch.note(name, sum(score[name] for score in scores) / len(scores))
        return len(context.seeds)

    yield Work(once, warmup=0)


CASES = [
    Case(
        "e2e/cartpole_ff",
        "3 epochs of 8 actors x 300 frames and 30 updates, in a process of its own",
        "run",
        partial(_prepare, "cartpole_ff"),
        repeats=3,
    ),
    Case(
        "e2e/cartpole_score",
        "CartPole until a validation mean of 400; wall time a seed (--seeds)",
        "run",
        partial(_prepare, "cartpole_score"),
        is_slow=True,
        repeats=1,
    ),
    Case(
        "e2e/tmaze_score",
        "T-Maze of 20 cells until 95 % success in validation; wall time a seed (--seeds)",
        "run",
        partial(_prepare, "tmaze_score"),
        is_slow=True,
        repeats=1,
    ),
]
