import errno
import io
import json
import math
import sys

import numpy as np
import pytest

from amago.core.errors import MissingExtraError
from amago.core.values import Image, Table, Video
from amago.tracking.media import MediaFolder, encode, load
from amago.tracking.reader import read_rows
from amago.tracking.store import LocalRecord

pillow = pytest.importorskip("PIL.Image", reason="the extra `media`")

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 4), dtype=np.uint8)
FRAMES = np.stack([np.full((6, 8, 3), 40 * i, np.uint8) for i in range(5)])


@pytest.fixture
def said():
    return []


@pytest.fixture
def folder(tmp_path, said):
    return MediaFolder(tmp_path / "tracking" / "learner.jsonl", said.append)


def test_an_image_is_a_png_of_the_same_pixels(folder, tmp_path):
    for channels in (1, 3, 4):
        given = Image(PIXELS[..., :channels])
        kept = folder.keep(f"val/Maze {channels}", 3, given)
        file = tmp_path / kept["file"]
        assert kept == {"media": "image", "shape": [6, 8, channels], "file": kept["file"]}
        assert kept["file"].startswith("tracking/media/learner/valMaze")
        assert file.name.endswith("-3.png")
        with pillow.open(io.BytesIO(file.read_bytes())) as picture:
            assert picture.format == "PNG"
        np.testing.assert_array_equal(load(tmp_path, kept).pixels, given.pixels)


def test_a_video_is_a_gif_with_every_frame_at_its_speed(folder, tmp_path):
    kept = folder.keep("val/Rollout", 0, Video(FRAMES, fps=20))
    with pillow.open(tmp_path / kept["file"]) as picture:
        assert (picture.format, picture.n_frames, picture.info["duration"]) == ("GIF", 5, 50)
    found = load(tmp_path, kept)
    assert found.fps == 20
    np.testing.assert_allclose(found.frames, FRAMES, atol=4)


def test_a_table_is_json_also_where_numbers_are_not_finite(folder, tmp_path):
    given = Table(["env", "return"], [["a", 1.5], ["b", math.nan], ["c", -math.inf]])
    kept = folder.keep("val/Returns", 1, given)
    assert json.loads((tmp_path / kept["file"]).read_bytes()) == {
        "columns": ["env", "return"],
        "rows": [["a", 1.5], ["b", "NaN"], ["c", "-Infinity"]],
    }
    np.testing.assert_equal(load(tmp_path, kept).rows, given.rows)


def test_names_that_differ_never_share_a_file(folder):
    names = ("val/a b", "val/ab", "../../etc", "val/a/b")
    kept = [folder.keep(name, 0, Image(PIXELS))["file"] for name in names]
    assert len(set(kept)) == len(names)
    assert all(".." not in file for file in kept)


def test_a_full_disk_costs_the_file_and_one_line(folder, said, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("amago.tracking.media.write_whole", fail)
    for step in range(3):
        kept = folder.keep("val/Maze", step, Image(PIXELS))
    assert kept == {"media": "image", "shape": [6, 8, 4], "file": None}
    assert len(said) == 1
    assert "No space left on device" in said[0]


def test_without_pillow_the_shape_is_kept_and_tables_are_whole(folder, said, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    for step in range(3):
        kept = folder.keep("val/Maze", step, Image(PIXELS))
        assert kept["file"] is None
    assert folder.keep("val/Rollout", 0, Video(FRAMES))["file"] is None
    assert load(tmp_path, folder.keep("val/T", 0, Table(["x"], [[1]]))).rows == [[1]]
    assert len(said) == 1
    assert "pip install 'amago[media]'" in said[0]
    with pytest.raises(MissingExtraError):
        encode(Image(PIXELS))


@pytest.mark.parametrize("file", [None, "tracking/media/gone.png", "../secret.png", "tracking"])
def test_a_reference_to_no_file_of_the_run_gives_nothing(tmp_path, file):
    (tmp_path / "run" / "tracking").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(encode(Image(PIXELS)))
    assert load(tmp_path / "run", {"media": "image", "file": file}) is None


def test_the_local_record_keeps_media_beside_its_rows(tmp_path):
    record = LocalRecord(tmp_path, warn=pytest.fail)
    record.log({"Epoch": 1, "val/Maze": Image(PIXELS), "val/x": 1.0})
    record.finish("finished")
    (row,) = read_rows(tmp_path)
    assert row.data["val/x"] == 1.0
    np.testing.assert_array_equal(load(tmp_path, row.data["val/Maze"]).pixels, PIXELS)
