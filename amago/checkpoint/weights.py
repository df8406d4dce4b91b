"""Policy weights alone: for evaluation, for other programs, and from a learner to its collectors.

A plain torch state dict, as published AMAGO weights are. It is read with `weights_only=True`, so
that loading it runs no code.
"""

import io
import re
import warnings
import zipfile
from collections.abc import Mapping
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


def publish_latest(ckpt_dir: str | Path, state_dict: Mapping[str, Any]) -> None:
    """Make these the latest weights.

    Raises:
        CheckpointError: the disk refused; what was published before is then as it was.
    """
    save_policy(latest_path(ckpt_dir), state_dict)


def fetch_latest(ckpt_dir: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """The weights published last.

    Raises:
        CheckpointError: nothing was published yet, or it cannot be read.
    """
    return load_policy(latest_path(ckpt_dir), map_location)


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
