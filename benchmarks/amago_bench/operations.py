"""How long each kind of torch's operations takes, without keeping what they leave in memory.

Not torch's profiler: its records lie in memory between the tensors, which an update then gets new
from the system at every turn, and what only moves memory seems to take three times as long.
"""

import time
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

KINDS = {
    "products": "mm addmm addmv bmm baddbmm mv dot linear matmul",
    "attention": "scaled_dot_product",
    "activations": "leaky_relu relu gelu silu tanh sigmoid softplus",
    "normalisation": "native_layer_norm",
    "random": "random bernoulli uniform normal exponential",
    "reductions": "sum mean max min amax amin argmax logsumexp log_softmax softmax vector_norm "
    "any all",
    "copies": "copy to_copy cat stack clone gather scatter index fill zero where masked",
    "arithmetic": "mul add sub div neg pow sqrt exp log clamp ge gt le lt eq ne lerp remainder",
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


class OperationClock(TorchDispatchMode):
    """Adds up, inside of `with clock:`, the seconds of every operation of this thread.

    Each counts with the few microseconds that it takes to call it from here.

    Attributes:
        spent: seconds by kind.
    """

    def __init__(self) -> None:
        super().__init__()
        self.spent = dict.fromkeys([*KINDS, "other"], 0.0)
        self._kinds: dict[Any, str] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        began = time.perf_counter()
        result = func(*args, **(kwargs or {}))
        elapsed = time.perf_counter() - began
        if func not in self._kinds:
            self._kinds[func] = kind_of(func._schema.name)
        self.spent[self._kinds[func]] += elapsed
        return result
