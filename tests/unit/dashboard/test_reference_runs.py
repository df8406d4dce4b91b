import json
import zipfile

import numpy as np
import pytest
from synthetic_record import Record
from synthetic_runs import gym, ml45, resumed, values

from amago.core.errors import AmagoError
from amago.dashboard.reference_runs import pack_reference, unpack, unpack_references
from amago.tracking import read_rows
from amago.tracking.run import open_run

HOME = "/".join(["", "home", "ada"])  # in pieces: a test looks for such paths in our files


def test_a_packed_run_opens_again_with_the_first_and_last_of_everything(tmp_path):
    gym(tmp_path / "gym")
    size = pack_reference(tmp_path / "gym", tmp_path / "gym.zip", largest=20_000)
    assert size == (tmp_path / "gym.zip").stat().st_size < 20_000
    with (
        open_run(tmp_path / "gym") as before,
        open_run(unpack(tmp_path / "gym.zip", tmp_path / "out" / "gym")) as after,
    ):
        assert after.num_rows < before.num_rows
        assert after.status == "finished"
        assert [m.name for m in after.metrics] == [m.name for m in before.metrics]
        for metric in before.metrics:
            whole = before.series(metric.name, "total_frames")
            part = after.series(metric.name, "total_frames")
            np.testing.assert_array_equal(part.x[[0, -1]], whole.x[[0, -1]])
            np.testing.assert_array_equal(part.y[[0, -1]], whole.y[[0, -1]])
        assert after.config == before.config


def test_a_small_run_is_kept_whole_resumes_and_all(tmp_path):
    resumed(tmp_path / "r")
    pack_reference(tmp_path / "r", tmp_path / "r.zip")
    unpack(tmp_path / "r.zip", tmp_path / "out")
    before, after = (
        [(row.step, row.data) for row in read_rows(tmp_path / folder)] for folder in ("r", "out")
    )
    assert after == before


def test_a_run_of_many_environments_takes_less_than_a_megabyte(tmp_path):
    ml45(tmp_path / "ml45")
    assert pack_reference(tmp_path / "ml45", tmp_path / "ml45.zip") < 1_000_000


def test_nothing_in_it_says_where_it_ran(tmp_path):
    record = Record(tmp_path / "run", command=["python", f"{HOME}/amago/x.py"], host="gpu7")
    record.session(dset_root=f"{HOME}/data")
    record.row({"total_frames": 0}, {"train/Note": f"saved {HOME}/amago/y", "train/Loss": 1.0})
    record.save(log=f'  File "{HOME}/amago/x.py"\non gpu7\n')
    pack_reference(tmp_path / "run", tmp_path / "run.zip")
    with zipfile.ZipFile(tmp_path / "run.zip") as packed:
        assert {"tracking/learner.jsonl", "tracking/learner.log", "config.json"} <= set(
            packed.namelist()
        )
        everything = b"".join(packed.read(name) for name in packed.namelist())
        json.loads(packed.read("config.json"))
    for word in (b"/home", b"ada", b"gpu7", b"4242", b"OMP_NUM_THREADS", bytes(tmp_path)):
        assert word not in everything


def test_equal_records_give_equal_files_without_pictures(tmp_path):
    for name in ("a", "b"):
        values(tmp_path / name / "run")
        pack_reference(tmp_path / name / "run", tmp_path / f"{name}.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        assert not [name for name in packed.namelist() if "media" in name]
        assert b"media" not in packed.read("tracking/learner.jsonl")


def test_what_cannot_be_packed_is_an_error(tmp_path):
    with pytest.raises(AmagoError, match="no record"):
        pack_reference(tmp_path, tmp_path / "x.zip")
    gym(tmp_path / "gym")
    with pytest.raises(AmagoError, match="100 bytes"):
        pack_reference(tmp_path / "gym", tmp_path / "x.zip", largest=100)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "a\\..\\evil"])
def test_an_archive_that_leads_elsewhere_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr(name, "x")
    with pytest.raises(AmagoError, match="elsewhere"):
        unpack(tmp_path / "x.zip", tmp_path / "in" / "deep")
    assert not list(tmp_path.rglob("evil"))


def test_an_archive_with_a_link_or_of_great_size_is_refused(tmp_path, monkeypatch):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")
    with pytest.raises(AmagoError, match="elsewhere"):
        unpack(tmp_path / "x.zip", tmp_path / "in")
    monkeypatch.setattr("amago.dashboard.reference_runs._LARGEST_UNPACKED", 5)
    with pytest.raises(AmagoError, match="too large"):
        unpack(tmp_path / "x.zip", tmp_path / "in")


def test_every_reference_is_unpacked_under_its_name(tmp_path):
    for name in ("one", "two"):
        gym(tmp_path / name, epochs=3)
        pack_reference(tmp_path / name, tmp_path / f"{name}.zip")
    folders = unpack_references(tmp_path / "out", source=tmp_path)
    assert [folder.name for folder in folders] == ["one", "two"]
    assert open_run(folders[0]).num_rows > 0
    with pytest.raises(AmagoError, match="no reference runs"):
        unpack_references(tmp_path / "out", source=tmp_path / "out")
