import json
import math

import numpy as np
import pytest

from amago.core.errors import AmagoWarning
from amago.core.values import Histogram, Image, Table, Video
from amago.tracking.values import decode, plain_row, to_line


def pixels(*shape: int) -> np.ndarray:
    return np.arange(math.prod(shape), dtype=np.uint8).reshape(shape)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_image_has_one_three_or_four_channels(channels):
    assert Image(pixels(4, 5, channels)).pixels.shape == (4, 5, channels)


def test_an_image_without_channels_is_grey():
    assert Image(pixels(4, 5)).pixels.shape == (4, 5, 1)


@pytest.mark.parametrize("make", [lambda p: Image(p[0]).pixels, lambda p: Video(p).frames])
def test_pixels_are_copied_since_the_buffer_is_used_again(make):
    buffer = pixels(2, 4, 5, 3)
    kept = make(buffer)
    buffer[:] = 0
    assert kept.any()


@pytest.mark.parametrize("shape", [(3,), (4, 5, 2), (2, 4, 5, 3), (0, 5, 3)])
def test_an_image_of_another_shape_is_refused_with_its_shape(shape):
    with pytest.raises(ValueError, match=rf"an Image has the shape .*, not \[{shape[0]},?"):
        Image(np.zeros(shape, np.uint8))


def test_pixels_between_0_and_1_are_refused_with_what_to_do():
    with pytest.raises(TypeError, match=r"uint8, not float32; .*\(255 \* x\)\.astype"):
        Image(np.zeros((4, 5, 3), np.float32))


@pytest.mark.parametrize("shape", [(4, 5, 3), (2, 4, 5, 1), (0, 4, 5, 3)])
def test_a_video_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"a Video has the shape \[time, height, width, 3\], not"):
        Video(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("fps", [0, -1.0, math.inf, math.nan])
def test_a_video_moves(fps):
    with pytest.raises(ValueError, match="more than 0 frames a second"):
        Video(pixels(2, 4, 5, 3), fps=fps)


def test_a_table_holds_plain_cells():
    table = Table(("name", "value"), [("a", np.float32(0.5)), (None, True)])
    assert table.rows == [["a", 0.5], [None, True]]


@pytest.mark.parametrize(
    "columns, rows, kind, problem",
    [
        (["a", "b"], [[1, 2], [3]], ValueError, "row 1 of a Table has 1 cells, .* 2 columns: a, b"),
        (["a", "a"], [], ValueError, "columns of different names"),
        ([], [], ValueError, "columns of different names"),
        (["a"], [[np.zeros(3)]], TypeError, "a cell of a Table holds"),
    ],
)
def test_a_bad_table_is_refused_with_what_is_wrong(columns, rows, kind, problem):
    with pytest.raises(kind, match=problem):
        Table(columns, rows)


def test_a_row_may_hold_every_typed_value():
    row = {"a/i": Image(pixels(4, 5)), "a/v": Video(pixels(2, 4, 5, 3)), "a/t": Table(["x"], [])}
    assert plain_row(row) == row


def test_a_tensor_that_is_no_scalar_is_named_not_silently_dropped():
    with pytest.warns(AmagoWarning, match="'a/x' was not recorded: an array of shape"):
        assert plain_row({"a/x": np.zeros((2, 3)), "a/y": np.float32(1)}) == {"a/y": 1.0}


def written(data: dict, keep=None) -> dict:
    entry = {"kind": "row", "step": 7, "data": data}
    return json.loads(to_line(entry, keep))["data"]


def test_a_line_holds_what_keeping_a_medium_returned():
    def keep(name, step, value):
        return value.describe() | {"file": f"{name}-{step}"}

    image = Image(pixels(4, 5, 3))
    stored = written({"a/i": image, "a/x": math.nan}, keep)
    assert stored == {
        "a/i": {"media": "image", "shape": [4, 5, 3], "file": "a/i-7"},
        "a/x": "NaN",
    }
    assert decode(stored["a/i"]) == stored["a/i"]


def test_a_line_without_a_place_for_media_says_what_they_were():
    stored = written({"a/v": Video(pixels(2, 4, 5, 3), fps=4), "a/t": Table(["x"], [[1]])})
    assert stored == {
        "a/v": {"media": "video", "shape": [2, 4, 5, 3], "fps": 4, "file": None},
        "a/t": {"media": "table", "columns": ["x"], "rows": 1, "file": None},
    }


def test_a_histogram_reads_back_as_it_was():
    given = Histogram.of(np.arange(10.0), bins=4)
    found = decode(written({"a/h": given})["a/h"])
    np.testing.assert_array_equal(found.counts, given.counts)
    np.testing.assert_array_equal(found.edges, given.edges)
