"""Save and load everything a resumed run needs: whole and verified, or not at all.

A training state is a folder (see the package's page). It is committed by one rename after its
files are on the disk; a reader checks every byte against the manifest before it uses any.
Only the learner that holds the run's lock writes.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from safetensors import SafetensorError

from amago.checkpoint import tensor_file
from amago.checkpoint.encoding import decode, encode
from amago.core.atomic import sync, write_whole
from amago.core.errors import CheckpointError, amago_warning

MANIFEST = "MANIFEST.json"
_FORMAT = "amago training state"
_VERSION = 1
_PART_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HIDDEN = re.compile(r"\.(?P<name>.+)\.(?P<kind>tmp|old|trash)")
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, RecursionError)


def save_state(
    path: str | Path, parts: Mapping[str, Any], info: Mapping[str, Any] | None = None
) -> None:
    """Write a training state, in place of an older one of the same name.

    Args:
        path: the folder, `training_states/{run}_epoch_{E}`.
        parts: by name (letters, digits, `-`, `_`), e.g. "model", "optimizer", "rng"; each a value
            that `encoding.encode` takes.
        info: plain values for the manifest, e.g. the step; read by `read_info` without the rest.

    Raises:
        CheckpointError: something cannot be stored, or the disk refused. What was saved before is
            then as it was.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_hidden(path.parent)
        try:
            scratch = _hidden(path, "tmp")
            _write_folder(scratch, parts, _plain(info or {}), _next_sequence(path.parent))
            _put_in_place(scratch, path)
        except BaseException:
            with contextlib.suppress(OSError):
                _clear_hidden(path.parent)
            raise
    except OSError as error:
        raise CheckpointError(
            f"could not save '{path}': {error}. Earlier checkpoints are untouched."
        ) from error


def load_state(path: str | Path) -> dict[str, Any]:
    """The parts that were saved, tensors on the CPU, after every file has been verified.

    Raises:
        CheckpointError: the folder or a file is missing, truncated or altered; names which.
    """
    folder = _locate(Path(path))
    manifest = _read_manifest(folder)
    return {name: _read_part(folder, name, manifest) for name in manifest["parts"]}


def read_info(path: str | Path) -> dict[str, Any]:
    """The `info` that was saved with the state; reads the manifest only.

    Raises:
        CheckpointError: the folder or its manifest is missing or altered.
    """
    return decode(_read_manifest(_locate(Path(path)))["info"], {}, {})


def verify(path: str | Path) -> None:
    """Check every byte of a training state.

    Raises:
        CheckpointError: the folder or a file is missing, truncated or altered; names which.
    """
    folder = _locate(Path(path))
    manifest = _read_manifest(folder)
    for name in manifest["files"]:
        _read_verified(folder, name, manifest)


def newest_valid(folder: str | Path) -> Path | None:
    """The training state in `folder` that was saved last and verifies; None if none does.

    Saved last is a number in the manifest, not a time: clocks jump. Warns about what it skips.
    """
    found = []
    for path in _states(Path(folder)):
        try:
            found.append((_sequence(path), path))
        except CheckpointError as error:
            amago_warning(f"skipped a checkpoint: {error}")
    for _, path in sorted(found, reverse=True):
        try:
            verify(path)
            return path
        except CheckpointError as error:
            amago_warning(f"skipped a checkpoint: {error}")
    return None


def best(folder: str | Path, key: str) -> Path | None:
    """The training state in `folder` whose `info[key]` is highest; the later of two equals.

    States that are not whole, or whose `info` has no number under that key, do not count; None if
    there is no other.
    """
    scored = []
    for path in _states(Path(folder)):
        if _is_whole(path):
            score = read_info(path).get(key)
            if isinstance(score, (int, float)) and not math.isnan(score):
                scored.append((score, _sequence(path), path))
    return max(scored)[-1] if scored else None


def remove(path: str | Path) -> None:
    """Delete one training state, if it is there.

    Raises:
        CheckpointError: it could not be removed.
    """
    path = Path(path)
    if path.parent.is_dir():
        _delete(path.parent, [path])


