"""The names of stored trajectories, which carry their order.

    {env}_{sequence number}-{writer}-{random}-L{timesteps}_{unix time}.npz

`-cut` follows the number of timesteps where a fault of the environment ended the trajectory.

Three `_` fields with a time last, as earlier versions wrote and parsed them; the order is that of
the sequence number, because a clock may step back. No torch: recorders in env workers use this.
"""

import os
import re
from collections.abc import Iterable

from amago.core.names import slug

EXTENSIONS = (".npz", ".traj")

_OURS = re.compile(
    r"[A-Za-z0-9.-]+_(?P<sequence>\d{12,18})-(?P<writer>[0-9a-f]{8})-[0-9a-f]{8}"
    r"-L\d+(?P<cut>-cut)?_\d+\.\d+(?:\.npz|\.traj)"
)


def env_field(env_name: str) -> str:
    """`env_name` as the first field: without `_`, safe in a path."""
    return slug(env_name.replace("_", "").strip())


def file_stem(
    env_name: str,
    sequence: int,
    writer: int,
    random_part: int,
    length: int,
    unix_time: float,
    was_cut: bool = False,
) -> str:
    """The name of a file, without its extension.

    Args:
        sequence: grows from file to file; what eviction goes by.
        writer: 32 bits, different for every process that writes to the directory.
        random_part: 32 bits.
        length: stored timesteps.
        was_cut: a fault ended the trajectory, not the episode.
    """
    cut = "-cut" if was_cut else ""
    middle = f"{sequence:012d}-{writer:08x}-{random_part:08x}-L{length}{cut}"
    return f"{env_field(env_name)}_{middle}_{unix_time:.6f}"


def sequence_of(name: str) -> int | None:
    """The sequence number in a file name; None if this package did not choose the name."""
    match = _OURS.fullmatch(name)
    return int(match["sequence"]) if match else None


def writer_of(name: str) -> str | None:
    """The writer in a file name, 8 hex digits; None if this package did not choose the name."""
    match = _OURS.fullmatch(name)
    return match["writer"] if match else None


def is_cut(name: str) -> bool:
    """Whether a fault of the environment ended the trajectory in the file."""
    match = _OURS.fullmatch(name)
    return bool(match and match["cut"])


def next_sequence(names: Iterable[str]) -> int:
    """A number above that of every name."""
    return 1 + max((sequence_of(name) or 0 for name in names), default=0)


def age_key(path: str) -> tuple[int, float, str]:
    """Sorts files oldest first: by sequence number. Files named by others come before all of those,
    by the time in their name, or else by the time they were last written.
    """
    name = os.path.basename(path)
    sequence = sequence_of(name)
    if sequence is not None:
        return 1, sequence, name
    return 0, _foreign_time(path, name), name


def _foreign_time(path: str, name: str) -> float:
    fields = os.path.splitext(name)[0].split("_")
    if len(fields) == 3 and re.fullmatch(r"\d+(\.\d+)?", fields[2]):
        return float(fields[2])
    try:
        return os.path.getmtime(path)
    except FileNotFoundError:
        return 0.0
