"""Stored trajectories: what a file must hold, and reading one window of it.

Axes: `L` stored timesteps, `T = L - 1` transitions, `A` action.
"""

import math
import os
import pickle
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from amago.core import npz
from amago.core.errors import ConfigError, TrajectoryError
from amago.core.npz_forms import Form, form_of
from amago.hindsight import OBS_KEY_PREFIX, FrozenTraj, Trajectory
from amago.loading.batch import RLData
from amago.loading.recent import Recent

_DTYPES = {"rl2s": "<f4", "time_idxs": "<i8", "rews": "<f4", "dones": "|b1", "actions": "<f4"}
_BLOCK = 1 << 20
_MAX_FORMS = 2048
_GAP = 4096
_NOWHERE = memoryview(bytearray(_GAP))  # takes what lies between the rows that are wanted
_PER_TRANSITION = frozenset(("rews", "dones", "actions"))


@dataclass(frozen=True, slots=True)
class Field:
    """One array of a stored trajectory, without its first axis."""

    key: str
    dtype: np.dtype
    row_shape: tuple[int, ...]
    obs_key: str | None
    is_per_transition: bool


Schema = tuple[Field, ...]
"""What all the files of a dataset have in common."""

Pick = Callable[[int], tuple[int, int]]
"""`T` -> the window `[start, stop)`, in transitions."""

Make = Callable[[Schema, int], list[np.ndarray]]
"""Schema and transitions of a window -> an array for each field, to be filled."""


def schema_of(arrays: Mapping[str, Any]) -> tuple[Schema, int]:
    """Check that `arrays` make a trajectory; returns what they are, and `T`.

    Args:
        arrays: by member name; anything with a `dtype` and a `shape`.

    Raises:
        TrajectoryError: a member is missing or unknown, or has the wrong type or shape.
    """
    missing = sorted(_DTYPES.keys() - arrays.keys())
    obs_keys = sorted(key for key in arrays if key.startswith(OBS_KEY_PREFIX))
    unknown = sorted(arrays.keys() - _DTYPES.keys() - set(obs_keys))
    if missing or unknown or not obs_keys:
        raise TrajectoryError(
            f"no trajectory: missing members {missing}, unknown members {unknown}, "
            f"{len(obs_keys)} observations"
        )
    shapes = {key: tuple(array.shape) for key, array in arrays.items()}
    for key, dtype in _DTYPES.items():
        if np.dtype(arrays[key].dtype) != np.dtype(dtype) or len(shapes[key]) != 2:
            raise TrajectoryError(
                f"'{key}' is {arrays[key].dtype} of shape {shapes[key]}; expected 2-d {dtype}"
            )
    num_transitions, action_size = shapes["actions"]
    expected = {
        "rl2s": (num_transitions + 1, 1 + action_size),
        "time_idxs": (num_transitions + 1, 1),
        "rews": (num_transitions, 1),
        "dones": (num_transitions, 1),
    }
    wrong = [key for key, shape in expected.items() if shapes[key] != shape]
    wrong += [key for key in obs_keys if shapes[key][:1] != (num_transitions + 1,)]
    if wrong or num_transitions < 1:
        raise TrajectoryError(
            f"{wrong} do not fit {num_transitions} transitions: shapes are {shapes}"
        )
    fields = [_field(key, arrays[key].dtype, shapes[key]) for key in (*obs_keys, *_DTYPES)]
    return tuple(fields), num_transitions


def _field(key: str, dtype: Any, shape: tuple[int, ...]) -> Field:
    obs_key = key[len(OBS_KEY_PREFIX) :] if key.startswith(OBS_KEY_PREFIX) else None
    return Field(key, np.dtype(dtype), shape[1:], obs_key, key in _PER_TRANSITION)


def check_values(key: str, array: np.ndarray) -> None:
    """Raise `TrajectoryError` if `array` has a float that is not finite, or a boolean that is
    neither 0 nor 1.

    One such number in a batch turns every weight into NaN. Whether values are plausible is not
    asked: actions may lie beyond their space, and time indices may jump.
    """
    kind = array.dtype.kind
    if kind == "f" and not np.isfinite(array).all():
        found = array[~np.isfinite(array)].flat[0]
        raise TrajectoryError(f"'{key}' holds a number that is not finite ({found})")
    if kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        raise TrajectoryError(f"'{key}' holds a boolean that is neither 0 nor 1")