def prune(
    folder: str | Path, keep_last: int, keep_every: int | None = None, keep: Iterable[str] = ()
) -> list[Path]:
    """Delete old training states and return their paths. Folders that are not ours stay.

    Args:
        keep_last: how many of the newest to keep, at least 1.
        keep_every: also keep those whose epoch (the number that ends the name) is a multiple.
        keep: also keep these names.

    Raises:
        CheckpointError: a folder could not be removed.
    """
    if keep_last < 1:
        raise CheckpointError(f"keep_last is {keep_last}: that would delete the only checkpoint.")
    keep = set(keep)
    whole = sorted((_sequence(path), path) for path in _states(Path(folder)) if _is_whole(path))
    doomed = [
        path
        for _, path in whole[:-keep_last]
        if path.name not in keep and not (keep_every and _epoch(path) % keep_every == 0)
    ]
    if doomed:
        _delete(Path(folder), doomed)
    return doomed


def _delete(folder: Path, doomed: Iterable[Path]) -> None:
    """Out of sight first, each by one rename: a state is never there in part."""
    try:
        _clear_hidden(folder)
        for path in doomed:
            if path.exists():
                os.rename(path, _hidden(path, "trash"))
        _clear_hidden(folder)
    except OSError as error:
        raise CheckpointError(f"could not delete old checkpoints: {error}") from error


# ------------------------------------------------------------------------------------ writing


def _write_folder(folder: Path, parts: Mapping[str, Any], info: Any, sequence: int) -> None:
    os.mkdir(folder)
    files: dict[str, dict[str, Any]] = {}
    aliases: dict[str, dict[str, str]] = {}
    for name, value in parts.items():
        if not _PART_NAME.fullmatch(name):
            raise CheckpointError(f"'{name}' cannot name a part: use letters, digits, '-', '_'.")
        encoded = encode(value, name)
        aliases[name] = encoded.aliases
        _write(folder, f"{name}.json", [_json(encoded.tree)], files)
        if encoded.tensors:
            pieces = tensor_file.pieces(encoded.tensors)
            _write(folder, f"{name}.safetensors", pieces, files)
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "sequence": sequence,
        "info": info,
        "parts": aliases,
        "files": files,
    }
    manifest = _json({**content, "digest": _digest(_json(content))})
    write_whole(str(folder / MANIFEST), [manifest], fsync=True)


def _plain(info: Mapping[str, Any]) -> Any:
    numbers = {key: v.item() if isinstance(v, np.generic) else v for key, v in info.items()}
    encoded = encode(numbers, "info")
    if encoded.tensors:
        raise CheckpointError(f"info holds tensors or arrays ({', '.join(encoded.tensors)}).")
    return encoded.tree


def _write(
    folder: Path,
    name: str,
    pieces: Sequence[bytes | memoryview],
    files: dict[str, dict[str, Any]],
) -> None:
    size = write_whole(str(folder / name), pieces, fsync=True)
    files[name] = {"size": size, "sha256": _digest(*pieces)}


def _put_in_place(scratch: Path, path: Path) -> None:
    # A folder cannot be renamed onto another. Until the second rename a reader finds the
    # predecessor under its hidden name, and so does the next save after a crash.
    if path.exists():
        os.rename(path, _hidden(path, "old"))
    os.rename(scratch, path)
    try:
        sync(str(path.parent))
    except OSError:
        os.rename(path, scratch)  # it may not survive: then the predecessor is what was saved
        raise
    _discard(_hidden(path, "old"))


def _clear_hidden(folder: Path) -> None:
    """Finish or undo what a save or a deletion left behind when it was interrupted."""
    for path in sorted(folder.glob(".*")):
        match = _HIDDEN.fullmatch(path.name)
        if not match:
            continue
        final = folder / match["name"]
        if match["kind"] == "old" and not final.exists():
            os.rename(path, final)
        else:
            _discard(path)


