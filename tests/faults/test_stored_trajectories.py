"""What may happen to a buffer on disk: damaged, foreign, vanishing, very many, very short and very
long trajectories. Training goes on with the others, in unchanged order, or stops with a reason.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from amago.core.errors import AmagoWarning, TrajectoryError
from amago.core.npz import write_npz
from amago.loading import Batch, DiskTrajDataset, RLData_pad_collate
from amago.loading.slicing import MODES

NUM_FILES = 12
NUM_ITEMS = 60
VICTIM = 4
EXPERIMENT = SimpleNamespace(accelerator=None, ckpt_interval=1, epoch=0)

pytestmark = pytest.mark.filterwarnings("ignore::amago.core.errors.AmagoWarning")


def arrays(length: int, tag: int = 0) -> dict[str, np.ndarray]:
    """A trajectory whose rewards tell which one it is, and where."""
    t = np.arange(length + 1, dtype=np.float32)[:, None] + 100_000 * tag
    return {
        "_OBS_KEY_x": t,
        "rl2s": np.hstack((t, -t)),
        "time_idxs": np.arange(length + 1)[:, None],
        "rews": t[1:],
        "dones": np.zeros((length, 1), bool),
        "actions": -t[1:],
    }


def dataset(root: Path, size: int = 1_000_000, sampling: str = "none") -> DiskTrajDataset:
    dset = DiskTrajDataset(str(root), "d", dset_max_size=size)
    dset.configure(NUM_ITEMS, 8, sampling, has_edit_rights=True, seed=1)
    return dset


def fill(dset: DiskTrajDataset, number: int = NUM_FILES) -> DiskTrajDataset:
    for i in range(number):
        write_npz(path_of(dset, i), arrays(30, i))
    dset._refresh_files()
    return dset


def path_of(dset: DiskTrajDataset, i: int) -> str:
    return os.path.join(dset.fifo_path, f"toy_{i:03d}_{i}.npz")


def items(dset: DiskTrajDataset) -> list[tuple[int, int]]:
    """For each item of an epoch, which file it came from and where it begins."""
    starts = (float(dset[i].rl2s[0, 0]) for i in range(NUM_ITEMS))
    return [(int(start) // 100_000, int(start) % 100_000) for start in starts]


def assert_others_are_unchanged(
    found: list[tuple[int, int]], before: list[tuple[int, int]]
) -> None:
    """Items of other files are what they were; those of the victim come from other files now."""
    assert any(tag == VICTIM for tag, _ in before)
    for now, then in zip(found, before, strict=True):
        assert now == then or (then[0] == VICTIM and now[0] != VICTIM)


def quarantined(dset: DiskTrajDataset) -> tuple[list[str], str]:
    """Names in quarantine, and the reason of the last."""
    folder = Path(dset.buffer_path, "quarantine")
    reasons = sorted(folder.glob("*.reason.json"))
    names = sorted(p.name for p in folder.iterdir() if p not in reasons)
    return names, json.loads(reasons[-1].read_text())["reason"]


# ---------------------------------------------------------------------- damaged and foreign files


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") - 1] ^= 8  # the last byte of an array
    path.write_bytes(content)


def replaced(content: bytes) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.write_bytes(content)

    return replace


def other_schema(path: Path) -> None:
    write_npz(str(path), arrays(30) | {"_OBS_KEY_x": np.zeros((31, 7), np.float32)})


def no_trajectory(path: Path) -> None:
    np.savez(path, weights=np.zeros(3))


def not_finite(path: Path) -> None:
    write_npz(str(path), arrays(30) | {"rews": np.full((30, 1), np.nan, np.float32)})


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").touch()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


DAMAGE = {
    "truncated": (half, "truncated|not written to the end"),
    "flipped": (flipped, "checksum"),
    "empty": (replaced(b""), "only 0 bytes"),
    "text": (replaced(b"hello\n" * 100), "no .npz"),
    "zeros": (replaced(bytes(5000)), "no .npz"),
    "another schema": (other_schema, "other arrays than the rest"),
    "no trajectory": (no_trajectory, "missing members"),
    "not finite": (not_finite, "'rews' holds a number that is not finite"),
    "a directory": (a_directory, "is no file"),
    "a pipe": (a_pipe, "is no file"),
    "a circle of links": (a_circle, "is no file"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_goes_to_quarantine_and_the_other_items_stay(tmp_path: Path, kind: str):
    damage, reason = DAMAGE[kind]
    dset = fill(dataset(tmp_path))
    before = items(dset)
    damage(Path(path_of(dset, VICTIM)))
    with pytest.warns(AmagoWarning, match=rf"ignoring .*toy_{VICTIM:03d}.*({reason})"):
        assert_others_are_unchanged(items(dset), before)
    names, told = quarantined(dset)
    assert names == [f"toy_{VICTIM:03d}_{VICTIM}.npz"]
    assert any(part in told for part in reason.split("|"))
    metrics = dset.on_end_of_collection(EXPERIMENT)
    assert metrics["Trajectory Files Quarantined"] == 1
    assert metrics["Total Trajectory Files in Replay Buffer"] == NUM_FILES - 1


def test_a_file_truncated_anywhere_is_refused(tmp_path: Path):
    dset = fill(dataset(tmp_path), number=2)
    path = Path(path_of(dset, 1))
    whole = path.read_bytes()
    for size in range(0, len(whole), 64):
        os.makedirs(dset.fifo_path, exist_ok=True)
        path.write_bytes(whole[:size])
        fresh = dataset(tmp_path)
        with pytest.warns(AmagoWarning, match="ignoring"):
            assert {tag for tag, _ in items(fresh)} == {0}


def test_a_flipped_bit_is_refused_or_harmless(tmp_path: Path):
    dset = fill(dataset(tmp_path), number=2)
    expected = items(dset)
    path = Path(path_of(dset, 1))
    whole = path.read_bytes()
    for bit in range(3, 8 * len(whole), 8 * 37):
        flipped_file = bytearray(whole)
        flipped_file[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped_file)
        found = items(dataset(tmp_path))
        assert found == expected or {tag for tag, _ in found} == {0}


def test_a_dangling_link_is_no_file_of_the_buffer(tmp_path: Path):
    dset = fill(dataset(tmp_path))
    before = items(dset)
    os.symlink("nowhere", os.path.join(dset.fifo_path, "link_0_0.npz"))
    assert dset.on_end_of_collection(EXPERIMENT)["Total Trajectory Files in Replay Buffer"] == 12
    assert items(dset) == before


@pytest.mark.parametrize(("number", "bad"), [(NUM_FILES, 4), (500, 6)])
def test_too_many_damaged_files_stop_the_run(tmp_path: Path, number: int, bad: int):
    dset = fill(dataset(tmp_path), number)
    for i in range(number):
        if i >= bad:
            os.unlink(path_of(dset, i))
            os.link(path_of(dset, 0), path_of(dset, i))
    for i in range(1, bad + 1):
        Path(path_of(dset, i)).unlink()
        Path(path_of(dset, i)).write_bytes(b"damaged")
    dset._refresh_files()
    with pytest.raises(TrajectoryError, match=rf"{bad} of {number} .* are damaged.*Take them out"):
        read_epochs(dset, 1000)


def read_epochs(dset: DiskTrajDataset, number: int) -> None:
    for epoch in range(number):
        dset.set_epoch(epoch)
        items(dset)


# ------------------------------------------------------------------------- under the reader


@pytest.fixture
def deleter(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Another process, which deletes each file that it is told."""
    code = "import os, sys\nfor line in sys.stdin: os.unlink(line.strip()); print(flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


