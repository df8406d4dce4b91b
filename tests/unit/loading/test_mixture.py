from collections import Counter

import pytest
import torch

from amago.core.errors import ConfigError
from amago.core.npz import write_npz
from amago.loading import (
    DiskTrajDataset,
    MixtureOfDatasets,
    RLData,
    RLData_pad_collate,
    RLDataset,
)
from amago.loading.rows import BatchRows


class Constant(RLDataset):
    """Items hold one number; ready from `ready_at` on."""

    save_new_trajs_to = None

    def __init__(self, value, ready_at=0, saves_to=None):
        super().__init__(dset_name=f"d{value}")
        self.value, self.ready_at, self.now = value, ready_at, 0
        self.save_new_trajs_to = saves_to
        self.is_deleted = False

    @property
    def ready_for_training(self):
        return self.now >= self.ready_at

    def get_description(self):
        return self.dset_name

    def sample_random_trajectory(self):
        return RLData(
            obs={"o": torch.full((3, 1), float(self.value))},
            rews=torch.rand(2, 1),
            dones=torch.zeros(2, 1, dtype=torch.bool),
            actions=torch.zeros(2, 1),
            time_idxs=torch.arange(3).unsqueeze(-1),
        )

    def on_end_of_collection(self, experiment):
        return {"Size": 10 * self.value}

    def delete(self):
        self.is_deleted = True

    def make_room(self):
        return self.value


def mixture(*members, weights=(0.25, 0.75), **kwargs):
    mixed = MixtureOfDatasets(list(members), list(weights), **kwargs)
    mixed.configure(400, 5, "none", has_edit_rights=True, seed=1)
    return mixed


def at_epoch(mixed, experiment, epoch):
    for member in mixed.datasets:
        member.now = epoch
    experiment.epoch = epoch
    return mixed.on_end_of_collection(experiment)


def values(mixed, n=400):
    return [int(mixed[i].obs["o"][0]) for i in range(n)]


def test_items_come_from_the_members_by_weight(experiment):
    mixed = mixture(Constant(0), Constant(1))
    assert Counter(values(mixed))[1] == pytest.approx(300, abs=35)


def test_items_are_pure_in_seed_epoch_and_index():
    first, second = mixture(Constant(0), Constant(1)), mixture(Constant(0), Constant(1))
    second[17]
    assert values(first) == values(second)
    assert first[3].rews.tolist() == second[3].rews.tolist()
    second.set_epoch(1)
    assert values(first) != values(second)


def test_members_do_not_share_a_stream():
    mixed = mixture(Constant(0), Constant(1))
    assert mixed.datasets[0][5].rews.tolist() != mixed.datasets[1][5].rews.tolist()


def test_a_member_that_is_not_ready_is_never_drawn(experiment):
    mixed = mixture(Constant(0), Constant(1, ready_at=2))
    assert set(values(mixed)) == {0}
    at_epoch(mixed, experiment, 2)
    assert set(values(mixed)) == {0, 1}


def test_ready_members_of_weight_zero_are_drawn_equally(experiment):
    mixed = mixture(Constant(0), Constant(1, ready_at=2), weights=(0.0, 1.0))
    assert set(values(mixed, 20)) == {0}


def test_a_late_start_is_smoothed(experiment):
    mixed = mixture(Constant(0), Constant(1, ready_at=3), smooth_sudden_starts=3)
    seen = [at_epoch(mixed, experiment, e)["d1 Current Sample Weight"] for e in range(7)]
    assert seen == pytest.approx([0, 0, 0, 0.25, 0.5, 0.75, 0.75])


def test_weights_move_both_ways_between_initial_and_final(experiment):
    mixed = mixture(
        Constant(0), Constant(1), weights=(0.2, 0.8),
        initial_sampling_weights=[0.9, 0.1], smooth_sudden_starts=2,
    )  # fmt: skip
    rows = [at_epoch(mixed, experiment, e) for e in range(3)]
    assert [row["d0 Current Sample Weight"] for row in rows] == pytest.approx([0.55, 0.2, 0.2])
    assert [row["d1 Current Sample Weight"] for row in rows] == pytest.approx([0.45, 0.8, 0.8])


def test_metrics_of_members_carry_their_names(experiment):
    mixed = mixture(Constant(0), Constant(1))
    drawn = Counter(values(mixed))
    metrics = at_epoch(mixed, experiment, 0)
    assert metrics["d1 Size"] == 10
    assert metrics["d1 Normalized Sample Weight"] == pytest.approx(0.75)
    assert metrics["d1 Empirical Sample Weight (Previous Epoch)"] == drawn[1] / 400
    assert "d1 Empirical Sample Weight (Previous Epoch)" not in at_epoch(mixed, experiment, 1)


def test_nothing_ready_is_not_ready(experiment):
    mixed = mixture(Constant(0, ready_at=1), Constant(1, ready_at=1))
    assert not mixed.ready_for_training
    assert at_epoch(mixed, experiment, 0)["d0 Normalized Sample Weight"] == 0
    with pytest.raises(ConfigError, match="no dataset of the mixture is ready"):
        mixed[0]