def _discard(hidden: Path) -> None:
    """Delete what no longer counts; what the disk refuses to delete is left to the next save."""
    with contextlib.suppress(OSError):  # not `ignore_errors`, which lets an error of `close` pass
        shutil.rmtree(hidden)


def _next_sequence(folder: Path) -> int:
    numbers = [0]
    for path in _states(folder):
        with contextlib.suppress(CheckpointError):
            numbers.append(_sequence(path))
    return max(numbers) + 1


# ------------------------------------------------------------------------------------ reading


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        payload = path.read_bytes()
        manifest = json.loads(payload)
        content = {key: value for key, value in manifest.items() if key != "digest"}
        # The bytes too: white space and the like are not covered by the digest.
        is_as_written = payload == _json(manifest) and manifest["digest"] == _digest(_json(content))
        if manifest["format"] != _FORMAT or not is_as_written:
            raise CheckpointError(f"{path}: the file has been altered.")
        if manifest["version"] != _VERSION:
            raise CheckpointError(
                f"{path}: version {manifest['version']} of the format; this release reads "
                f"{_VERSION}. Use the release that wrote it."
            )
        if not all(_PART_NAME.fullmatch(name) for name in manifest["parts"]):
            raise CheckpointError(f"{path}: a part has a name that no save would give it.")
        return manifest
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror}. Not a complete training state."
        ) from error
    except _MALFORMED as error:
        raise CheckpointError(f"{path}: truncated or altered ({error}).") from error


def _read_part(folder: Path, name: str, manifest: dict[str, Any]) -> Any:
    tree_file, tensor_file = f"{name}.json", f"{name}.safetensors"
    try:
        tree = json.loads(_read_verified(folder, tree_file, manifest))
        tensors = {}
        if tensor_file in manifest["files"]:
            tensors = safetensors.torch.load(_read_verified(folder, tensor_file, manifest))
        return decode(tree, tensors, manifest["parts"][name])
    except (*_MALFORMED, SafetensorError) as error:
        raise CheckpointError(f"{folder / name}: not what a save writes ({error}).") from error


def _read_verified(folder: Path, name: str, manifest: dict[str, Any]) -> bytes:
    path = folder / name
    try:
        expected = manifest["files"][name]
        size = path.stat().st_size
        if size != expected["size"]:
            raise CheckpointError(f"{path}: {size} bytes instead of {expected['size']}.")
        payload = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}.") from error
    except KeyError as error:
        raise CheckpointError(f"{path}: the manifest does not list it.") from error
    if _digest(payload) != expected["sha256"]:
        raise CheckpointError(f"{path}: the content has been altered (SHA-256 differs).")
    return payload


def _locate(path: Path) -> Path:
    """Where the state of this name is: its own folder, or the predecessor of an unfinished save."""
    for folder in (path, _hidden(path, "old")):
        if folder.is_dir():
            return folder
    raise CheckpointError(f"there is no checkpoint at '{path}'.")


def _states(folder: Path) -> list[Path]:
    """Paths of what may be a training state, finished or about to be replaced."""
    if not folder.is_dir():
        return []
    names = set()
    for path in folder.iterdir():
        match = _HIDDEN.fullmatch(path.name)
        if match and match["kind"] == "old":
            names.add(match["name"])
        elif path.is_dir() and not path.name.startswith("."):
            names.add(path.name)
    return [folder / name for name in sorted(names)]


def _sequence(path: Path) -> int:
    return _read_manifest(_locate(path))["sequence"]


def _is_whole(path: Path) -> bool:
    """Whether every file is there in full length (cheaper than `verify`)."""
    try:
        folder = _locate(path)
        files = _read_manifest(folder)["files"]
        return all((folder / name).stat().st_size == file["size"] for name, file in files.items())
    except (CheckpointError, OSError):
        return False


def _epoch(path: Path) -> int:
    number = re.search(r"\d+$", path.name)
    return int(number.group()) if number else -1


def _hidden(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}")


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, indent=1).encode("ascii")


def _digest(*pieces: bytes | memoryview) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
