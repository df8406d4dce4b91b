"""Nested values as JSON plus named tensors, and back, exactly.

A JSON object with one key that starts with `$` stands for what JSON cannot say: `$tensor`,
`$array`, `$number` (a numpy scalar), `$tuple`, `$dict` (any keys), `$bytes`, `$float` (not finite).
"""

import base64
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amago.checkpoint.tensor_file import DTYPE_NAMES
from amago.core.errors import CheckpointError


@dataclass
class Encoded:
    """A value, ready to be written."""

    tree: Any = None
    """JSON, without NaN or infinity."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """On the CPU, contiguous, none sharing storage with another."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Names in the tree of tensors that are stored under another name."""


def encode(value: Any, name: str) -> Encoded:
    """`value` as JSON and tensors. A tensor that appears twice is stored once.

    Args:
        value: nested dicts, lists and tuples of tensors, numpy arrays and scalars, ints, floats,
            bools, strings, bytes and None.
        name: what to call it in messages.

    Raises:
        CheckpointError: it holds something else; the message says where.
    """
    encoder = _Encoder(name)
    encoder.result.tree = encoder.encode(value, ())
    return encoder.result


def decode(tree: Any, tensors: dict[str, Tensor], aliases: dict[str, str]) -> Any:
    """The value that `encode` was given. What was one tensor twice is one tensor again.

    Raises:
        ValueError, KeyError, TypeError: not the output of `encode`.
    """
    named = {**tensors, **{alias: tensors[stored] for alias, stored in aliases.items()}}
    unused = set(named)
    value = _decode(tree, named, unused)
    if unused:
        raise ValueError(f"tensors that no entry refers to: {', '.join(sorted(unused))}")
    return value


class _Encoder:
    def __init__(self, name: str) -> None:
        self.name = name
        self.result = Encoded()
        self._stored_as: dict[tuple, str] = {}
        self._storages: set[int] = set()
        self._sources: list[Tensor] = []  # kept alive, so that an address means one tensor

    def encode(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, Tensor):
            return {"$tensor": self._store(value, path)}
        if isinstance(value, np.ndarray):
            return {"$array": self._store(self._as_tensor(value, path), path)}
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bytes):
            return {"$bytes": base64.b64encode(value).decode("ascii")}
        if isinstance(value, np.generic):
            return {"$number": self._store(self._as_tensor(np.array(value), path), path)}
        if isinstance(value, float) and not math.isfinite(value):
            return {"$float": repr(value)}
        if isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, dict):
            return self._encode_dict(value, path)
        if type(value) in (list, tuple):
            items = [self.encode(item, (*path, str(i))) for i, item in enumerate(value)]
            return items if type(value) is list else {"$tuple": items}
        raise self._refusal(f"a value of type {type(value).__name__}", path)

    def _encode_dict(self, value: dict, path: tuple[str, ...]) -> Any:
        items = {key: self.encode(item, (*path, str(key))) for key, item in value.items()}
        if all(isinstance(key, str) and not key.startswith("$") for key in items):
            return items
        return {"$dict": [[self.encode(key, path), item] for key, item in items.items()]}

    def _as_tensor(self, array: np.ndarray, path: tuple[str, ...]) -> Tensor:
        try:
            return torch.from_numpy(array if array.flags.writeable else array.copy())
        except (TypeError, ValueError) as error:
            raise self._refusal(f"an array of dtype {array.dtype}", path) from error

    def _store(self, tensor: Tensor, path: tuple[str, ...]) -> str:
        """The name the tensor goes by."""
        if tensor.layout != torch.strided or tensor.dtype not in DTYPE_NAMES:
            raise self._refusal(f"a {tensor.layout} tensor of {tensor.dtype}", path)
        name = self._free_name(".".join(path) or "value")
        source = tensor.detach()
        view = (source.data_ptr(), source.dtype, source.shape, source.stride(), source.device)
        if source.numel() and view in self._stored_as:
            self.result.aliases[name] = self._stored_as[view]
            return name
        self._stored_as[view] = name
        self._sources.append(source)
        self.result.tensors[name] = self._alone(source.cpu().contiguous())
        return name

    def _alone(self, tensor: Tensor) -> Tensor:
        """The tensor, or a copy of it where it is a part of, or shares, a storage."""
        storage = tensor.untyped_storage()
        if storage.nbytes() != tensor.nbytes or storage.data_ptr() in self._storages:
            return tensor.clone()
        self._storages.add(storage.data_ptr())
        return tensor

    def _free_name(self, name: str) -> str:
        taken = self.result.tensors.keys() | self.result.aliases.keys()
        copies = (name, *(f"{name}~{i}" for i in range(2, len(taken) + 3)))
        return next(candidate for candidate in copies if candidate not in taken)

    def _refusal(self, what: str, path: tuple[str, ...]) -> CheckpointError:
        return CheckpointError(
            f"cannot store {what} (at {'.'.join((self.name, *path))}). Use nested dicts and lists "
            f"of tensors, arrays, numbers, strings, bytes and None."
        )


def _decode(tree: Any, named: dict[str, Tensor], unused: set[str]) -> Any:
    if isinstance(tree, list):
        return [_decode(item, named, unused) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if len(tree) != 1 or not next(iter(tree)).startswith("$"):
        return {key: _decode(item, named, unused) for key, item in tree.items()}
    ((kind, content),) = tree.items()
    if kind in ("$tensor", "$array", "$number"):
        unused.discard(content)
        tensor = named[content]
        if kind == "$tensor":
            return tensor
        return tensor.numpy() if kind == "$array" else tensor.numpy()[()]
    if kind == "$tuple":
        return tuple(_decode(content, named, unused))
    if kind == "$dict":
        return dict(_decode(pair, named, unused) for pair in content)
    if kind == "$float":
        return float(content)
    if kind == "$bytes":
        return base64.b64decode(content, validate=True)
    raise ValueError(f"unknown mark '{kind}'")
