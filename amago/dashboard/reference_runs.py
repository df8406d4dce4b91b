"""Records of finished runs that come with amago: packing them, and unpacking them to look at.

`amago/dashboard/reference/<name>.zip` holds one run's folder: `tracking/*.jsonl` with fewer rows,
`tracking/*.log`, `config.json` and `config.gin`, and nothing that says on which machine it ran.
"""

import io
import json
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from amago.core.atomic import write_whole
from amago.core.errors import AmagoError
from amago.dashboard.anonymise import Anonymiser
from amago.tracking.reader import read_events
from amago.tracking.sections import section
from amago.tracking.values import to_line

REFERENCES = Path(__file__).parent / "reference"

LARGEST = 1_000_000
"""Bytes that a packed run may take."""

_LARGEST_UNPACKED = 200_000_000
_LONGEST_LOG = 200_000
_MOST_KINDS = 50
_FIXED_TIME = (2026, 1, 1, 0, 0, 0)

Line = dict[str, Any]


def unpack_references(folder: Path, source: Path = REFERENCES) -> list[Path]:
    """Unpack every reference run into `folder`; returns their folders.

    Raises:
        AmagoError: there are none, or a file is not one of ours.
    """
    archives = sorted(source.glob("*.zip"))
    if not archives:
        raise AmagoError(f"this installation of amago has no reference runs: {source} is empty.")
    return [unpack(archive, folder / archive.stem) for archive in archives]


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack one run; its members may lie below `folder` only."""
    with zipfile.ZipFile(archive) as packed:
        members = packed.infolist()
        if sum(member.file_size for member in members) > _LARGEST_UNPACKED:
            raise AmagoError(f"{archive} is too large to be a reference run.")
        for member in members:
            name = PurePosixPath(member.filename)
            is_link = stat.S_ISLNK(member.external_attr >> 16)
            if name.is_absolute() or ".." in name.parts or "\\" in member.filename or is_link:
                raise AmagoError(f"{archive} holds {member.filename!r}, which leads elsewhere.")
            if not member.is_dir():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(packed.read(member))
    return folder


def pack_reference(
    run_dir: str | os.PathLike[str], out: str | os.PathLike[str], largest: int = LARGEST
) -> int:
    """Pack a finished run's record into the zip file `out`; returns its size in bytes.

    As many rows are left out, evenly over the run, as it takes to stay below `largest`; each kind
    of row (evaluation, training, ...) keeps its first and its last. Equal records give equal bytes.

    Raises:
        AmagoError: there is no record in `run_dir`, or even few rows are too large.
    """
    folder = Path(run_dir)
    sessions = [event for event in read_events(folder) if event["kind"] == "session"]
    if not sessions:
        raise AmagoError(f"{folder} holds no record: there is no session in its tracking/*.jsonl.")
    anonymiser = Anonymiser(sessions)
    writers = {file.stem: _lines(file) for file in sorted((folder / "tracking").glob("*.jsonl"))}
    longest = max(len(lines) for lines in writers.values())
    every = 1
    while every <= longest:
        data = _packed(folder, writers, anonymiser, every)
        if len(data) < largest:
            write_whole(os.fspath(out), [data])
            return len(data)
        every = max(every + 1, round(every * 1.25))
    raise AmagoError(f"{folder}: even with few rows its record takes more than {largest} bytes.")


def _packed(
    folder: Path, writers: dict[str, list[Line]], anonymiser: Anonymiser, every: int
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for writer, lines in writers.items():
            kept = b"".join(to_line(_clean(line, anonymiser)) for line in thin(lines, every))
            _add(packed, f"tracking/{writer}.jsonl", kept)
            log = folder / "tracking" / f"{writer}.log"
            if log.is_file():
                text = log.read_text(encoding="utf-8", errors="replace")[-_LONGEST_LOG:]
                _add(packed, f"tracking/{writer}.log", anonymiser.text(text).encode())
        for name in ("config.json", "config.gin"):
            file = folder / name
            if file.is_file():
                text = file.read_text(encoding="utf-8", errors="replace")
                _add(packed, name, _clean_settings(name, text, anonymiser).encode())
    return buffer.getvalue()


def _add(packed: zipfile.ZipFile, name: str, data: bytes) -> None:
    member = zipfile.ZipInfo(name, _FIXED_TIME)
    member.compress_type = zipfile.ZIP_DEFLATED
    packed.writestr(member, data)


def thin(lines: list[Line], every: int) -> list[Line]:
    """Every n-th row of each kind, and its first and last; all lines that are no rows."""
    rows = [i for i, line in enumerate(lines) if line["kind"] == "row"]
    by_kind = _grouped(rows, lambda i: frozenset(lines[i]["data"]))
    if len(by_kind) > _MOST_KINDS:  # hardly two rows hold the same metrics
        by_kind = _grouped(rows, lambda i: frozenset(map(section, lines[i]["data"])))
    kept = {i for rows in by_kind.values() for i in (*rows[::every], rows[-1])}
    return [line for i, line in enumerate(lines) if line["kind"] != "row" or i in kept]


def _grouped(
    rows: list[int], kind: Callable[[int], frozenset[str]]
) -> dict[frozenset[str], list[int]]:
    groups: dict[frozenset[str], list[int]] = {}
    for row in rows:
        groups.setdefault(kind(row), []).append(row)
    return groups


def _clean(line: Line, anonymiser: Anonymiser) -> Line:
    if line["kind"] == "session":
        return anonymiser.session(line)
    if line["kind"] == "row":
        data = line["data"].items()
        kept = {k: anonymiser.text(v) if isinstance(v, str) else v for k, v in data}
        return line | {"data": {k: v for k, v in kept.items() if not _is_file(v)}}
    return anonymiser.value(line)


def _clean_settings(name: str, text: str, anonymiser: Anonymiser) -> str:
    if not name.endswith(".json"):
        return anonymiser.text(text)
    return json.dumps(anonymiser.value(json.loads(text)), indent=2) + "\n"


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and "media" in value


def _lines(file: Path) -> list[Line]:
    return list(_whole_lines(file))


def _whole_lines(file: Path) -> Iterator[Line]:
    with open(file, "rb") as stream:
        for text in stream:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and "kind" in line:
                yield line
