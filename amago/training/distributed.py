"""One process or many: the only file that speaks to accelerate.

`Ranks` is made once per experiment. With one process it costs next to nothing: no collective call
is made, and a value that would be gathered is handed back as it is. Several processes
(`accelerate launch`) share the gradient (DDP) and average what they report.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from amago.core.errors import ConfigError

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")

_AUTOCAST_DTYPES = {"no": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Ranks:
    """The processes of a run, and everything a learner must do differently when there are many.

    Args:
        mixed_precision: "no", "bf16", or "fp16" (GPUs only).
        batches_per_update: batches whose gradients are averaged into one update. May be
            reassigned.

    Raises:
        ConfigError: a precision that does not exist, or not on this device.
    """

    def __init__(self, mixed_precision: str, batches_per_update: int) -> None:
        if mixed_precision not in _AUTOCAST_DTYPES:
            raise ConfigError(
                f"mixed_precision is '{mixed_precision}'; "
                f"choose from {', '.join(_AUTOCAST_DTYPES)}."
            )
        self.mixed_precision = mixed_precision
        self.batches_per_update = batches_per_update
        self.accelerator = _make_accelerator(mixed_precision, batches_per_update)
        self.rank: int = self.accelerator.process_index
        self.world_size: int = self.accelerator.num_processes
        self.device: torch.device = self.accelerator.device

    @property
    def is_main(self) -> bool:
        """True in the one process that writes checkpoints and logs."""
        return self.rank == 0

    # ------------------------------------------------------------------------------ set-up

    def prepare(self, *objects: Any) -> Any:
        """The same objects, ready for many processes and on this process's device.

        Models become DDP models when there are several processes; a loader deals its batches out
        in turn and moves them to the device. A learning-rate schedule is returned unchanged:
        accelerate would step it once per process.
        """
        prepared = [self._prepare_one(one) for one in objects]
        return tuple(prepared) if len(prepared) > 1 else prepared[0]

    def _prepare_one(self, one: Any) -> Any:
        if isinstance(one, DataLoader):
            return self._prepare_loader(one)
        if isinstance(one, nn.Module) and self.accelerator.distributed_type == "NO":
            # Unless it is told, accelerate asks first whether the model is sharded. The question
            # alone imports sympy and half of `torch.distributed`: 40 MB and seconds.
            return self.accelerator.prepare(one, device_placement=[True])
        if isinstance(one, (nn.Module, Optimizer)):
            return self.accelerator.prepare(one)
        return one

    def _prepare_loader(self, loader: DataLoader) -> DataLoader:
        # Not `Accelerator.prepare`, which keeps every loader it ever saw: there is one per epoch.
        from accelerate.data_loader import prepare_data_loader

        return prepare_data_loader(
            loader,
            self.device,
            num_processes=self.world_size,
            process_index=self.rank,
            put_on_device=True,
            rng_types=["generator"],
            non_blocking=self.device.type == "cuda",
        )

    def unwrap(self, model: nn.Module) -> nn.Module:
        """The module that was given to `prepare`."""
        return model.module if isinstance(model, DistributedDataParallel) else model

    def unwrap_optimizer(self, optimizer: Optimizer) -> Optimizer:
        """The optimiser that was given to `prepare`."""
        from accelerate.optimizer import AcceleratedOptimizer

        return optimizer.optimizer if isinstance(optimizer, AcceleratedOptimizer) else optimizer

    # ------------------------------------------------------------------------ gradient steps

    def autocast(self) -> contextlib.AbstractContextManager:
        """Context in which operations run in the chosen precision."""
        dtype = _AUTOCAST_DTYPES[self.mixed_precision]
        if dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(device_type=self.device.type, dtype=dtype)

    @contextlib.contextmanager
    def accumulate(self, model: Callable[..., Any]) -> Iterator[None]:
        """Around the forward and backward pass of one batch; decides `sync_gradients`.

        A window of `batches_per_update` batches closes early at the end of a loader.
        """
        # accelerate holds this number once per process, for every experiment in it.
        self.accelerator.gradient_accumulation_steps = self.batches_per_update
        with self.accelerator.accumulate(model):
            yield

    @property
    def sync_gradients(self) -> bool:
        """True if the current batch completes an update."""
        return self.accelerator.sync_gradients

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of `loss / batches_per_update`, scaled when training in fp16."""
        self.accelerator.backward(loss)

    def unscale_gradients(self, optimizer: Optimizer) -> None:
        """Remove the fp16 scale from the gradients, so that they can be clipped and logged."""
        self.accelerator.unscale_gradients(optimizer)

    @property
    def scales_loss(self) -> bool:
        """True in fp16: the scaler then skips updates whose gradient overflowed by itself."""
        return self.accelerator.scaler is not None

    @property
    def loss_scale(self) -> float:
        """Factor on gradients that have not been unscaled; 1 unless training in fp16."""
        scaler = self.accelerator.scaler
        return scaler.get_scale() if scaler is not None else 1.0

    def restart_window(self) -> None:
        """Count the batches of an accumulation window from zero again."""
        self.accelerator.step = 0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: the place in the accumulation window, and the state of the
        fp16 scaler, if there is one.
        """
        scaler = self.accelerator.scaler
        return {
            "accumulated_batches": self.accelerator.step,
            "scaler": scaler.state_dict() if scaler is not None else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`; a scaler that only one of the two runs has is left out."""
        self.accelerator.step = state["accumulated_batches"]
        scaler = self.accelerator.scaler
        if scaler is not None and state["scaler"]:
            scaler.load_state_dict(dict(state["scaler"]))

    # ------------------------------------------------------------------------- many processes

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.accelerator.wait_for_everyone()

    def gather(self, value: T) -> list[T]:
        """Each process's value, by rank; in every process."""
        return gather(value)

    def broadcast(self, value: T) -> T:
        """The value that the main process passed; in every process."""
        return gather(value)[0]

    def mean(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Each number averaged over the processes that report it."""
        return mean_over_processes(metrics)

    def sum(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Each number summed over the processes that report it."""
        return sum_over_processes(metrics)


def gather(value: T) -> list[T]:
    """Each process's value, by rank; in every process. A collective call if there are several."""
    if not _are_many():
        return [value]
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, value)
    return gathered


