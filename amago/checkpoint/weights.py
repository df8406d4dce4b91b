"""Policy weights alone: for evaluation, for other programs, and from a learner to its collectors.

A plain torch state dict, as published AMAGO weights are. It is read with `weights_only=True`, so
that loading it runs no code.

A learner publishes in `latest/`: first `policy.pt`, then `published.json`, which says which version
that is and how far the learner was. Each replaces the one before in one step, and a reader takes
them in the opposite order: the weights it gets are those of the version it has read, or newer.
Learners of AMAGO 3.x write no `published.json`; their weights are read all the same.
"""

import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from amago.core.atomic import sweep_temporaries, write_whole
from amago.core.errors import CheckpointError

_POLICY_FILE = re.compile(r"policy_epoch_(\d+)\.pt")


def policy_path(ckpt_dir: str | Path, epoch: int) -> Path:
    """Where the weights of an epoch are kept."""
    return Path(ckpt_dir) / "policy_weights" / f"policy_epoch_{epoch}.pt"


def latest_path(ckpt_dir: str | Path) -> Path:
    """Where a learner publishes."""
    return Path(ckpt_dir) / "latest" / "policy.pt"


def saved_epochs(ckpt_dir: str | Path) -> list[int]:
    """Epochs whose weights are there, ascending."""
    folder = Path(ckpt_dir) / "policy_weights"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(match[1]) for name in names if (match := _POLICY_FILE.fullmatch(name)))


def save_policy(path: str | Path, state_dict: Mapping[str, Any]) -> None:
    """Write the weights so that a reader sees the old file or the new one, whole.

    Raises:
        CheckpointError: the disk refused; the old file is then as it was.
    """
    path = Path(path)
    payload = io.BytesIO()
    torch.save({name: _alone(value) for name, value in state_dict.items()}, payload)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_temporaries(str(path.parent))
        write_whole(str(path), [payload.getbuffer()], fsync=True)
    except OSError as error:
        raise CheckpointError(f"could not save '{path}': {error}.") from error


def load_policy(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """The state dict at `path`.

    Raises:
        CheckpointError: the file is missing, truncated, altered, or holds more than weights.
    """
    path = Path(path)
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the weights '{path}': {error.strerror}.") from error
    try:
        _check_archive(payload)
        return _load(payload, map_location)
    except Exception as error:  # an altered pickle fails in whatever way its bytes happen to say
        reason = str(error).split("\n")[0]
        raise CheckpointError(f"'{path}' is not a file of weights: {reason}") from error


@dataclass(frozen=True, kw_only=True)
class Published:
    """What a learner says beside its weights.

    Args:
        version: 1, 2, ... in the order of publication, also across restarts of the learner.
        epoch: the one that had just been learnt.
        gradient_steps: optimiser steps so far.
        frames: by environment name, of the learner's own environments; collectors count theirs.
    """

    version: int
    epoch: int = 0
    gradient_steps: int = 0
    frames: dict[str, int] = field(default_factory=dict)


def publish_latest(
    ckpt_dir: str | Path,
    state_dict: Mapping[str, Any],
    *,
    epoch: int = 0,
    gradient_steps: int = 0,
    frames: Mapping[str, int] | None = None,
) -> Published:
    """Make these the latest weights (for the other arguments see `Published`).

    Raises:
        CheckpointError: the disk refused. What was published before is then as it was, unless it
            was the very last step that failed: then the weights are new, under the old version.
    """
    before = read_published(ckpt_dir)
    published = Published(
        version=1 if before is None else before.version + 1,
        epoch=epoch,
        gradient_steps=gradient_steps,
        frames=dict(frames or {}),
    )
    save_policy(latest_path(ckpt_dir), state_dict)
    path = _published_path(ckpt_dir)
    try:
        write_whole(str(path), [json.dumps(asdict(published)).encode()], fsync=True)
    except OSError as error:
        raise CheckpointError(f"could not save '{path}': {error}.") from error
    return published


def read_published(ckpt_dir: str | Path) -> Published | None:
    """What the learner said last; None if it said nothing that can be read."""
    try:
        content = json.loads(_published_path(ckpt_dir).read_bytes())
        published = Published(**{known.name: content[known.name] for known in fields(Published)})
        numbers = [published.version, published.epoch, published.gradient_steps]
        numbers += published.frames.values()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return published if all(type(number) is int for number in numbers) else None


def fetch_latest(ckpt_dir: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """The weights published last.

    Raises:
        CheckpointError: nothing was published yet, or it cannot be read.
    """
    return load_policy(latest_path(ckpt_dir), map_location)


class LatestWeights:
    """Reads each publication of a learner once.

    Attributes:
        version: of the weights fetched last; 0 if there were none, or if they had none.
    """

    def __init__(self, ckpt_dir: str | Path) -> None:
        self._ckpt_dir = ckpt_dir
        self._mark: tuple[Any, ...] | None = None
        self.version = 0

    def fetch_if_new(self, map_location: Any = "cpu") -> dict[str, Any] | None:
        """The weights published last; None if those have been fetched. Asking is cheap.

        Raises:
            CheckpointError: nothing was published yet, or it cannot be read. The next call tries
                again.
        """
        published = read_published(self._ckpt_dir)
        version = 0 if published is None else published.version
        # The file itself is looked at too: not every learner says versions.
        mark = (version, file_mark(latest_path(self._ckpt_dir)))
        if mark == self._mark:
            return None
        weights = fetch_latest(self._ckpt_dir, map_location)
        self._mark, self.version = mark, version
        return weights


def file_mark(path: str | Path) -> tuple[int, int, int] | None:
    """What changes when the file is replaced or touched; None while there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _published_path(ckpt_dir: str | Path) -> Path:
    return latest_path(ckpt_dir).with_name("published.json")


def _alone(value: Any) -> Any:
    """A tensor on the CPU, without the rest of a larger storage it may be a view of."""
    if not isinstance(value, Tensor):
        return value
    value = value.detach().cpu()
    return value.clone() if value.untyped_storage().nbytes() > value.nbytes else value


def _load(payload: bytes, map_location: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        # On pickle protocols that may not work: what does not is refused.
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(io.BytesIO(payload), map_location=map_location, weights_only=True)


def _check_archive(payload: bytes) -> None:
    """Compare the checksums, which torch's reader does not."""
    # A file in torch's format of before 1.6 is no archive and has none.
    if payload[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            wrong = archive.testzip()
        if wrong is not None:
            raise ValueError(f"the checksum of '{wrong}' differs")