def test_one_member_may_save(tmp_path):
    mixed = mixture(Constant(0, saves_to="a"), Constant(1))
    assert mixed.save_new_trajs_to == "a"
    with pytest.raises(ValueError, match="only one dataset"):
        mixture(Constant(0, saves_to="a"), Constant(1, saves_to="b"))


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.6), (1.5, -0.5)])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match="sampling_weights"):
        mixture(Constant(0), Constant(1), weights=weights)
    with pytest.raises(ValueError, match="initial_sampling_weights"):
        mixture(Constant(0), Constant(1), initial_sampling_weights=list(weights))


def test_deleting_reaches_every_member():
    mixed = mixture(Constant(0), Constant(1))
    mixed.delete()
    assert all(member.is_deleted for member in mixed.datasets)


def test_room_is_made_in_every_member():
    assert mixture(Constant(2), Constant(3)).make_room() == 5


def test_the_description_names_weights_and_members():
    assert mixture(Constant(0), Constant(1)).get_description() == "0.25 x d0; 0.75 x d1"


def test_a_restored_mixture_counts_on_in_the_middle_of_an_epoch(experiment):
    mixed, restored = mixture(Constant(0), Constant(1)), mixture(Constant(0), Constant(1))
    values(mixed, 100)
    restored.load_state_dict(mixed.state_dict())
    for one in (mixed, restored):
        for i in range(100, 300):
            one[i]
    metrics = at_epoch(restored, experiment, 0)
    assert metrics == at_epoch(mixed, experiment, 0)
    assert metrics["d1 Empirical Sample Weight (Previous Epoch)"] > 0.6


def test_a_mixture_restored_between_listing_and_learning_has_the_weights_of_that_epoch(experiment):
    def fresh():
        return mixture(Constant(0), Constant(1, ready_at=1), smooth_sudden_starts=4)

    mixed, restored = fresh(), fresh()
    at_epoch(mixed, experiment, 2)  # `set_epoch` follows when learning begins
    restored.load_state_dict(mixed.state_dict())
    assert restored.sampling_weights == mixed.sampling_weights
    assert values(restored, 50) == values(mixed, 50)


def test_a_restored_mixture_goes_on_with_the_same_weights(experiment):
    def fresh():
        return mixture(Constant(0), Constant(1, ready_at=1), smooth_sudden_starts=4)

    mixed, restored = fresh(), fresh()
    for epoch in range(3):
        at_epoch(mixed, experiment, epoch)
        mixed.set_epoch(epoch)
    for member in restored.datasets:
        member.now = 2
    restored.load_state_dict(mixed.state_dict())
    assert restored.sampling_weights == mixed.sampling_weights
    assert values(restored, 50) == values(mixed, 50)
    assert at_epoch(restored, experiment, 3) == at_epoch(mixed, experiment, 3)


class Stored(DiskTrajDataset):
    save_new_trajs_to = None


def stored(folder, name, trajectories):
    dset = Stored(str(folder), name, dset_max_size=100)
    for i, traj in enumerate(trajectories):
        write_npz(f"{dset.fifo_path}/toy_{i}_{i}.npz", traj.to_dict())
    return dset


def as_bytes(batch):
    return [
        (value.shape, value.dtype, value.numpy().tobytes())
        for value in (*batch.obs.values(), batch.rl2s, batch.rews, batch.dones, batch.time_idxs)
    ]


def assert_a_batch_is_its_items(mixed, indices):
    plain = RLData_pad_collate([mixed[i] for i in indices])
    draws, mixed._draws = mixed._draws, Counter()
    assert as_bytes(RLData_pad_collate(mixed.__getitems__(indices))) == as_bytes(plain)
    assert mixed._draws == draws


def test_a_batch_of_files_of_several_members_is_its_items(tmp_path, make_traj):
    members = [
        stored(tmp_path, "a", [make_traj(n, n) for n in (3, 9, 20)]),
        stored(tmp_path, "b", [make_traj(n, 50 + n) for n in (2, 7)]),
    ]
    mixed = mixture(*members)
    assert isinstance(mixed.__getitems__([0, 1]), BatchRows)
    assert_a_batch_is_its_items(mixture(*members), [*range(40)])


def test_a_batch_of_members_with_other_arrays_is_its_items(tmp_path, make_traj):
    more = make_traj(9, 2)
    more.obs["more"] = more.rl2s
    members = stored(tmp_path, "a", [make_traj(9, 1)]), stored(tmp_path, "b", [more])
    mixed = mixture(*members, weights=(0.5, 0.5))
    drawn = [mixed._draw_member(i, mixed._edges()) for i in range(40)]
    # Stacking takes the observations of the first sequence, which all others have to have.
    order = sorted(range(40), key=lambda i: drawn[i] is members[1])
    assert {*drawn} == {*members}
    assert_a_batch_is_its_items(mixture(*members, weights=(0.5, 0.5)), order)


def test_a_batch_of_members_that_are_no_files_is_its_items():
    members = Constant(0), Constant(1)
    assert_a_batch_is_its_items(mixture(*members), [*range(40)])


def test_items_that_a_subclass_makes_itself_are_used():
    class First(MixtureOfDatasets):
        def __getitem__(self, i):
            return super().__getitem__(0)

    mixed = First([Constant(0), Constant(1)], [0.5, 0.5])
    mixed.configure(400, 5, "none", has_edit_rights=True, seed=1)
    first = int(mixed[0].obs["o"][0])
    assert {int(data.obs["o"][0]) for data in mixed.__getitems__([*range(50)])} == {first}
