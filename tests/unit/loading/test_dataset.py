import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from amago.core.errors import ConfigError
from amago.loading import DoNothingDataset, RLData, RLDataset


class Draws(RLDataset):
    """A user's dataset, which draws from the global generators of three libraries."""

    save_new_trajs_to = None

    def get_description(self):
        return "draws"

    def sample_random_trajectory(self):
        numbers = [random.random(), np.random.random(), torch.rand(()).item()]
        return RLData(
            obs={"o": torch.tensor(numbers).repeat(9, 1)},
            rews=torch.zeros(8, 1),
            dones=torch.zeros(8, 1, dtype=torch.bool),
            actions=torch.zeros(8, 1),
            time_idxs=torch.arange(9).unsqueeze(-1),
        )


def configured(seed=0, max_seq_len=4):
    dset = Draws()
    dset.configure(16, max_seq_len, "none", has_edit_rights=False, seed=seed)
    return dset


def fingerprint(item):
    return (*item.obs["o"][0].tolist(), int(item.time_idxs[0]))


def test_an_item_is_a_function_of_seed_epoch_and_index():
    def items(seed, epoch):
        dset = configured(seed)
        dset.set_epoch(epoch)
        return [fingerprint(dset[i]) for i in range(16)]

    assert items(0, 0) == items(0, 0)
    assert len({*items(0, 0), *items(1, 0), *items(0, 1)}) == 48


def test_items_do_not_depend_on_the_order_of_reading_or_on_other_draws():
    forwards = [fingerprint(item) for item in map(configured().__getitem__, range(16))]
    dset = configured()
    backwards = []
    for i in reversed(range(16)):
        torch.rand(3), np.random.random(2), random.random()
        backwards.append(fingerprint(dset[i]))
    assert backwards[::-1] == forwards


def test_items_that_are_asked_for_together_are_those_asked_for_one_by_one():
    dset = configured()
    before = random.getstate()
    together = [fingerprint(item) for item in dset.__getitems__([5, 0, 9])]
    assert random.getstate() == before
    assert together == [fingerprint(dset[i]) for i in (5, 0, 9)]


def test_items_that_a_subclass_makes_itself_are_used():
    class Mine(Draws):
        def __getitem__(self, i):
            return super().__getitem__(2 * i)

    mine, plain = Mine(), configured()
    mine.configure(16, 4, "none", has_edit_rights=False)
    together = [fingerprint(item) for item in mine.__getitems__([1, 3])]
    assert together == [fingerprint(plain[i]) for i in (2, 6)]


def test_reading_an_item_leaves_the_global_generators_alone():
    def upcoming():
        return random.random(), np.random.random(), torch.rand(()).item()

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = upcoming()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    configured()[3]
    assert upcoming() == expected


def test_items_are_cut_unless_there_is_no_limit():
    assert len(configured(max_seq_len=4)[0]) == 4
    assert len(configured(max_seq_len=None)[0]) == 8


def test_an_unconfigured_dataset_gives_no_items():
    with pytest.raises(ValueError, match="before it was configured"):
        Draws()[0]
    assert not Draws().ready_for_training


def test_names_default_to_the_class():
    assert Draws().dset_name == "Draws"
    assert Draws(dset_name="mine").dset_name == "mine"


def test_an_experiment_configures_it(experiment):
    experiment.accelerator = SimpleNamespace(num_processes=2)
    dset = Draws()
    dset.configure_from_experiment(experiment)
    assert len(dset) == 3 * 4 * 2
    assert (dset.max_seq_len, dset.padded_sampling, dset.has_edit_rights) == (5, "none", True)
    assert dset.seed == 7
    assert dset.ready_for_training


def test_an_experiment_without_seed_means_seed_zero(experiment):
    for seed in (None, "absent"):
        experiment.seed = seed
        if seed == "absent":
            del experiment.seed
        dset = Draws()
        dset.configure_from_experiment(experiment)
        assert dset.seed == 0


def test_the_epoch_survives_a_checkpoint():
    dset = configured()
    dset.set_epoch(5)
    restored = configured()
    restored.load_state_dict(dset.state_dict())
    assert fingerprint(restored[2]) == fingerprint(dset[2])


def test_the_empty_dataset_is_never_ready(experiment):
    dset = DoNothingDataset()
    dset.configure_from_experiment(experiment)
    assert not dset.ready_for_training
    assert dset.save_new_trajs_to is None
    assert dset.on_end_of_collection(experiment) == {}
    with pytest.raises(ConfigError):
        dset[0]


def test_a_dataset_need_not_care_about_checkpoints_or_full_disks():
    dset = DoNothingDataset()
    dset.on_learning_begins(None)
    dset.on_checkpoint_saved()
    assert dset.make_room() == 0
