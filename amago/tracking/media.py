"""Images, videos and tables as files beside the record, and as bytes for any tracker.

`tracking/media/<writer>/<metric>-<step>.png`, `.gif` or `.json`; the row of the record names the
file. PNG and GIF need Pillow, and every program of the last twenty-five years shows them. A table
is `{"columns": [...], "rows": [[...], ...]}`, with NaN and infinity as in a row.
"""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from amago.core.atomic import write_whole
from amago.core.errors import MissingExtraError
from amago.core.names import slug
from amago.core.values import Image, Media, Table, Video
from amago.tracking.values import decode, finite

_SUFFIXES = {Image: "png", Video: "gif", Table: "json"}
_SHORTEST_FRAME_MS = 20
"""Programs that show a GIF take a shorter time for a mistake, and play it slowly."""


def encode(value: Media) -> bytes:
    """`value` as the bytes of a PNG, a GIF or a JSON file.

    Raises:
        MissingExtraError: an image or a video, without Pillow.
    """
    if isinstance(value, Table):
        return _encode_table(value)
    return _encode_image(value) if isinstance(value, Image) else _encode_video(value)


class MediaFolder:
    """Keeps the media of one writer of a record. Used by the thread that writes its rows.

    Args:
        record: the writer's `.jsonl` file, `<run_dir>/tracking/<writer>.jsonl`.
        warn: shows one line, once for each kind of trouble; may be called from another thread.
    """

    def __init__(self, record: Path, warn: Callable[[str], None]) -> None:
        self._run_dir = record.parent.parent
        self._folder = record.parent / "media" / record.stem
        self._warn = warn
        self._warned: set[str] = set()

    def keep(self, name: str, step: int, value: Media) -> dict[str, Any]:
        """Write the file of metric `name` in row `step`. Returns the value that the row has.

        That is `value.describe()` and `file`, relative to the run's folder with `/` on every
        system; None if it could not be written, which never raises.
        """
        path = self._folder / f"{slug(name)}-{step}.{_SUFFIXES[type(value)]}"
        try:
            data = encode(value)
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(str(path), [data])
        except MissingExtraError as error:
            self._warn_once("extra", f"{error} The record keeps the sizes only.")
        except Exception as error:  # a full disk, or a picture that the format cannot hold
            problem = f"cannot write {path} ({error}). The run goes on; this is said once."
            self._warn_once("file", problem)
        else:
            return value.describe() | {"file": path.relative_to(self._run_dir).as_posix()}
        return value.describe() | {"file": None}

    def _warn_once(self, kind: str, problem: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(problem)


def load(run_dir: Path, reference: Mapping[str, Any]) -> Media | None:
    """The value that `MediaFolder.keep` returned `reference` for; None if its file is gone.

    A video comes back with the colours that a GIF has.

    Raises:
        MissingExtraError: an image or a video, without Pillow.
    """
    if not reference.get("file"):
        return None
    file = run_dir / reference["file"]
    if not (file.is_file() and file.resolve().is_relative_to(run_dir.resolve())):
        return None
    if reference["media"] == "table":
        content = json.loads(file.read_bytes())
        return Table(
            content["columns"], [[decode(cell) for cell in row] for row in content["rows"]]
        )
    with _pillow().open(file) as pictures:
        if reference["media"] == "image":
            return Image(np.asarray(pictures))
        frames = [_frame(pictures, i) for i in range(getattr(pictures, "n_frames", 1))]
        return Video(np.stack(frames), reference["fps"])


def _frame(pictures: Any, i: int) -> np.ndarray:
    pictures.seek(i)
    return np.asarray(pictures.convert("RGB"))


def _encode_table(table: Table) -> bytes:
    content = {"columns": list(table.columns), "rows": finite(table.rows)}
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")


def _encode_image(image: Image) -> bytes:
    buffer = io.BytesIO()
    as_picture(image.pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _encode_video(video: Video) -> bytes:
    buffer = io.BytesIO()
    first, *others = (as_picture(frame) for frame in video.frames)
    duration = max(_SHORTEST_FRAME_MS, round(1000 / video.fps))
    first.save(*(buffer, "GIF"), save_all=True, append_images=others, duration=duration, loop=0)
    return buffer.getvalue()


def as_picture(pixels: Any) -> Any:
    """`[height, width, 1, 3 or 4]` uint8 as Pillow's image.

    Raises:
        MissingExtraError: without Pillow.
    """
    return _pillow().fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _pillow() -> Any:
    try:
        from PIL import Image as pillow
    except ImportError as error:
        raise MissingExtraError("pillow", "media", "Keeping images and videos") from error
    return pillow
