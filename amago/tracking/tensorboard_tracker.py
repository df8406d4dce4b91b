"""TensorBoard: `Experiment(trackers=[TensorBoardTracker])`, then `tensorboard --logdir FOLDER`.

Uses the package `tensorboard`, which shows the files as well as it writes them, and does so without
torch (`tensorboardX` imports it when it can). A row is one event: written scalar by scalar, as is
usual, 300 of them take ten times as long.
"""

import functools
import importlib.util
import json
import os
import socket
import time
from collections.abc import Iterable, Mapping
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from amago.core.errors import MissingExtraError
from amago.core.values import Histogram, Image, Table, Video
from amago.tracking.background import Background
from amago.tracking.base import TrackerContext
from amago.tracking.config_files import recordable
from amago.tracking.media import encode
from amago.tracking.sections import section
from amago.tracking.values import plain_row

_TIME = "_time"
_file_numbers = count()


class TensorBoardTracker:
    """Writes event files into `<run_dir>/tensorboard`, in a thread of its own.

    The step of a row is its default x-axis: frames, or gradient steps if the run collects nothing.
    The other axes are charts below `Charts/`.

    Raises:
        MissingExtraError: the package `tensorboard` is not installed.
    """

    def __init__(self, context: TrackerContext) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise MissingExtraError("tensorboard", "tensorboard", "TensorBoardTracker")
        folder = context.run_dir / "tensorboard"
        self._behind = Background(EventFile(folder, context.default_axis), context.warn)

    def config(self, config: Mapping[str, Any]) -> None:
        """Show the settings, and the command, as texts."""
        self._behind.config(config)

    def log(self, row: Mapping[str, Any]) -> None:
        """Write one row, with the time it is now."""
        self._behind.log({_TIME: time.time(), **row})

    def finish(self, status: str) -> None:
        """Close the file. A later row begins another, which TensorBoard shows as one."""
        self._behind.finish(status)


class EventFile:
    """A tracker that writes event files, in the thread that calls it. It opens one when needed.

    Raises:
        OSError: from every method, when the disk is full.
    """

    def __init__(self, folder: Path, default_axis: str) -> None:
        self._folder = folder
        self._default_axis = default_axis
        self._stream: BinaryIO | None = None
        self._records: Any = None

    def config(self, config: Mapping[str, Any]) -> None:
        """Write the settings as a text."""
        text = json.dumps(recordable(config), indent=2)
        indented = "".join(f"    {line}\n" for line in text.splitlines())  # as Markdown has code
        self._write([_text("config", indented)], step=0, wall_time=time.time())

    def log(self, row: Mapping[str, Any]) -> None:
        """Write one row as one event."""
        row = plain_row(row)
        wall_time = row.pop(_TIME, None) or time.time()
        step = int(row.get(self._default_axis) or 0)
        values = (_summary_value(name, value) for name, value in row.items())
        self._write([value for value in values if value is not None], step, wall_time)

    def finish(self, status: str) -> None:
        """Write the status as a text, and close the file."""
        self._write([_text("status", status)], step=0, wall_time=time.time())
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _write(self, values: Iterable[Any], step: int, wall_time: float) -> None:
        if self._stream is None:
            self._open()
        summary = _proto("summary").Summary(value=values)
        event = _proto("event").Event(wall_time=wall_time, step=step, summary=summary)
        self._records.write(event.SerializeToString())
        self._records.flush()

    def _open(self) -> None:
        from tensorboard.summary.writer.record_writer import (  # pyright: ignore[reportMissingImports]
            RecordWriter,
        )

        now = time.time()
        host = socket.gethostname()
        name = f"events.out.tfevents.{now:010.0f}.{host}.{os.getpid()}.{next(_file_numbers)}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stream = open(self._folder / name, "wb")  # noqa: SIM115  closed by `finish`
        self._records = RecordWriter(self._stream)
        first = _proto("event").Event(wall_time=now, file_version="brain.Event:2")
        self._records.write(first.SerializeToString())


# ------------------------------------------------------------------------------------ values


def _summary_value(name: str, value: Any) -> Any:
    """One entry of an event; None for a value there is nothing to show of."""
    entry = _proto("summary").Summary.Value
    tag = name if "/" in name and section(name) != "Charts" else f"Charts/{name}"
    if isinstance(value, bool | int | float):
        return entry(tag=tag, simple_value=float(value))
    if isinstance(value, str):
        return _text(tag, value)
    if isinstance(value, Histogram):
        return entry(tag=tag, histo=_histogram(value))
    if isinstance(value, Image):
        return entry(tag=tag, image=_image(value, value.pixels.shape))
    if isinstance(value, Video):  # a GIF, which it plays
        return entry(tag=tag, image=_image(value, value.frames.shape[1:]))
    return _text(tag, _markdown(value)) if isinstance(value, Table) else None


def _text(tag: str, text: str) -> Any:
    summary, tensor, shape = _proto("summary"), _proto("tensor"), _proto("tensor_shape")
    plugin = summary.SummaryMetadata.PluginData(plugin_name="text")
    content = tensor.TensorProto(
        dtype=_proto("types").DT_STRING,
        string_val=[text.encode(errors="backslashreplace")],
        tensor_shape=shape.TensorShapeProto(dim=[shape.TensorShapeProto.Dim(size=1)]),
    )
    metadata = summary.SummaryMetadata(plugin_data=plugin)
    return summary.Summary.Value(tag=tag, metadata=metadata, tensor=content)


def _image(value: Image | Video, shape: tuple[int, ...]) -> Any:
    height, width, channels = shape
    encoded = encode(value)
    return _proto("summary").Summary.Image(
        height=height, width=width, colorspace=channels, encoded_image_string=encoded
    )


def _histogram(value: Histogram) -> Any:
    """Its moments are those of a sample in the middle of each bin."""
    counts, edges = np.asarray(value.counts, float), np.asarray(value.edges, float)
    middles = (edges[:-1] + edges[1:]) / 2
    return _proto("histogram").HistogramProto(
        min=edges[0],
        max=edges[-1],
        num=counts.sum(),
        sum=counts @ middles,
        sum_squares=counts @ middles**2,
        bucket_limit=edges[1:].tolist(),
        bucket=counts.tolist(),
    )


def _markdown(table: Table) -> str:
    lines = [table.columns, ["---"] * len(table.columns), *table.rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


@functools.cache
def _proto(name: str) -> Any:
    """A module of TensorBoard's file format; found when it is first needed."""
    return import_module(f"tensorboard.compat.proto.{name}_pb2")
