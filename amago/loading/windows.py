"""Stored trajectories: what a file must hold, and reading one window of it.

Axes: `L` stored timesteps, `T = L - 1` transitions, `A` action.
"""

import math
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from amago.core import npz
from amago.core.errors import ConfigError, TrajectoryError
from amago.hindsight import OBS_KEY_PREFIX, FrozenTraj, Trajectory
from amago.loading.batch import RLData

_DTYPES = {"rl2s": "<f4", "time_idxs": "<i8", "rews": "<f4", "dones": "|b1", "actions": "<f4"}
_BLOCK = 1 << 20
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
    """Where one file's arrays lie. Small, because many are kept."""

    identity: tuple[int, ...]
    schema: Schema
    num_transitions: int
    offsets: tuple[int, ...]


class WindowReader:
    """Reads windows of stored trajectories in place.

    A file is examined when it is first touched: layout, checksums, and whether there is a number
    that no training survives. Later reads only ask whether it is still the same file. No file stays
    open, and none is mapped.

    Args:
        max_layouts: how many layouts (about 0.5 kB each) are remembered; the least recently used
            goes first.
    """

    def __init__(self, max_layouts: int = 16_384) -> None:
        self._max_layouts = max_layouts
        self._layouts: OrderedDict[str, _Layout] = OrderedDict()
        self._schema: Schema | None = None

    def read(self, path: str, pick: Callable[[int], tuple[int, int]]) -> RLData:
        """One window of the trajectory at `path`.

        Args:
            pick: `T` -> the window `[start, stop)`, in transitions.

        Raises:
            TrajectoryError: the file is damaged, no trajectory, or holds other arrays than the
                files read before it.
            OSError: it cannot be opened.
        """
        descriptor = npz.open_file(path)
        try:
            layout = self._layout(path, descriptor)
            if layout is not None:
                start, stop = pick(layout.num_transitions)
                return _read_window(descriptor, layout, start, stop)
        finally:
            os.close(descriptor)
        arrays = npz.load_npz(path)
        schema, num_transitions = schema_of(arrays)
        for field in schema:
            check_values(field.key, arrays[field.key])
        return _cut_window(arrays, self._agreed(schema), *pick(num_transitions))

    def _layout(self, path: str, descriptor: int) -> _Layout | None:
        layout = self._layouts.get(path)
        if layout is not None and layout.identity == npz.identity_of(descriptor):
            self._layouts.move_to_end(path)
            return layout
        table = npz.read_table(descriptor)
        if table.members is None:
            return None
        schema, num_transitions = schema_of(table.members)
        schema = self._agreed(schema)
        for field in schema:
            _check_stored_values(descriptor, field.key, table.members[field.key])
        offsets = tuple(table.members[field.key].offset for field in schema)
        layout = _Layout(table.identity, schema, num_transitions, offsets)
        self._layouts[path] = layout
        if len(self._layouts) > self._max_layouts:
            self._layouts.popitem(last=False)
        return layout

    def _agreed(self, schema: Schema) -> Schema:
        """The one schema of all files, which the first file sets."""
        if self._schema is None:
            self._schema = schema
        if schema != self._schema:
            raise TrajectoryError(
                "holds other arrays than the rest of the dataset: "
                f"{_differences(schema, self._schema)}"
            )
        return self._schema

    def __getstate__(self) -> dict[str, Any]:
        """Without the layouts: another process examines the files itself."""
        return {"_max_layouts": self._max_layouts, "_layouts": OrderedDict(), "_schema": None}


def _differences(schema: Schema, first: Schema) -> str:
    def lines(fields: Schema) -> set[str]:
        return {f"{f.key} {f.dtype}{list(f.row_shape)}" for f in fields}

    here, there = lines(schema), lines(first)
    return f"{', '.join(sorted(here - there))} instead of {', '.join(sorted(there - here))}"


def _read_window(descriptor: int, layout: _Layout, start: int, stop: int) -> RLData:
    obs: dict[str, torch.Tensor] = {}
    values: dict[str, torch.Tensor] = {}
    for field, offset in zip(layout.schema, layout.offsets, strict=True):
        rows = stop - start if field.is_per_transition else stop - start + 1
        out = np.empty((rows, *field.row_shape), field.dtype)
        npz.read_rows(descriptor, offset, start, out)
        if field.obs_key is None:
            values[field.key] = torch.from_numpy(out)
        else:
            obs[field.obs_key] = torch.from_numpy(out)
    if npz.identity_of(descriptor) != layout.identity:
        raise TrajectoryError("was written to while it was read")
    return RLData(obs=obs, **values)


def _cut_window(arrays: dict[str, np.ndarray], schema: Schema, start: int, stop: int) -> RLData:
    cut = {
        field.key: arrays[field.key][start : stop if field.is_per_transition else stop + 1].copy()
        for field in schema
    }
    return to_rl_data(FrozenTraj.from_dict(cut))


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
