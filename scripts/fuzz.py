"""Damages trajectory files at random and reads them: each must be refused, or be what it was.

    python scripts/fuzz.py --mutations 100000 --seed 1 --json out.json

The same seed makes the same files. Two kinds of damage: of the bytes of a file, where the only
right answers are an error or the original; and of arrays, packed again with correct checksums, as
somebody would who means harm, where the right answers are an error or a sound trajectory. The
error is always `TrajectoryError`. The exit status is 1 if anything else happened.
"""

import argparse
import io
import json
import random
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amago.core.errors import TrajectoryError
from amago.core.npz import encode
from amago.hindsight import FrozenTraj
from amago.loading.windows import WindowReader, load_traj_from_disk

Arrays = dict[str, np.ndarray]

INTERESTING = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
SIGNATURES = (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"\x93NUMPY", b"'shape'", b"'descr'")
OPS = ("flip", "overwrite", "truncate", "insert", "delete", "swap", "header", "member", "splice")


# ---------------------------------------------------------------------------------- the files


def trajectory(length: int = 4, tag: int = 0) -> Arrays:
    """A sound trajectory of `length` transitions, as the arrays of a file."""
    t = np.arange(length + 1, dtype=np.float32)[:, None] + 100 * tag
    rl2s = np.concatenate((t, -t, 2 * t), axis=1)
    return {
        "_OBS_KEY_x": np.concatenate((t, t), axis=1),
        "_OBS_KEY_y": np.concatenate((-t, t), axis=1),
        "_OBS_KEY_image": (t[:, :, None] + np.zeros((2, 2))).astype(np.uint8),
        "rl2s": rl2s,
        "time_idxs": np.arange(length + 1)[:, None],
        "rews": rl2s[1:, :1].copy(),
        "dones": t[1:] == length,
        "actions": rl2s[1:, 1:].copy(),
    }