def _check_stored_values(descriptor: int, key: str, member: npz.Member) -> None:
    """`check_values` of an array in a file, a block of rows at a time."""
    dtype = np.dtype(member.dtype)
    length, *row_shape = member.shape
    if dtype.kind not in "fb":
        return
    rows = max(1, _BLOCK // max(1, dtype.itemsize * math.prod(row_shape)))
    for start in range(0, length, rows):
        block = np.empty((min(rows, length - start), *row_shape), dtype)
        npz.read_rows(descriptor, member.offset, start, block)
        check_values(key, block)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the arrays of a file lie; one object for all files that agree in it."""

    schema: Schema
    num_transitions: int
    offsets: tuple[int, ...]


class WindowReader:
    """Reads windows of stored trajectories in place.

    A file is examined when it is first touched: layout, checksums, and whether there is a number
    that no training survives. Later reads only ask whether it is still the same file. No file stays
    open, and none is mapped.

    Args:
        max_layouts: how many examined files are remembered, in about 100 bytes each. Those that
            were read last are.
        must_agree: whether all files have to hold the same arrays.
    """

    def __init__(self, max_layouts: int = 1 << 17, must_agree: bool = True) -> None:
        self._settings = max_layouts, must_agree
        self._must_agree = must_agree
        self._known: Recent[int, _Layout] = Recent(max_layouts)
        self._layouts: Recent[Hashable, _Layout] = Recent(_MAX_FORMS)
        self._forms: Recent[int, tuple[Form | None, _Layout]] = Recent(_MAX_FORMS)
        self._scratch = np.empty(_BLOCK, np.uint8)
        self._schema: Schema | None = None

    def read(self, path: str, pick: Pick) -> RLData:
        """One window of the trajectory at `path`.

        Args:
            pick: `T` -> the window `[start, stop)`, in transitions.

        Raises:
            TrajectoryError: the file is damaged, no trajectory, or holds other arrays than the
                files read before it.
            OSError: it cannot be opened.
        """
        schema, arrays = self.read_into(path, pick, _new_arrays)
        return RLData(**by_name(schema, arrays))

    def read_into(self, path: str, pick: Pick, make: Make) -> tuple[Schema, list[np.ndarray]]:
        """The same, into the arrays that `make` hands out for it."""
        found = self._read_in_place(path, pick, make)
        if found is None:
            return self._read_packed(path, pick, make)
        return found[0].schema, found[1]

    def read_all(self, path: str) -> FrozenTraj:
        """The whole trajectory at `path`, as `load_traj_from_disk` reads it."""
        if os.path.getsize(path) > npz.MAX_UNPACKED:  # may be larger than it is on the disk
            return cast(FrozenTraj, load_traj_from_disk(path))
        found = self._read_in_place(path, lambda num_transitions: (0, num_transitions), _new_arrays)
        if found is None:
            return cast(FrozenTraj, load_traj_from_disk(path))
        layout, arrays = found
        in_file_order = sorted(range(len(arrays)), key=layout.offsets.__getitem__)
        return FrozenTraj.from_dict({layout.schema[j].key: arrays[j] for j in in_file_order})

    def _read_in_place(
        self, path: str, pick: Pick, make: Make
    ) -> tuple[_Layout, list[np.ndarray]] | None:
        descriptor = npz.open_file(path)
        try:
            identity = npz.identity_of(descriptor)
            layout = self._layout(descriptor, identity)
            if layout is None:
                return None
            start, stop = pick(layout.num_transitions)
            arrays = make(layout.schema, stop - start)
            _read_rows(descriptor, layout.offsets, start, arrays)
            if npz.identity_of(descriptor) != identity:
                raise TrajectoryError("was written to while it was read")
            return layout, arrays
        finally:
            os.close(descriptor)

    def _read_packed(self, path: str, pick: Pick, make: Make) -> tuple[Schema, list[np.ndarray]]:
        """For files that cannot be read in pieces."""
        stored = npz.load_npz(path)
        schema, num_transitions = schema_of(stored)
        for field in schema:
            check_values(field.key, stored[field.key])
        schema = self._agreed(schema)
        start, stop = pick(num_transitions)
        arrays = make(schema, stop - start)
        for field, out in zip(schema, arrays, strict=True):
            np.copyto(out, stored[field.key][start : start + len(out)], casting="no")
        return schema, arrays

    def _layout(self, descriptor: int, identity: tuple[int, ...]) -> _Layout | None:
        """Where the arrays of an open file lie; examines it if need be."""
        mark = hash(identity)  # 64 bits, in a seventh of the memory
        layout = self._known.get(mark)
        if layout is None:
            layout = self._by_form(descriptor, identity[1]) or self._parse(descriptor)
            if layout is not None:
                self._known.put(mark, layout)
        return layout

    def _by_form(self, descriptor: int, size: int) -> _Layout | None:
        """The layout of a small file that differs from an examined one in its data only."""
        form, layout = self._forms.get(size) or (None, None)
        if form is None or layout is None:
            return None
        content = self._scratch.data[:size]
        if os.preadv(descriptor, [content], 0) != size or not form.fits(content):
            return None  # the parser will say what is wrong with it, if anything
        for field, offset in zip(layout.schema, layout.offsets, strict=True):
            if field.dtype.kind in "fb":
                rows = layout.num_transitions + (not field.is_per_transition)
                count = rows * math.prod(field.row_shape)
                check_values(field.key, np.frombuffer(content, field.dtype, count, offset))
        return layout

    def _parse(self, descriptor: int) -> _Layout | None:
        table = npz.read_table(descriptor)
        if table.members is None:
            return None
        schema, num_transitions = schema_of(table.members)
        schema = self._agreed(schema)
        for field in schema:
            _check_stored_values(descriptor, field.key, table.members[field.key])
        offsets = tuple(table.members[field.key].offset for field in schema)
        layout = self._layouts.get((schema, num_transitions, offsets))
        if layout is None:
            layout = _Layout(schema, num_transitions, offsets)
            self._layouts.put((schema, num_transitions, offsets), layout)
        size = table.identity[1]
        if size <= _BLOCK:
            # Only once a second file has this size: most may have a size of their own.
            form = form_of(descriptor, table) if self._forms.get(size) else None
            self._forms.put(size, (form, layout))
        return layout

    def _agreed(self, schema: Schema) -> Schema:
        """The one schema of all files, which the first file sets."""
        if self._schema is None or not self._must_agree:
            self._schema = schema
        if schema != self._schema:
            raise TrajectoryError(
                "holds other arrays than the rest of the dataset: "
                f"{_differences(schema, self._schema)}"
            )
        return self._schema

    def __reduce__(self) -> tuple[Any, ...]:
        """Without what it knows: another process examines the files itself."""
        return WindowReader, self._settings


def _differences(schema: Schema, first: Schema) -> str:
    def lines(fields: Schema) -> set[str]:
        return {f"{f.key} {f.dtype}{list(f.row_shape)}" for f in fields}

    here, there = lines(schema), lines(first)
    return f"{', '.join(sorted(here - there))} instead of {', '.join(sorted(there - here))}"


def _read_rows(
    descriptor: int, offsets: tuple[int, ...], start: int, arrays: list[np.ndarray]
) -> None:
    """Fill `arrays` with rows from `start` on, of the members at `offsets`."""
    if not _read_at_once(descriptor, offsets, start, arrays):
        for offset, out in zip(offsets, arrays, strict=True):
            npz.read_rows(descriptor, offset, start, out)


def _read_at_once(
    descriptor: int, offsets: tuple[int, ...], start: int, arrays: list[np.ndarray]
) -> bool:
    """The same with one call of the system, if not much lies between the rows; else False."""
    pieces: list[Any] = []
    first = end = offsets[0] + start * arrays[0].strides[0]
    for offset, out in zip(offsets, arrays, strict=True):
        begin = offset + start * out.strides[0]
        if not 0 <= begin - end <= _GAP:
            return False
        pieces += (_NOWHERE[: begin - end], out.data)
        end = begin + out.nbytes
    return os.preadv(descriptor, pieces, first) == end - first


def _new_arrays(schema: Schema, num_transitions: int) -> list[np.ndarray]:
    return [
        np.empty((num_transitions + (not field.is_per_transition), *field.row_shape), field.dtype)
        for field in schema
    ]


def by_name(schema: Schema, arrays: Iterable[np.ndarray]) -> dict[str, Any]:
    """Arrays of a schema as the keywords of `RLData` or `Batch`; the tensors share their memory."""
    obs: dict[str, torch.Tensor] = {}
    values: dict[str, Any] = {"obs": obs}
    for field, array in zip(schema, arrays, strict=True):
        if field.obs_key is None:
            values[field.key] = torch.from_numpy(array)
        else:
            obs[field.obs_key] = torch.from_numpy(array)
    return values


def to_rl_data(traj: FrozenTraj) -> RLData:
    """The whole of `traj`, as tensors of the types that training expects."""

    def tensor(array: np.ndarray, dtype: Any = None) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype))

    return RLData(
        obs={key: tensor(value) for key, value in traj.obs.items()},
        rews=tensor(traj.rews, np.float32),
        dones=tensor(traj.dones, np.bool_),
        actions=tensor(traj.actions, np.float32),
        time_idxs=tensor(traj.time_idxs, np.int64),
        rl2s=tensor(traj.rl2s, np.float32),
    )


def load_traj_from_disk(path: str, trust_pickle: bool = False) -> Trajectory | FrozenTraj:
    """A whole trajectory: `FrozenTraj` from `.npz`, `Trajectory` from `.traj`.

    Args:
        trust_pickle: `.traj` files are pickles: reading one runs whatever code is inside.

    Raises:
        ConfigError: another extension, or a `.traj` without `trust_pickle`.
        TrajectoryError: the file is damaged or no trajectory.
    """
    if path.endswith(".npz"):
        arrays = npz.load_npz(path)
        for field in schema_of(arrays)[0]:
            check_values(field.key, arrays[field.key])
        return FrozenTraj.from_dict(arrays)
    if not path.endswith(".traj"):
        raise ConfigError(f"'{path}' is no stored trajectory: expected .npz or .traj")
    if not trust_pickle:
        raise ConfigError(
            f"'{path}' is a pickle, which may run any code when it is read. "
            "Pass trust_pickle=True if you know who wrote it."
        )
    return _unpickle(path)


def _unpickle(path: str) -> Trajectory:
    with open(path, "rb") as file:
        try:
            loaded = pickle.load(file)  # the caller vouched for it
        except Exception as error:
            raise TrajectoryError(f"{path} is damaged: {error}") from error
    if not isinstance(loaded, Trajectory):
        raise TrajectoryError(f"{path} holds a {type(loaded).__name__}, no Trajectory")
    return loaded
