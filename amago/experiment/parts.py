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
from amago.training.rng import PhaseRandomness
from amago.training.schedule import Schedule


class Parts(Settings):
    """The processes, the random streams, the console and the schedule of a run.

    Attributes:
        policy_aclr: the agent behind the wrapper that distributes it.
    """

    policy_aclr: Any

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
    def randomness(self) -> PhaseRandomness:
        """One random stream for each phase, so that evaluating does not change training."""
        return PhaseRandomness(self.run_seed, self.ranks.rank, self.DEVICE)

    @cached_property
    def console(self) -> Console:
        """Where progress and results are printed, if `verbose`."""
        return Console(verbose=self.verbose and self.ranks.is_main)

    @property
    def schedule(self) -> Schedule:
        """Which epoch evaluates, collects, learns, saves: follows the settings as they are now."""
        return Schedule(
            **{
                field.name: getattr(self, field.name)
                for field in fields(Schedule)
                if field.name != "role"
            }
        )

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
