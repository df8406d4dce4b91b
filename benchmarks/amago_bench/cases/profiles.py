"""What an update is made of: the share of its time that each kind of operation takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from amago_bench.cases.train import TRAININGS, Training, quick, updates
from amago_bench.registry import Case, Context, Work
from amago_bench.watch import Watch

KINDS = {
    "products": "mm addmm addmv bmm baddbmm mv dot",
    "attention": "scaled_dot_product",
    "activations": "leaky_relu relu gelu silu tanh sigmoid softplus",
    "normalisation": "native_layer_norm",
    "random": "random bernoulli uniform normal",
    "reductions": "sum mean max min amax amin logsumexp log_softmax softmax vector_norm any all",
    "copies": "copy cat stack clone gather scatter index fill zero where masked",
    "arithmetic": "mul add sub div neg pow sqrt exp log clamp ge gt le lt eq ne lerp",
    "optimizer": "fused_adamw foreach",
}
"""Kinds of operations by the first words of their names."""


def kind_of(operation: str) -> str:
    """The kind of one of torch's operations, "other" if it is none of `KINDS`."""
    name = operation.removeprefix("aten::").removeprefix("linalg_").strip("_") + "_"
    for kind, starts in KINDS.items():
        if any(name.startswith(f"{start}_") for start in starts.split()):
            return kind
    return "other"


@contextmanager
def _prepare(training: Training, context: Context) -> Iterator[Work]:
    from torch.profiler import ProfilerActivity, profile

    training = quick(training) if context.quick else training
    with updates(context, training) as update:

        def once(watch: Watch) -> float:
            with profile(activities=[ProfilerActivity.CPU]) as trace:
                began = time.perf_counter()
                with watch:
                    for _ in range(training.updates):
                        update()
                elapsed = time.perf_counter() - began
            spent = dict.fromkeys([*KINDS, "other"], 0.0)
            for event in trace.key_averages():
                if event.key.startswith("aten::"):
                    spent[kind_of(event.key)] += event.self_cpu_time_total * 1e-6
            spent["python"] = max(0.0, elapsed - sum(spent.values()))
            for kind, seconds in spent.items():
                watch.note(kind, seconds / elapsed)
            return training.updates

        yield Work(once, warmup=2)


CASES = [
    Case(
        f"profile/{name}",
        f"shares of the wall time of train/{name} by kind of operation",
        "update",
        partial(_prepare, training),
        repeats=3,
    )
    for name, training in TRAININGS.items()
]