def _saved(save: Callable[..., None], arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


PACKED: dict[str, Callable[[Arrays], bytes]] = {
    "ours": lambda arrays: b"".join(encode(arrays)),
    "numpy": lambda arrays: _saved(np.savez, arrays),
    "compressed": lambda arrays: _saved(np.savez_compressed, arrays),
}


# --------------------------------------------------------------------------------- the damage


@dataclass(frozen=True)
class Op:
    """One change of bytes. `at`, `length` and `value` are any integers; each kind takes from them
    what it needs, modulo what there is."""

    kind: str
    at: int
    length: int
    value: int

    def apply(self, data: bytes, other: bytes) -> bytes:
        """`data`, changed. `other`: another file of the same format."""
        if not data:
            return data
        at, length = self.at % len(data), 1 + self.length % 64
        match self.kind:
            case "flip":
                return data[:at] + bytes([data[at] ^ 1 << self.value % 8]) + data[at + 1 :]
            case "overwrite":
                return data[:at] + self._noise(length) + data[at + length :]
            case "truncate":
                return data[:at]
            case "insert":
                return data[:at] + self._noise(length) + data[at:]
            case "delete":
                return data[:at] + data[at + length :]
            case "swap":
                return _swapped(data, at, self.value % len(data), length)
            case "header":
                return self._header(data)
            case "member":
                return self._repeated_member(data)
        return data[:at] + other[self.value % (len(other) or 1) :]  # splice

    def _noise(self, length: int) -> bytes:
        return random.Random(self.value).randbytes(length)

    def _header(self, data: bytes) -> bytes:
        """An interesting number close behind a signature."""
        places = [i for s in SIGNATURES for i in range(len(data)) if data.startswith(s, i)]
        if not places:
            return data
        at = places[self.at % len(places)] + self.length % 48
        number = INTERESTING[self.value % len(INTERESTING)]
        width = (1, 2, 4)[self.value % 3]
        return (
            data[:at]
            + (number & (1 << 8 * width) - 1).to_bytes(width, "little")
            + data[at + width :]
        )

    def _repeated_member(self, data: bytes) -> bytes:
        """One line of the directory twice, counted correctly."""
        starts = [i for i in range(len(data)) if data.startswith(b"PK\x01\x02", i)]
        end = data.rfind(b"PK\x05\x06")
        if not starts or not starts[-1] < end <= len(data) - 22:
            return data
        k = self.at % len(starts)
        entry = data[starts[k] : [*starts[1:], end][k]]
        tail = bytearray(data[end:])
        for place, width, more in ((8, 2, 1), (10, 2, 1), (12, 4, len(entry))):
            number = int.from_bytes(tail[place : place + width], "little") + more
            tail[place : place + width] = (number % (1 << 8 * width)).to_bytes(width, "little")
        return data[:end] + entry + bytes(tail)


def _swapped(data: bytes, first: int, second: int, length: int) -> bytes:
    first, second = sorted((first, second))
    length = min(length, second - first, len(data) - second)
    a, b = data[first : first + length], data[second : second + length]
    return data[:first] + b + data[first + length : second] + a + data[second + length :]


def draw_ops(rng: random.Random) -> list[Op]:
    """One to four changes."""
    count = rng.choice((1, 1, 1, 2, 3, 4))
    number = 1 << 30
    return [
        Op(rng.choice(OPS), rng.randrange(number), rng.randrange(number), rng.randrange(number))
        for _ in range(count)
    ]


def damaged(data: bytes, other: bytes, ops: list[Op]) -> bytes:
    """`data` after all of `ops`."""
    for op in ops:
        data = op.apply(data, other)
    return data


def repacked(arrays: Arrays, method: int, ops: list[Op]) -> bytes:
    """A zip with correct checksums of members that were damaged by `ops`."""
    members = {key: _saved_array(array) for key, array in arrays.items()}
    for op in ops:
        key, other = (list(members)[number % len(members)] for number in (op.value, op.length))
        # Most of the damage goes to the header: the rest of a member is only numbers.
        op = Op(op.kind, op.at % 140 if op.value % 4 else op.at, op.length, op.value)
        members[key] = op.apply(members[key], members[other])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for key, data in members.items():
            archive.writestr(f"{key}.npy", data)
    return buffer.getvalue()


def _saved_array(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


# -------------------------------------------------------------------------------- the verdict


_GOOD, _BAD = ("rejected", "equal"), ("different", "unsound")


class Reading:
    """Reads files as training does, in a dataset whose other files are sound.

    Args:
        folder: for the files; each gets a name of its own.
        originals: what the files were before they were damaged, or spliced together.
    """

    def __init__(self, folder: Path, *originals: Arrays) -> None:
        self._folder = folder
        self._originals = originals
        self._count = 0
        self._reader = WindowReader(max_layouts=1)
        self._read_window(self._write(PACKED["ours"](originals[0])))

    def verdict(self, data: bytes) -> str:
        """What two ways of reading `data` come to, the worse of both.

        Returns:
            "rejected", "equal" to an original, "different" but a sound trajectory, "unsound", or
            the exception if it was not `TrajectoryError`.
        """
        path = self._write(data)
        found = [self._try(read, path) for read in (self._read_window, self._read_whole)]
        path.unlink()
        return max(found, key=lambda one: (_GOOD + _BAD).index(one) if one in _GOOD + _BAD else 9)

    def _write(self, data: bytes) -> Path:
        self._count += 1
        path = self._folder / f"{self._count}.npz"
        path.write_bytes(data)
        return path

    def _try(self, read: Callable[[Path], Arrays], path: Path) -> str:
        try:
            found = read(path)
        except TrajectoryError:
            return "rejected"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        if any(_are_equal(found, original) for original in self._originals):
            return "equal"
        return "different" if _is_sound(found) else "unsound"

    def _read_window(self, path: Path) -> Arrays:
        data = self._reader.read(str(path), lambda length: (0, length))
        fields = ("rl2s", "time_idxs", "rews", "dones", "actions")
        obs = {f"_OBS_KEY_{key}": value.numpy() for key, value in data.obs.items()}
        return obs | {key: getattr(data, key).numpy() for key in fields}

    def _read_whole(self, path: Path) -> Arrays:
        traj = load_traj_from_disk(str(path))
        assert isinstance(traj, FrozenTraj)
        return traj.to_dict()


def _are_equal(found: Arrays, original: Arrays) -> bool:
    return found.keys() == original.keys() and all(
        array.dtype == original[key].dtype
        and array.shape == original[key].shape
        and array.tobytes() == original[key].tobytes()
        for key, array in found.items()
    )


def _is_sound(found: Arrays) -> bool:
    transitions = len(found["actions"])
    lengths = {
        key: len(array) - (key not in ("rews", "dones", "actions")) for key, array in found.items()
    }
    floats = [array for array in found.values() if array.dtype.kind == "f"]
    return set(lengths.values()) == {transitions} and all(np.isfinite(f).all() for f in floats)


# --------------------------------------------------------------------------------- the program


class Fuzz:
    """Damages and reads one file after the other, and counts what came of it.

    Args:
        seed: the same seed makes the same files.
        folder: for the files.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self._rng = random.Random(seed)
        self._original, other = trajectory(), trajectory(length=6, tag=3)
        self._files = {name: (pack(self._original), pack(other)) for name, pack in PACKED.items()}
        self._reading = Reading(folder, self._original, other)
        self.bytes: Counter[str] = Counter()
        self.repacked: Counter[str] = Counter()

    def damage_bytes(self) -> None:
        """One file of which bytes were damaged."""
        ops = draw_ops(self._rng)
        self.bytes[self._reading.verdict(damaged(*self._files[self._format()], ops))] += 1

    def damage_arrays(self) -> None:
        """One file of which arrays were damaged before it was packed."""
        method = zipfile.ZIP_DEFLATED if self._format() == "compressed" else zipfile.ZIP_STORED
        data = repacked(self._original, method, draw_ops(self._rng))
        self.repacked[self._reading.verdict(data)] += 1

    def _format(self) -> str:
        return self._rng.choice([*self._files])

    def result(self) -> dict[str, Any]:
        """The counts. `wrong` files were read as something else without an error; both that and
        `other_exceptions` must be 0.
        """
        both = self.bytes + self.repacked
        exceptions = {name: n for name, n in both.items() if name not in _GOOD + _BAD}
        return {
            "mutations": both.total(),
            "rejected": both["rejected"],
            "equal": both["equal"],
            "wrong": self.bytes["different"] + both["unsound"],
            "other_exceptions": sum(exceptions.values()),
            "repacked": self.repacked.total(),
            "repacked_into_another_sound_trajectory": self.repacked["different"],
            "exceptions": exceptions,
            "bytes_of_the_files": {name: len(data) for name, (data, _) in self._files.items()},
        }


def fuzz(mutations: int, seed: int, say: Callable[[str], None] = lambda line: None) -> dict:
    """The result of `mutations` files, a quarter of which are packed again."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run = Fuzz(seed, Path(folder))
        for i in range(1, mutations + 1):
            if i % 4:
                run.damage_bytes()
            else:
                run.damage_arrays()
            if i % 10_000 == 0:
                say(f"{i} of {mutations}: {dict(run.bytes)}, packed again {dict(run.repacked)}")
    return {"seed": seed, **run.result(), "seconds": round(time.monotonic() - began, 1)}


def main() -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the result")
    args = parser.parse_args()
    result = fuzz(args.mutations, args.seed, say=lambda line: print(line, flush=True))
    text = json.dumps(result, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    return 1 if result["wrong"] or result["other_exceptions"] else 0


if __name__ == "__main__":
    sys.exit(main())
