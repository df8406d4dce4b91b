"""Random streams that follow from one seed."""

from amago.core.rng import derive_seed, generator


def test_the_same_path_gives_the_same_stream():
    assert generator(1, "env", 3).random() == generator(1, "env", 3).random()


def test_streams_differ_by_seed_and_by_every_part_of_the_path():
    seeds = [
        derive_seed(1, "env", 3),
        derive_seed(2, "env", 3),
        derive_seed(1, "val", 3),
        derive_seed(1, "env", 4),
        derive_seed(1, "env"),
    ]
    assert len(set(seeds)) == len(seeds)


def test_a_seed_is_the_same_on_every_machine():
    assert derive_seed(0, "env", 1, "episode", 2) == 3414080367


def test_a_seed_fits_32_bits_and_is_a_python_int():
    seed = derive_seed(2**60, "x")
    assert type(seed) is int
    assert 0 <= seed < 2**32
