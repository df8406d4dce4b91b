"""Legacy shelf: helpers that users' scripts import from here.

The library itself imports nothing from this file. What has a home elsewhere is only re-exported.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from amago.checkpoint.weights import load_policy
from amago.core import config
from amago.core.errors import AmagoWarning, CheckpointError, amago_warning
from amago.rl.masking import masked_mean
from amago.training.distributed import mean_over_processes as avg_over_accelerate
from amago.training.distributed import sum_over_processes as sum_over_accelerate
from amago.training.optimizers import AdamWRel, get_constant_schedule_with_warmup

__all__ = [
    "AdamWRel",
    "AmagoWarning",
    "amago_warning",
    "avg_over_accelerate",
    "call_async_env",
    "count_params",
    "get_constant_schedule_with_warmup",
    "get_grad_norm",
    "gin_as_wandb_config",
    "masked_avg",
    "retry_load_checkpoint",
    "split_batch",
    "split_dict",
    "stack_list_array_dicts",
    "sum_over_accelerate",
]


def masked_avg(tensor: Tensor, mask: Tensor) -> Tensor:
    """Mean of `tensor` where `mask` is true: see `amago.rl.masking.masked_mean`."""
    return masked_mean(tensor, mask)


def stack_list_array_dicts(
    list_: list[dict[str, np.ndarray]], axis: int = 0, cat: bool = False
) -> dict[str, np.ndarray]:
    """A list of dicts of arrays, as one dict: stacked along a new axis, or joined along `axis`."""
    join = np.concatenate if cat else np.stack
    return {key: join([one[key] for one in list_], axis=axis) for key in list_[0]}


def split_dict(dict_: dict[str, np.ndarray], axis: int = 0) -> list[dict[str, np.ndarray]]:
    """One dict per index of `axis`, which stays, with length 1 (inverse of joining along it)."""
    columns = {key: split_batch(array, axis) for key, array in dict_.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def split_batch(arr: np.ndarray, axis: int) -> list[np.ndarray]:
    """One array per index of `axis`, which stays, with length 1."""
    return np.split(arr, arr.shape[axis], axis=axis)


def call_async_env(env: Any, method_name: str, *args: Any, **kwargs: Any) -> Any:
    """What each parallel environment's method (or attribute) `method_name` returns."""
    env.call_async(method_name, *args, **kwargs)
    return env.call_wait()


def count_params(model: nn.Module) -> int:
    """How many numbers of the model are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def get_grad_norm(model: nn.Module) -> float:
    """L2 norm of the gradient of all parameters; 0 without gradients."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return float(nn.utils.get_total_norm(gradients)) if gradients else 0.0


def gin_as_wandb_config() -> dict[str, Any]:
    """Every gin value in use, flat: plain values as they are, the others as text."""
    plain = (bool, int, float, str, type(None))
    return {k: v if isinstance(v, plain) else str(v) for k, v in config.operative().items()}


def retry_load_checkpoint(
    ckpt_path: str, map_location: Any, tries: int = 10
) -> dict[str, Any] | None:
    """The weights at `ckpt_path`, or None if there is no such file or it stays unreadable.

    Tries again after a second, for files that another program writes in place. Ours are replaced
    at once: `amago.checkpoint.weights.load_policy` needs no second try.
    """
    for attempt in range(tries):
        if not Path(ckpt_path).exists():
            return None
        try:
            return load_policy(ckpt_path, map_location)
        except CheckpointError as error:
            reason = error
        if attempt < tries - 1:
            time.sleep(1.0)
    amago_warning(f"gave up loading '{ckpt_path}' after {tries} tries: {reason}")
    return None
