"""Several datasets sampled as one, by weights that may shift over the epochs."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from amago.core.errors import ConfigError
from amago.core.rng import derive_seed
from amago.loading.batch import RLData
from amago.loading.dataset import RLDataset
from amago.loading.disk import DiskTrajDataset
from amago.loading.rows import BatchRows, Blocks, SchemaMismatchError


class MixtureOfDatasets(RLDataset):
    """Draws each item from one of `datasets`, by weight among those that are ready.

    A member's weight moves linearly from its initial to its final value, beginning with the epoch
    in which it becomes ready; until then it is 0.

    Args:
        datasets: the members. At most one may save new trajectories.
        sampling_weights: the final weights; they sum to 1.
        initial_sampling_weights: likewise. None: members that are ready at the start begin with
            their final weight, later ones with 0.
        smooth_sudden_starts: epochs that the move takes. None jumps to the final weight.

    Raises:
        ConfigError: the weights do not fit, or more than one member saves trajectories.
    """

    def __init__(
        self,
        datasets: list[RLDataset],
        sampling_weights: list[float],
        initial_sampling_weights: list[float] | None = None,
        smooth_sudden_starts: int | None = None,
        dset_name: str | None = None,
    ) -> None:
        super().__init__(dset_name=dset_name)
        _check_weights("sampling_weights", sampling_weights, len(datasets))
        if initial_sampling_weights is not None:
            _check_weights("initial_sampling_weights", initial_sampling_weights, len(datasets))
        savers = [d.dset_name for d in datasets if d.save_new_trajs_to is not None]
        if len(savers) > 1:
            raise ConfigError(
                f"only one dataset of a mixture may save new trajectories; {savers} all do"
            )
        self.datasets = datasets
        self.final_weights = list(sampling_weights)
        self.initial_weights = initial_sampling_weights
        self.smooth_sudden_starts = smooth_sudden_starts
        self.sampling_weights = [0.0] * len(datasets)
        self._is_ready = [False] * len(datasets)
        self._started: list[int | None] = [None] * len(datasets)
        self._ready_at_start = [False] * len(datasets)
        self._draws: Counter[int] = Counter()
        self._blocks = Blocks()

    def configure(
        self,
        items_per_epoch: int,
        max_seq_len: int | None,
        padded_sampling: str,
        has_edit_rights: bool,
        seed: int = 0,
    ) -> None:
        is_first_time = not self.configured
        settings = (items_per_epoch, max_seq_len, padded_sampling, has_edit_rights)
        super().configure(*settings, seed=seed)
        for k, dataset in enumerate(self.datasets):
            dataset.configure(*settings, seed=derive_seed(seed, "member", k))
        if is_first_time:
            self._ready_at_start = [dataset.ready_for_training for dataset in self.datasets]
        self.update_dset_weights(self.epoch)

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        for dataset in self.datasets:
            dataset.set_epoch(epoch)

    @property
    def save_new_trajs_to(self) -> str | None:
        paths = (dataset.save_new_trajs_to for dataset in self.datasets)
        return next((path for path in paths if path is not None), None)

    @property
    def ready_for_training(self) -> bool:
        return self.configured and any(d.ready_for_training for d in self.datasets)

    def get_description(self) -> str:
        members = zip(self.datasets, self.final_weights, strict=True)
        return "; ".join(f"{weight:g} x {d.get_description()}" for d, weight in members)

    # ------------------------------------------------------------------------------- sampling

    def __getitem__(self, i: int) -> RLData:
        """Item `i` of a random member."""
        return self._draw_member(i, self._edges())[i]

    def __getitems__(self, indices: Sequence[int]) -> Sequence[RLData]:
        """The items `indices`, in the memory of one batch if possible."""
        if type(self).__getitem__ is not MixtureOfDatasets.__getitem__:
            return [self[i] for i in indices]
        edges = self._edges()
        members = [self._draw_member(i, edges) for i in indices]
        if all(isinstance(member, DiskTrajDataset) and member.fills_rows for member in members):
            rows = BatchRows(len(indices), self._blocks)
            with contextlib.suppress(SchemaMismatchError):
                for k, (i, member) in enumerate(zip(indices, members, strict=True)):
                    cast(DiskTrajDataset, member).fill_row(rows, k, i)
                return rows
        return [member[i] for i, member in zip(indices, members, strict=True)]

    def _draw_member(self, i: int, edges: np.ndarray) -> RLDataset:
        """The member that item `i` is of."""
        self.check_configured()
        member = self._draw(self.item_rng(i).random(), edges)
        self._draws[member] += 1
        return self.datasets[member]

    def sample_random_trajectory(self) -> RLData:
        """A whole trajectory of a random member. Draws from numpy's global generator."""
        member = self._draw(np.random.random(), self._edges())
        return self.datasets[member].sample_random_trajectory()

    def _edges(self) -> np.ndarray:
        """Where the part of each member ends, of `[0, 1)`."""
        return np.cumsum(self.normalized_weights())

    @staticmethod
    def _draw(uniform: float, edges: np.ndarray) -> int:
        """The member that a number from [0, 1) falls to."""
        return int(edges.searchsorted(uniform * edges[-1], side="right"))

    # -------------------------------------------------------------------------------- weights

    def update_dset_weights(self, epoch: int) -> None:
        """Set the weights for `epoch`, noting which members have become ready."""
        for k, dataset in enumerate(self.datasets):
            self._is_ready[k] = dataset.ready_for_training
            if self._is_ready[k] and self._started[k] is None:
                self._started[k] = epoch
        self.sampling_weights = [self._weight(k, epoch) for k in range(len(self.datasets))]

    def _weight(self, k: int, epoch: int) -> float:
        started, final = self._started[k], self.final_weights[k]
        if started is None or not self._is_ready[k]:
            return 0.0
        if not self.smooth_sudden_starts:
            return final
        initial = self._initial_weight(k)
        moved = (final - initial) / self.smooth_sudden_starts * (epoch - started + 1)
        return min(max(initial + moved, min(initial, final)), max(initial, final))

    def _initial_weight(self, k: int) -> float:
        if self.initial_weights is not None:
            return self.initial_weights[k]
        return self.final_weights[k] if self._ready_at_start[k] else 0.0

    def normalized_weights(self) -> np.ndarray:
        """The weights, summing to 1; equal among the ready ones if those all have weight 0."""
        weights = np.asarray(self.sampling_weights, dtype=np.float64)
        if not weights.any():
            weights = np.asarray(self._is_ready, dtype=np.float64)
        if not weights.any():
            raise ConfigError("no dataset of the mixture is ready for training")
        return weights / weights.sum()

    # ------------------------------------------------------------------------------ per epoch

    def on_end_of_collection(self, experiment: Any) -> dict[str, Any]:
        """Metrics of every member, prefixed with its name, and the weights of this epoch.

        The empirical weight counts the draws of this process: none with loader workers.
        """
        metrics = {
            f"{dataset.dset_name} {name}": value
            for dataset in self.datasets
            for name, value in dataset.on_end_of_collection(experiment).items()
        }
        self.update_dset_weights(experiment.epoch)
        normalized = self.normalized_weights() if any(self._is_ready) else self.sampling_weights
        num_draws = self._draws.total()
        for k, dataset in enumerate(self.datasets):
            name = dataset.dset_name
            metrics[f"{name} Current Sample Weight"] = self.sampling_weights[k]
            metrics[f"{name} Normalized Sample Weight"] = float(normalized[k])
            if num_draws:
                empirical = self._draws[k] / num_draws
                metrics[f"{name} Empirical Sample Weight (Previous Epoch)"] = empirical
        self._draws.clear()
        return metrics

    def delete(self) -> None:
        for dataset in self.datasets:
            dataset.delete()

    # ------------------------------------------------------------------------------ checkpoints

    def on_learning_begins(self, experiment: Any) -> None:
        for dataset in self.datasets:
            dataset.on_learning_begins(experiment)

    def on_checkpoint_saved(self) -> None:
        for dataset in self.datasets:
            dataset.on_checkpoint_saved()

    def make_room(self) -> int:
        return sum(dataset.make_room() for dataset in self.datasets)

    def state_dict(self) -> dict[str, Any]:
        """The members' states, the weights as they are now, and what they follow from."""
        return {
            "epoch": self.epoch,
            "weights": list(self.sampling_weights),
            "ready": list(self._is_ready),
            "started": list(self._started),
            "ready_at_start": list(self._ready_at_start),
            "draws": [self._draws[k] for k in range(len(self.datasets))],
            "members": [dataset.state_dict() for dataset in self.datasets],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for dataset, member in zip(self.datasets, state["members"], strict=True):
            dataset.load_state_dict(member)
        self.sampling_weights = list(state["weights"])
        self._is_ready = list(state["ready"])
        self._started = list(state["started"])
        self._ready_at_start = list(state["ready_at_start"])
        self._draws = Counter(dict(enumerate(state["draws"])))
        super().load_state_dict(state)


def _check_weights(name: str, weights: list[float], num_datasets: int) -> None:
    if len(weights) != num_datasets:
        raise ConfigError(f"{name} has {len(weights)} entries for {num_datasets} datasets")
    if min(weights, default=0.0) < 0 or abs(sum(weights) - 1.0) > 1e-6:
        raise ConfigError(f"{name} must not be negative and must sum to 1, but are {weights}")