def mean_over_processes(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Each number averaged over the processes that report it (see `sum_over_processes`)."""
    return _reduce(metrics, lambda values: sum(values) / len(values))


def sum_over_processes(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Each number summed over the processes that report it.

    A value that is not a number (text, a histogram) is that of the first process which has it.
    With one process the values come back as they are.
    """
    return _reduce(metrics, sum)


def _reduce(metrics: Mapping[str, Any], combine: Callable[[list[float]], float]) -> dict[str, Any]:
    if not _are_many():
        return dict(metrics)
    rows = gather({k: v.item() if isinstance(v, Tensor) else v for k, v in metrics.items()})
    reduced = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if name in row]
        are_numbers = all(isinstance(value, (int, float, np.number)) for value in values)
        reduced[name] = combine(values) if are_numbers else values[0]
    return reduced


def _are_many() -> bool:
    distributed = torch.distributed
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )


def _make_accelerator(mixed_precision: str, batches_per_update: int) -> "Accelerator":
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState, PartialState

    if mixed_precision == "fp16" and str(PartialState().device) == "cpu":
        raise ConfigError("mixed_precision='fp16' needs a GPU. Use 'bf16' or 'no'.")
    # accelerate fixes one precision per process; a second experiment may want another.
    if AcceleratorState._shared_state.get("_mixed_precision", mixed_precision) != mixed_precision:
        AcceleratorState._reset_state()
    return Accelerator(
        gradient_accumulation_steps=batches_per_update,
        device_placement=True,
        mixed_precision=mixed_precision,
        step_scheduler_with_optimizer=False,  # else warm-up shrinks with more processes
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
