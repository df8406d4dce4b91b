"""Updates against the length of what they look back on, and the same on a GPU's own terms."""

from dataclasses import replace
from functools import partial

from amago_bench.cases.train import LUNAR, Training, prepare_update
from amago_bench.registry import Case

SMALL = replace(LUNAR, layers=1, width=64, tstep_hidden=64, tstep_out=64, heads_hidden=64, heads=4)

CASES = [
    Case(
        f"scaling/context/{length}",
        f"update: 1 x {length}, Transformer 1 x 64",
        "update",
        partial(prepare_update, Training(SMALL, 1, (length - 1,), max(1, 512 // length))),
        curve="context of an update",
        size=length,
    )
    for length in (16, 64, 256, 1024, 2048, 4096, 8192)
]
