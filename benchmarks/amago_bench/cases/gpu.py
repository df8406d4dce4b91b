"""Updates on a GPU against its own bfloat16 products. NOT YET RUN: no GPU was at hand.

Two models at contexts of 128 to 8192; `mfu` is the share of the GPU's speed at one large bfloat16
product, measured beside each update. A profiler trace counts what makes the host wait.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from amago_bench.cases.train import LUNAR, QUICK, Training, updates
from amago_bench.registry import Case, Context, Unsupported, Work
from amago_bench.watch import Watch

MODELS = {
    "3.6M": replace(LUNAR, layers=3, width=256),
    "60M": replace(LUNAR, layers=12, width=640, tstep_hidden=640, tstep_out=640, heads=10),
}
CONTEXTS = (128, 256, 512, 1024, 2048, 8192)
TOKENS = 24 * 256
"""Timesteps of a batch: the longer, the fewer sequences."""
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaMemcpyDtoH", "aten::item")
"""What makes the host wait for the GPU, as a profiler names it."""


@contextmanager
def _prepare(model: str, length: int, how: str, context: Context) -> Iterator[Work]:
    import torch

    if not torch.cuda.is_available():
        raise Unsupported("torch sees no GPU")
    shape = QUICK if context.quick else MODELS[model]
    training = Training(shape, max(1, TOKENS // length), (length - 1,), 10)
    fields = {"mixed_precision": "bf16"} | ({"compile": True} if how == "compiled" else {})
    if how == "compiled":
        from amago_bench.experiments import needs_field

        needs_field("compile", "this package does not compile updates")
    with updates(context, training, **fields) as update:
        product = _large_product()

        def once(watch: Watch) -> float:
            compared = watch.another()
            with compared:
                tflop = product()
            with watch:
                for _ in range(training.updates):
                    update()
            speed = tflop / compared.wall_s
            done = training.gflop * training.updates / 1e3 / watch.wall_s
            watch.note("mfu", done / speed)
            watch.note("bf16_tflop_per_s", speed)
            watch.note("gpu_peak_mb", torch.cuda.max_memory_allocated() / 2**20)
            watch.note("host_waits_per_update", _host_waits(update, 3))
            return training.updates

        yield Work(once, warmup=3)


def _large_product() -> Callable[[], float]:
    """Ten products of 8192 x 8192 matrices; returns their TFLOP."""
    import torch

    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))

    def run() -> float:
        for _ in range(10):
            torch.mm(a, b)
        return 10 * 2 * 8192**3 / 1e12

    return run


def _host_waits(update: Callable[[], object], count: int) -> float:
    """How often an update makes the host wait."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as trace:
        for _ in range(count):
            update()
    # The profiler itself synchronises once, at its end.
    waits = sum(e.count for e in trace.key_averages() if any(w in e.key for w in WAITS))
    return max(0, waits - 1) / count


CASES = [
    Case(
        f"gpu/{how}/{model}/{length}",
        f"GPU: {how} update in bfloat16, {model} parameters, context {length}",
        "update",
        partial(_prepare, model, length, how),
        bound="gemm_bf16",
        curve=f"context, GPU, {model}, {how}",
        size=length,
    )
    for how in ("eager", "compiled")
    for model in MODELS
    for length in CONTEXTS
]
