"""One stream per phase: what one phase draws cannot change another."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import MT19937

from amago.checkpoint.run_state import load_state, save_state
from amago.training.rng import PhaseRandomness

Draw = tuple[float, float, float, float]


def draw() -> Draw:
    """One draw of every global generator; the gaussians keep half a pair for later."""
    return random.gauss(0, 1), np.random.standard_normal(), random.random(), torch.rand(()).item()


def draws_in(phases: PhaseRandomness, phase: str, count: int) -> list[Draw]:
    with phases(phase):
        return [draw() for _ in range(count)]


def test_a_phase_continues_where_it_was_left():
    whole = draws_in(PhaseRandomness(seed=1), "train", 4)
    phases = PhaseRandomness(seed=1)
    assert draws_in(phases, "train", 1) + draws_in(phases, "train", 3) == whole


def test_phases_seeds_and_ranks_differ():
    streams = [
        draws_in(PhaseRandomness(seed, rank), phase, 1)[0]
        for seed, rank, phase in [
            (1, 0, "train"),
            (1, 0, "collect"),
            (2, 0, "train"),
            (1, 1, "train"),
        ]
    ]
    assert len({value for stream in streams for value in stream}) == 16


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["collect", "evaluate", "outside"]), st.integers(0, 3))))
def test_what_other_phases_consume_leaves_training_unchanged(others: list[tuple[str, int]]):
    expected = draws_in(PhaseRandomness(seed=3), "train", len(others) + 1)
    phases = PhaseRandomness(seed=3)
    seen = draws_in(phases, "train", 1)
    for phase, count in others:
        if phase == "outside":
            random.seed(count)
            torch.manual_seed(count)
        else:
            draws_in(phases, phase, count)
        seen += draws_in(phases, "train", 1)
    assert seen == expected


def test_the_process_gets_its_own_streams_back():
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = [draw(), draw()]
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    first = draw()
    draws_in(PhaseRandomness(seed=0), "train", 3)
    assert [first, draw()] == expected


def test_a_phase_inside_another_suspends_it():
    expected = draws_in(PhaseRandomness(seed=2), "train", 2)
    phases = PhaseRandomness(seed=2)
    with phases("train"):
        before = draw()
        draws_in(phases, "evaluate", 5)
        after = draw()
    assert [before, after] == expected


def test_a_phase_inside_itself_goes_on():
    expected = draws_in(PhaseRandomness(seed=2), "train", 3)
    phases = PhaseRandomness(seed=2)
    with phases("train"):
        seen = [draw(), *draws_in(phases, "train", 1), draw()]
    assert seen == expected


def test_an_error_inside_a_phase_gives_the_streams_back():
    phases = PhaseRandomness(seed=2)
    torch.manual_seed(9)
    with pytest.raises(KeyError), phases("train"):
        raise KeyError
    resumed = torch.rand(())
    torch.manual_seed(9)
    assert resumed == torch.rand(())


@pytest.mark.parametrize("inside", [False, True])
def test_saved_streams_continue_in_another_process_s_object(tmp_path, inside: bool):
    phases = PhaseRandomness(seed=4)
    draws_in(phases, "collect", 2)
    with phases("train"):
        draw()
        if inside:
            save_state(tmp_path / "s", {"rng": phases.state_dict()})
    if not inside:
        save_state(tmp_path / "s", {"rng": phases.state_dict()})
    resumed = PhaseRandomness(seed=99)
    resumed.load_state_dict(load_state(tmp_path / "s")["rng"])
    for phase in ("train", "collect"):
        assert draws_in(resumed, phase, 3) == draws_in(phases, phase, 3)


def test_loading_takes_effect_in_the_phase_in_place():
    phases = PhaseRandomness(seed=4)
    with phases("train"):
        state = phases.state_dict()
        first = draw()
        phases.load_state_dict(state)
        assert draw() == first


def test_saved_inside_nested_phases_every_one_of_them_continues(tmp_path):
    phases = PhaseRandomness(seed=4)
    with phases("collect"):
        draw()
        with phases("evaluate"):
            draw()
            save_state(tmp_path / "s", {"rng": phases.state_dict()})
            expected = [draw() for _ in range(3)]
        expected += [draw() for _ in range(3)]
    resumed = PhaseRandomness(seed=99)
    resumed.load_state_dict(load_state(tmp_path / "s")["rng"])
    assert draws_in(resumed, "evaluate", 3) + draws_in(resumed, "collect", 3) == expected


def test_a_state_loaded_inside_a_phase_continues_there_and_gives_the_process_its_streams_back(
    tmp_path,
):
    phases = PhaseRandomness(seed=4)
    with phases("train"):
        draw()
        save_state(tmp_path / "s", {"rng": phases.state_dict()})
        expected = [draw() for _ in range(3)]
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    resumed = PhaseRandomness(seed=99)
    with resumed("train"):
        resumed.load_state_dict(load_state(tmp_path / "s")["rng"])
        assert [draw() for _ in range(3)] == expected
    after = draw()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    assert after == draw()


@pytest.mark.parametrize(
    "bits", [np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64, MT19937]
)
def test_numpy_generators_continue_from_a_checkpoint(tmp_path, bits: type[np.random.BitGenerator]):
    generator = np.random.Generator(bits(7))
    generator.standard_normal(3)
    generator.integers(0, 9, dtype=np.uint32)  # half of 64 bits; the other half is kept for later
    save_state(tmp_path / "s", {"generator": generator.bit_generator.state})
    expected = generator.integers(0, 2**31, size=5, dtype=np.uint32), generator.random(5)
    resumed = np.random.Generator(bits(0))
    resumed.bit_generator.state = load_state(tmp_path / "s")["generator"]
    found = resumed.integers(0, 2**31, size=5, dtype=np.uint32), resumed.random(5)
    assert np.array_equal(found, expected)