def test_files_evicted_by_another_process_give_way_to_others(tmp_path: Path, deleter):
    dset = fill(dataset(tmp_path))
    before = items(dset)
    deleter.stdin.write(path_of(dset, VICTIM) + "\n")
    deleter.stdin.flush()
    deleter.stdout.readline()
    assert_others_are_unchanged(items(dset), before)
    metrics = dset.on_end_of_collection(EXPERIMENT)
    assert metrics["Trajectory Files Gone While Reading"] >= 1
    assert "Trajectory Files Quarantined" not in metrics


def test_a_file_that_is_cut_while_it_is_trained_on_is_never_read_as_garbage(tmp_path: Path):
    dset = fill(dataset(tmp_path))
    before = items(dset)  # every layout is known now
    half(Path(path_of(dset, VICTIM)))
    assert_others_are_unchanged(items(dset), before)
    assert quarantined(dset)[0] == [f"toy_{VICTIM:03d}_{VICTIM}.npz"]


# ----------------------------------------------------------------------- very many, short, long


@pytest.fixture
def many(tmp_path: Path) -> DiskTrajDataset:
    """100,000 files of one step. Links: the directory is as large, the disk is not filled."""
    dset = dataset(tmp_path)
    per_inode = 20_000
    for start in range(0, 100_000, per_inode):
        first = os.path.join(dset.fifo_path, f"toy_{start:06d}-x_{start}.npz")
        write_npz(first, arrays(1, tag=1))
        for i in range(start + 1, start + per_inode):
            os.link(first, os.path.join(dset.fifo_path, f"toy_{i:06d}-x_{i}.npz"))
    return dset


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_100_000_files_are_listed_quickly_and_in_little_memory(many: DiskTrajDataset):
    before = resident_bytes()
    began = time.process_time()
    many._refresh_files()
    first = time.process_time() - began
    assert len(many._keys) == 100_000
    assert len(many[0]) == 1
    began = time.process_time()
    metrics = many.on_end_of_collection(EXPERIMENT)
    again = time.process_time() - began
    assert metrics["Total Trajectory Files in Replay Buffer"] == 100_000
    assert again < 1.0
    assert first < 2.0, "one more system call a file, once"
    assert resident_bytes() - before < 100e6


def batch(dset: DiskTrajDataset) -> Batch:
    return RLData_pad_collate([dset[i] for i in range(NUM_ITEMS)])


@pytest.mark.parametrize("sampling", MODES)
def test_episodes_of_one_step_are_trained_on(tmp_path: Path, sampling: str):
    dset = dataset(tmp_path, sampling=sampling)
    for i in range(5):
        write_npz(path_of(dset, i), arrays(1, i))
    dset._refresh_files()
    assert {tag for tag, _ in items(dset)} == set(range(5))
    assert batch(dset).rews.shape == (NUM_ITEMS, 1, 1)


@pytest.mark.parametrize("sampling", MODES)
def test_windows_of_a_very_long_episode_cover_it(tmp_path: Path, sampling: str):
    length = 10_000
    dset = dataset(tmp_path, sampling=sampling)
    write_npz(path_of(dset, 0), arrays(length))
    write_npz(path_of(dset, 1), arrays(1, tag=1))
    dset._refresh_files()
    starts: list[int] = []
    for epoch in range(20):
        dset.set_epoch(epoch)
        starts += [start for tag, start in items(dset) if tag == 0]
    assert min(starts) < 0.02 * length
    assert max(starts) > 0.98 * length
    assert np.mean(starts) == pytest.approx(length / 2, rel=0.1)
    assert batch(dset).obs["x"].shape[:2] == (NUM_ITEMS, 9)
