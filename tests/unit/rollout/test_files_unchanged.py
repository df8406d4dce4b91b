"""Names and bytes of the files that a seed leads to, and the state between: they are kept for ever.

The digests were taken when the recorder went row by row.
"""

import hashlib
import os

import numpy as np
import pytest

from amago.rollout.recorder import Recorder

DIGESTS = {
    "a limit for each file": "f927a674",
    "one limit": "38fa783d",
    "no limit": "f0e8e390",
}
LIMITS = {"a limit for each file": (5, 40), "one limit": (12, 12), "no limit": None}


def digest_of(value, into=None):
    """Of nested dicts, lists, plain values and arrays; a state holds nothing else."""
    into = hashlib.sha256() if into is None else into
    if isinstance(value, dict):
        for key in sorted(value):
            into.update(key.encode())
            digest_of(value[key], into)
    elif isinstance(value, list):
        into.update(f"[{len(value)}".encode())
        for item in value:
            digest_of(item, into)
    elif isinstance(value, np.ndarray):
        into.update(f"{value.dtype.str}{value.shape}".encode())
        into.update(value.tobytes())
    else:
        into.update(repr(value).encode())
    return into


@pytest.mark.parametrize("limits", LIMITS)
def test_they_are_what_they_were(limits, tmp_path, walks, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 12.5)
    recorder, world = Recorder(7, str(tmp_path), LIMITS[limits], seed=5), walks(7)
    recorder.begin(world.reset())
    draws = np.random.default_rng(1)
    digest = hashlib.sha256()
    for i in range(400):
        chance = draws.random(7)
        together = [1, 3, 4, 6] if i % 30 == 29 else []  # rows that go on in step
        end = sorted({*np.flatnonzero(chance < 0.03).tolist(), *together})
        cut = sorted({*np.flatnonzero(chance > 0.995).tolist()} - {*end})
        recorder.observe(world.step(end=end, cut=cut))
        if i % 90 == 0:
            digest_of(recorder.state_dict(), digest)
        if i % 110 == 0:
            recorder.save_finished()
    recorder.save_finished()
    names = sorted(os.listdir(tmp_path))
    assert len(names) > 100
    for name in names:
        digest_of({name: (tmp_path / name).read_bytes()}, digest)
    assert digest.hexdigest()[:8] == DIGESTS[limits]
