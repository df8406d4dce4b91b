"""Optimisers and learning-rate schedules."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from amago.core.config import REQUIRED, configurable
from amago.core.errors import ConfigError, amago_warning

_FUSED_DEVICES = ("cpu", "cuda")


class _UncompiledAdamW(AdamW):
    """torch's AdamW, without the marks that tell torch's compiler to leave it alone.

    The first call of a marked method imports the compiler: 80 MB and seconds, in every process that
    trains. Nothing here compiles a step.
    """

    add_param_group = inspect.unwrap(AdamW.add_param_group)
    load_state_dict = inspect.unwrap(AdamW.load_state_dict)
    state_dict = inspect.unwrap(AdamW.state_dict)
    zero_grad = inspect.unwrap(AdamW.zero_grad)
    # What is unwrapped here also turned gradients off.
    step = torch.no_grad()(inspect.unwrap(AdamW.step))


def adamw(params: Iterable[Parameter], lr: float, weight_decay: float) -> AdamW:
    """AdamW, as one fused kernel where the parameters allow it.

    Args:
        params: already on the device they will be trained on.

    Source: Loshchilov & Hutter (2019), "Decoupled Weight Decay Regularization".
    """
    params = list(params)
    fused = all(p.device.type in _FUSED_DEVICES and p.is_floating_point() for p in params)
    return _UncompiledAdamW(params, lr=lr, weight_decay=weight_decay, fused=fused)


@configurable(module="amago.utils")
class AdamWRel(_UncompiledAdamW):
    """AdamW whose step counters return to zero every `reset_interval` updates.

    The moments stay; only the bias correction starts afresh, which shrinks the updates that
    follow a change of the objective (e.g. of the target network).

    Args:
        reset_interval: updates between two resets, at least 1.

    Source: Ellis et al. (2024), "Adam on Local Time", algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        reset_interval: int = REQUIRED,  # pyright: ignore[reportArgumentType]
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0,
        amsgrad: bool = False,
    ) -> None:
        if reset_interval < 1:
            raise ConfigError(f"AdamWRel: reset_interval is {reset_interval}; it must be >= 1.")
        super().__init__(
            params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad
        )
        self.reset_interval = reset_interval
        amago_warning(
            f"AdamWRel resets Adam's step counters every {reset_interval} updates; set that "
            f"interval together with the learning rate."
        )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; the counters are reset before it where that is due."""
        for group in self.param_groups:
            # Kept in the group, so that it is part of `state_dict()`.
            since_reset = group.get("steps_since_reset", 0)
            if since_reset == self.reset_interval:
                self._reset_steps(group["params"])
                since_reset = 0
            group["steps_since_reset"] = since_reset + 1
        return super().step(closure)

    def _reset_steps(self, params: Iterable[Tensor]) -> None:
        for param in params:
            if param in self.state:
                self.state[param]["step"].zero_()


def get_constant_schedule_with_warmup(
    optimizer: Optimizer, num_warmup_steps: int, last_epoch: int = -1
) -> LambdaLR:
    """The optimiser's rate, after a linear rise from 0 over `num_warmup_steps` updates.

    The first update of a warm-up uses rate 0: it moves the moments, not the weights.

    Args:
        last_epoch: updates done before, less one, when a schedule is continued.
    """

    def fraction(update: int) -> float:
        return update / num_warmup_steps if update < num_warmup_steps else 1.0

    return LambdaLR(optimizer, fraction, last_epoch)
