"""What a run is made of besides its settings: made when first needed, one of each."""

import os
import secrets
from contextlib import AbstractContextManager
from dataclasses import fields
from functools import cached_property
from typing import Any

import torch

from amago.agent import BaseAgent
from amago.experiment.settings import Settings
from amago.tracking.console import Console
from amago.training.distributed import Ranks
from amago.training.schedule import Role, Schedule
from amago.training.stop import StopSignal


class Parts(Settings):
    """The processes, the random streams, the console and the schedule of a run.

    Attributes:
        policy_aclr: the agent behind the wrapper that distributes it.
        role: this process's half of the run, if it is split: see `cli_utils.switch_async_mode`.
    """

    policy_aclr: Any
    role: Role = "both"  # no field of the dataclass: not a setting, but which process this is

    @cached_property
    def ranks(self) -> Ranks:
        """This process among the others, and its device. Made when first needed."""
        return Ranks(
            mixed_precision=self.mixed_precision, batches_per_update=self.batches_per_update
        )

    @cached_property
    def run_seed(self) -> int:
        """`seed`, or one that was drawn; everything random in the run derives from it."""
        return self.ranks.broadcast(secrets.randbits(32)) if self.seed is None else self.seed

    @cached_property
    def console(self) -> Console:
        """Where progress and results are printed, if `verbose`."""
        return Console(verbose=self.verbose and self.ranks.is_main)

    @cached_property
    def stop(self) -> StopSignal:
        """Whether a signal has asked the run to save and leave."""
        return StopSignal(self.ranks)

    @property
    def schedule(self) -> Schedule:
        """Which epoch evaluates, collects, learns, saves: follows the settings as they are now."""
        return Schedule(**{field.name: getattr(self, field.name) for field in fields(Schedule)})

    @property
    def accelerator(self) -> Any:
        """The `accelerate.Accelerator` behind `ranks`."""
        return self.ranks.accelerator

    @property
    def DEVICE(self) -> torch.device:
        return self.ranks.device

    @property
    def policy(self) -> BaseAgent:
        """The agent itself, without the wrapper that distributes it."""
        return self.ranks.unwrap(self.policy_aclr)

    @property
    def run_dir(self) -> str:
        """The folder of this run."""
        return os.path.join(self.ckpt_base_dir, self.run_name)

    def caster(self) -> AbstractContextManager[Any]:
        """The precision in which the network runs when it acts."""
        return self.ranks.autocast()
