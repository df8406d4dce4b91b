import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from amago.core.atomic import sweep_temporaries, sync, write_whole


def test_a_written_file_holds_all_pieces_and_nothing_else_is_left(tmp_path):
    size = write_whole(str(tmp_path / "a"), [b"one", b"", memoryview(b"two")], fsync=True)
    assert (tmp_path / "a").read_bytes() == b"onetwo"
    assert size == 6
    assert os.listdir(tmp_path) == ["a"]


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.writev
    monkeypatch.setattr(os, "writev", lambda fd, pieces: real(fd, [bytes(pieces[0][:3])]))
    write_whole(str(tmp_path / "a"), [b"0123456789", b"ab"])
    assert (tmp_path / "a").read_bytes() == b"0123456789ab"


@pytest.mark.parametrize("call", ["writev", "rename", "fsync"])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, call):
    (tmp_path / "a").write_bytes(b"old")

    def full(*args):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="no space"):
        write_whole(str(tmp_path / "a"), [b"new"], fsync=True)
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_only_what_dead_writers_left_is_swept(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "rename", lambda source, _: seen.append(Path(source).name))
    write_whole(str(tmp_path / "a"), [b"mine"])
    alive = seen[0]
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    _, _, host, rest = alive.split("-")
    abandoned = f".tmp-{dead.stdout.strip()}-{host}-{rest}"
    elsewhere = f".tmp-{dead.stdout.strip()}-elsewhere-{rest}"
    for name in (abandoned, elsewhere, "data.npz", ".tmp-strange"):
        (tmp_path / name).write_bytes(b"")
    assert sweep_temporaries(str(tmp_path)) == 1
    assert sorted(os.listdir(tmp_path)) == sorted([alive, elsewhere, "data.npz", ".tmp-strange"])


def test_a_disk_that_takes_nothing_is_an_error_and_no_endless_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "writev", lambda descriptor, pieces: 0)
    with pytest.raises(OSError, match="none of the bytes"):
        write_whole(str(tmp_path / "a"), [b"new"])
    assert os.listdir(tmp_path) == []


def test_files_and_directories_can_be_synced_later(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    (tmp_path / "a").write_bytes(b"x")
    sync(str(tmp_path / "a"))
    sync(str(tmp_path))
    assert synced == [str(tmp_path / "a"), str(tmp_path)]
