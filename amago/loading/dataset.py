"""What a dataset of trajectories owes the training loop.

An item is a pure function of (seed, epoch, index): the batches of a run do not depend on how many
loader workers there are or on what else draws random numbers, and a resumed run goes on with the
batches it would have seen.
"""

import contextlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from amago.core.errors import ConfigError
from amago.core.rng import derive_seed, generator
from amago.loading.batch import RLData


class RLDataset(Dataset, ABC):
    """Base of every dataset. Write `save_new_trajs_to`, `get_description` and
    `sample_random_trajectory`.

    Args:
        dset_name: names its metrics. None takes the name of the class.
    """

    def __init__(self, dset_name: str | None = None) -> None:
        self.dset_name = dset_name or type(self).__name__
        self.configured = False
        self.items_per_epoch = 0
        self.max_seq_len: int | None = None
        self.padded_sampling = "none"
        self.has_edit_rights = False
        self.seed = 0
        self.epoch = 0

    def configure(
        self,
        items_per_epoch: int,
        max_seq_len: int | None,
        padded_sampling: str,
        has_edit_rights: bool,
        seed: int = 0,
    ) -> None:
        """The second half of construction, by whoever trains on the dataset.

        Args:
            items_per_epoch: the length of the dataset.
            max_seq_len: longest sequence, in transitions. None never cuts.
            padded_sampling: see `amago.loading.slicing`.
            has_edit_rights: whether files may be deleted.
        """
        self.items_per_epoch = items_per_epoch
        self.max_seq_len = max_seq_len
        self.padded_sampling = padded_sampling
        self.has_edit_rights = has_edit_rights
        self.seed = seed
        self.configured = True

    def configure_from_experiment(self, experiment: Any) -> None:
        """`configure` with the settings of an experiment."""
        batches = experiment.train_batches_per_epoch * experiment.batch_size
        seed = getattr(experiment, "run_seed", None)
        self.configure(
            items_per_epoch=batches * experiment.accelerator.num_processes,
            max_seq_len=experiment.max_seq_len,
            padded_sampling=experiment.padded_sampling,
            has_edit_rights=experiment.has_dset_edit_rights,
            seed=(getattr(experiment, "seed", None) or 0) if seed is None else seed,
        )

    def check_configured(self) -> None:
        """Raise `ConfigError` before `configure` was called."""
        if not self.configured:
            raise ConfigError(
                f"dataset '{self.dset_name}' is used before it was configured: call "
                "configure_from_experiment(experiment) or configure(...) first"
            )

    def set_epoch(self, epoch: int) -> None:
        """Items are those of `epoch` from now on."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.items_per_epoch

    def item_rng(self, i: int) -> np.random.Generator:
        """A generator for item `i` of this epoch."""
        return generator(self.seed, "item", self.epoch, i)

    def __getitem__(self, i: int) -> RLData:
        """Item `i`: a random trajectory, cut to a random window.

        Python's, numpy's and torch's global generators are seeded for the item, and put back.
        """
        self.check_configured()
        with kept_globals():
            return self._draw_item(i)

    def __getitems__(self, indices: Sequence[int]) -> Sequence[RLData]:
        """The items `indices`: what torch's loader asks for, if it can."""
        if type(self).__getitem__ is not RLDataset.__getitem__:
            return [self[i] for i in indices]
        self.check_configured()
        with kept_globals():
            return [self._draw_item(i) for i in indices]

    def _draw_item(self, i: int) -> RLData:
        """Item `i`, from the global generators, which stay where that leaves them."""
        seed_globals(derive_seed(self.seed, "item", self.epoch, i))
        data = self.sample_random_trajectory()
        if self.max_seq_len is None:
            return data
        return data.random_slice(self.max_seq_len, padded_sampling=self.padded_sampling)

    @property
    @abstractmethod
    def save_new_trajs_to(self) -> str | None:
        """Directory where new trajectories are to be written; None: nowhere."""

    @property
    def ready_for_training(self) -> bool:
        """Whether there is enough to learn from."""
        return self.configured

    def on_learning_begins(self, experiment: Any) -> None:
        """Called before the first epoch of `experiment.learn()`, after a checkpoint was loaded."""
        return

    def on_end_of_collection(self, experiment: Any) -> dict[str, Any]:
        """Called between collecting and learning. Returns metrics."""
        return {}

    def on_checkpoint_saved(self) -> None:
        """Called when what `state_dict` returned last is safe on disk."""
        return

    def make_room(self) -> int:
        """The disk is full: delete what may be deleted. Returns how many files that were."""
        return 0

    def delete(self) -> None:
        """Delete what is stored. Does nothing unless a dataset says otherwise."""

    @abstractmethod
    def get_description(self) -> str:
        """One line for the start-up summary."""

    @abstractmethod
    def sample_random_trajectory(self) -> RLData:
        """A random trajectory, whole. Draw from the global generators (or `item_rng`)."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to hold to go on with the same items."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.epoch = state["epoch"]


class DoNothingDataset(RLDataset):
    """Never ready and stores nothing: an experiment that only acts or evaluates."""

    @property
    def save_new_trajs_to(self) -> None:
        return None

    @property
    def ready_for_training(self) -> bool:
        return False

    def get_description(self) -> str:
        return "no dataset"

    def sample_random_trajectory(self) -> RLData:
        raise ConfigError("DoNothingDataset holds no trajectories to train on")


@contextlib.contextmanager
def kept_globals() -> Iterator[None]:
    """After the block, the global CPU generators are as they were before it."""
    torch_cpu = torch.default_generator
    before = random.getstate(), np.random.get_state(), torch_cpu.get_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch_cpu.set_state(before[2])


def seed_globals(seed: int) -> None:
    """Seed Python's, numpy's and torch's global CPU generators."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
