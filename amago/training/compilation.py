"""`torch.compile` for the update: fewer, larger kernels, after a first update that takes minutes.

It is meant for GPUs, where a small model spends most of an update launching kernels. On a CPU
products of matrices take the time.
"""

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import nn

_CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
_BACKENDS = ("aot_eager",)
"""What is not a mode of torch.compile's own compiler but a backend: it traces, and runs eagerly."""


def compile_update(policy: nn.Module, how: bool | str) -> None:
    """Compile what `policy(batch, log_step)` does, at its first call. Acting stays as it is.

    What was compiled is kept between runs, below `$XDG_CACHE_HOME/amago`, unless
    `TORCHINDUCTOR_CACHE_DIR` says where.

    Args:
        how: False, True, a mode of `torch.compile` ("reduce-overhead" replays CUDA graphs), or
            "aot_eager", which finds out whether a model can be compiled.
    """
    if not how:
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault(_CACHE_VARIABLE, str(cache / "amago" / "torchinductor"))
    if how in _BACKENDS:
        policy.compile(backend=how)
    else:
        policy.compile(mode=how if isinstance(how, str) else "default")


def as_written(on: bool) -> AbstractContextManager[None]:
    """Context in which nothing compiled is used, if `on`: for what happens too rarely to pay."""
    if not on or "torch._dynamo" not in sys.modules:  # then nothing is compiled
        return nullcontext()
    return torch.compiler.set_stance("force_eager")
