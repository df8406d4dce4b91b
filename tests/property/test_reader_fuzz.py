"""Damaged trajectory files are refused, or are what they were: never anything else."""

import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amago.core.errors import TrajectoryError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
try:
    import fuzz
finally:
    sys.path.pop(0)

ORIGINAL, OTHER = fuzz.trajectory(), fuzz.trajectory(length=6, tag=3)
numbers = st.integers(0, 1 << 30)
change = st.builds(fuzz.Op, st.sampled_from(fuzz.OPS), numbers, numbers, numbers)
changes = st.lists(change, min_size=1, max_size=4)


@pytest.fixture(scope="module")
def reading() -> Iterator[fuzz.Reading]:
    with tempfile.TemporaryDirectory() as folder:
        yield fuzz.Reading(Path(folder), ORIGINAL, OTHER)


@pytest.mark.parametrize("packed", fuzz.PACKED)
@settings(max_examples=150)
@given(ops=changes)
def test_damaged_bytes_are_refused_or_harmless(
    reading: fuzz.Reading, packed: str, ops: list[fuzz.Op]
) -> None:
    pack = fuzz.PACKED[packed]
    assert reading.verdict(fuzz.damaged(pack(ORIGINAL), pack(OTHER), ops)) in ("rejected", "equal")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@settings(max_examples=100)
@given(ops=changes)
def test_damaged_arrays_with_correct_checksums_are_refused_or_a_trajectory(
    reading: fuzz.Reading, method: int, ops: list[fuzz.Op]
) -> None:
    verdict = reading.verdict(fuzz.repacked(ORIGINAL, method, ops))
    assert verdict in ("rejected", "equal", "different")


@pytest.mark.parametrize("packed", fuzz.PACKED)
@pytest.mark.parametrize("kind", fuzz.OPS)
def test_every_kind_of_damage_is_met_by_an_error(
    reading: fuzz.Reading, packed: str, kind: str
) -> None:
    pack = fuzz.PACKED[packed]
    verdicts = [
        reading.verdict(
            fuzz.damaged(pack(ORIGINAL), pack(OTHER), [fuzz.Op(kind, i * 7919, i, i * 104729)])
        )
        for i in range(20)
    ]
    assert "rejected" in verdicts
    assert set(verdicts) <= {"rejected", "equal"}


def test_sound_files_are_read(reading: fuzz.Reading) -> None:
    for pack in fuzz.PACKED.values():
        assert reading.verdict(pack(ORIGINAL)) == "equal"
        assert reading.verdict(pack(fuzz.trajectory(tag=1))) == "different"


def test_the_same_seed_gives_the_same_counts() -> None:
    first, second = (fuzz.fuzz(200, seed=5) for _ in range(2))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    assert first["mutations"] == 200
    assert first["rejected"] > 150
    assert first["wrong"] == first["other_exceptions"] == 0


def test_a_reader_that_lets_damage_through_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amago.core.zip_members.Entry.compare_checksum", lambda self, crc: None)
    assert fuzz.fuzz(1000, seed=5)["wrong"] > 0


def test_a_reader_that_raises_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(TrajectoryError):
        def __new__(cls, *args: object) -> ValueError:
            return ValueError(*args)

    monkeypatch.setattr("amago.core.npz.TrajectoryError", Refused)
    result = fuzz.fuzz(200, seed=5)
    assert result["other_exceptions"] > 0
    assert all(name.startswith("ValueError") for name in result["exceptions"])
