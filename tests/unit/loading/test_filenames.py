import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amago.loading.filenames import (
    age_key,
    env_field,
    file_stem,
    is_cut,
    next_sequence,
    sequence_of,
    writer_of,
)


def name(sequence, unix_time=1.5, env="Toy_Env", **kwargs):
    return file_stem(env, sequence, 1, 2, length=7, unix_time=unix_time, **kwargs) + ".npz"


def test_a_name_has_three_fields_and_ends_in_a_time():
    assert name(12) == "ToyEnv_000000000012-00000001-00000002-L7_1.500000.npz"


@given(st.text(), st.integers(0, 10**15), st.floats(0, 1e10))
def test_any_environment_name_gives_one_safe_component(env, sequence, unix_time):
    made = name(sequence, unix_time, env)
    assert os.path.basename(made) == made
    assert made.count("_") == 2
    assert not made.startswith(".")
    assert len(made) < 200
    assert sequence_of(made) == sequence


def test_underscores_of_environment_names_are_dropped():
    assert env_field(" Toy_Env_A ") == "ToyEnvA"


def test_the_order_is_that_of_the_sequence_even_if_the_clock_steps_back():
    names = [name(1, 100.0), name(2, 50.0), name(3, 75.0)]
    assert sorted(reversed(names), key=age_key) == names


@pytest.mark.parametrize(
    "foreign", ["a_b_3.5.npz", "x.npz", "a_b_c_d.npz", "__.npz", "a_b_nan.npz"]
)
def test_foreign_names_are_older_than_ours_and_never_fail(foreign):
    assert sequence_of(foreign) is None
    assert age_key(foreign) < age_key(name(0))


def test_foreign_names_go_by_their_time_or_else_by_the_files(tmp_path):
    stamped, plain = str(tmp_path / "a_b_300.0.npz"), str(tmp_path / "other.npz")
    for path in (stamped, plain):
        open(path, "w").close()
    os.utime(plain, (200, 200))
    assert sorted([stamped, plain], key=age_key) == [plain, stamped]
    os.utime(plain, (400, 400))
    assert sorted([stamped, plain], key=age_key) == [stamped, plain]


def test_the_next_sequence_is_above_all():
    assert next_sequence(["x.npz", name(4), name(9), ".tmp-1-h-aa"]) == 10
    assert next_sequence([]) == 1


def test_a_trajectory_that_was_cut_says_so_and_keeps_its_place():
    cut = name(2, was_cut=True)
    assert cut == "ToyEnv_000000000002-00000001-00000002-L7-cut_1.500000.npz"
    assert is_cut(cut)
    assert not is_cut(name(2))
    assert sequence_of(cut) == 2
    assert cut.count("_") == 2
    assert sorted([name(3), cut, name(1)], key=age_key) == [name(1), cut, name(3)]


def test_the_writer_is_read_from_our_names_only():
    assert writer_of(name(2, was_cut=True)) == writer_of(name(1)) == "00000001"
    assert writer_of("a_b_3.5.npz") is None
    assert not is_cut("a_b-L7-cut_3.5.npz")
