"""Written by us, read by TensorBoard itself."""

import errno
import subprocess
import sys
import warnings

import numpy as np
import pytest

from amago.core.errors import MissingExtraError
from amago.core.values import Histogram, Image, Table, Video
from amago.tracking.base import FanOut, TrackerContext, make_trackers
from amago.tracking.tensorboard_tracker import EventFile, TensorBoardTracker

pytest.importorskip("tensorboard", reason="the extra `tensorboard`")

ROW = {"total_frames": 40, "total_frames-a/b": 40, "Epoch": 4, "gradient_steps": 9}


@pytest.fixture
def said():
    return []


@pytest.fixture
def context(tmp_path, said) -> TrackerContext:
    return TrackerContext("my run", tmp_path, warn=said.append)


@pytest.fixture
def read(context):
    """Reads what was written so far."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorBoard's own imports
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read():
        return EventAccumulator(str(context.run_dir / "tensorboard"), size_guidance={}).Reload()

    return read


@pytest.fixture
def tracker(context) -> FanOut:
    return FanOut(make_trackers([TensorBoardTracker], context), warn=pytest.fail)


def test_rows_are_read_back_with_their_step_value_and_time(tracker, read, said):
    tracker.config({"agent": {"gamma": 0.9}, "api_key": "HIDE-ME"})
    for i in range(5):
        tracker.log(ROW | {"total_frames": 10 * i, "train/Loss": i / 2, "val/Return in a/b": 1})
    tracker.finish("finished")
    found = read()
    losses = found.Scalars("train/Loss")
    assert [(event.step, event.value) for event in losses] == [(10 * i, i / 2) for i in range(5)]
    times = [event.wall_time for event in losses]
    assert times == sorted(times)
    tags = {"train/Loss", "val/Return in a/b", *(f"Charts/{axis}" for axis in ROW)}
    assert set(found.Tags()["scalars"]) == tags
    text = found.Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert '"gamma": 0.9' in text
    assert "HIDE-ME" not in text
    assert said == []


def test_an_offline_run_has_gradient_steps_as_its_step(context, read):
    axis = TrackerContext(context.run_name, context.run_dir, default_axis="gradient_steps")
    tracker = TensorBoardTracker(axis)
    tracker.log(ROW | {"train/Loss": 1.0})
    tracker.finish("finished")
    assert read().Scalars("train/Loss")[0].step == 9


def test_histograms_texts_pictures_and_tables_are_read_back(tracker, read):
    frames = np.zeros((3, 6, 8, 3), np.uint8)
    frames[1] = 255
    tracker.log(
        ROW
        | {
            "train/Bins": Histogram.of(np.array([0.0, 1.0, 1.0, 4.0]), bins=4),
            "val/Note": "so far so good",
            "val/Maze": Image(frames[0]),
            "val/Rollout": Video(frames),
            "val/Returns": Table(["env", "return"], [["a|b", 1.5]]),
        }
    )
    tracker.finish("finished")
    found = read()
    histogram = found.Histograms("train/Bins")[0].histogram_value
    assert (histogram.num, histogram.min, histogram.max) == (4, 0, 4)
    assert histogram.bucket == [1, 2, 0, 1]
    picture, video = found.Images("val/Maze")[0], found.Images("val/Rollout")[0]
    assert (picture.height, picture.width, picture.encoded_image_string[1:4]) == (6, 8, b"PNG")
    assert video.encoded_image_string[:4] == b"GIF8"
    texts = [
        found.Tensors(name)[0].tensor_proto.string_val[0].decode()
        for name in ("val/Note", "val/Returns")
    ]
    assert texts == ["so far so good", "| env | return |\n| --- | --- |\n| a\\|b | 1.5 |"]


def test_a_run_that_goes_on_after_its_end_is_one_curve(tracker, read):
    for step in (1, 2):
        tracker.log({"total_frames": step, "test/x": float(step)})
        tracker.finish("finished")
    assert [event.step for event in read().Scalars("test/x")] == [1, 2]


def test_a_full_disk_is_said_once_and_the_run_goes_on(context, said, monkeypatch):
    def fail(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(EventFile, "_open", fail)
    tracker = TensorBoardTracker(context)
    for step in range(3):
        tracker.log({"total_frames": step, "test/x": 1.0})
    tracker.finish("finished")
    assert len(said) == 1
    assert "EventFile.log failed (OSError: [Errno 28] No space left on device)" in said[0]


def test_without_the_package_the_run_does_not_start_and_the_extra_is_named(context, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'amago\[tensorboard\]'"):
        TensorBoardTracker(context)


def test_neither_torch_nor_tensorflow_is_imported_for_it(tmp_path):
    code = (
        "import sys, pathlib\n"
        "from amago.tracking.base import TrackerContext\n"
        "from amago.tracking.tensorboard_tracker import TensorBoardTracker\n"
        "tracker = TensorBoardTracker(TrackerContext('n', pathlib.Path(sys.argv[1])))\n"
        "tracker.log({'total_frames': 1, 'a/x': 1.0}); tracker.finish('finished')\n"
        "assert 'tensorboard' in sys.modules\n"
        "assert not {'torch', 'tensorflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
