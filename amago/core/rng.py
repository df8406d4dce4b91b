"""Every random stream of a run is derived from its one `seed` and the name of its use."""

import hashlib

import numpy as np


def derive_seed(seed: int, *path: str | int) -> int:
    """A 32-bit seed for one use, e.g. `derive_seed(seed, "train_env", 3, "episode", 12)`.

    Streams of different paths are independent; the same path gives the same seed on every
    machine, in every process and Python version.
    """
    text = repr((int(seed), *path)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "little")


def generator(seed: int, *path: str | int) -> np.random.Generator:
    """A numpy generator for one use (see `derive_seed`)."""
    return np.random.default_rng(derive_seed(seed, *path))
