"""What a policy remembers between steps, as plain values that a checkpoint can hold.

A hidden state may be anything a trajectory encoder made up: a tensor, containers of tensors,
objects with tensors in their attributes. Only their *contents* are stored; the types come from a
fresh hidden state, so that loading a checkpoint never makes an object of a class that the
checkpoint names.

Tensors are stored as the storages behind them and how each looks into its storage. What shares
memory shares it afterwards (a step that changes one in place changes the other), and strides stay
(a kernel may add up in another order where they differ).
"""

import copy
from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amago.core.errors import CheckpointError

_PLAIN = (bool, int, float, str, bytes, type(None))
_OF_FRESH = (torch.device, torch.dtype)  # where and how to compute is up to the process


def memory_state(hidden: Any) -> Any:
    """The contents of a hidden state: nested plain values and 1-D tensors (of bytes).

    Raises:
        CheckpointError: something in it cannot be stored; the message names the attribute.
    """
    saver = _Saver()
    root = saver.save(hidden, "hidden_state")
    return {"root": root, "storages": saver.storages}


def restore_memory(fresh: Any, state: Any) -> Any:
    """A hidden state with the contents that `memory_state` stored.

    Args:
        fresh: from `init_hidden_state`. Gives the types of objects, and the devices of tensors; on
            another type of device than the stored one, also the dtypes.

    Raises:
        CheckpointError: the state is of another kind of hidden state.
    """
    of_fresh = _Saver()
    of_fresh.save(fresh, "hidden_state")
    loader = _Loader(state["storages"], of_fresh.first_device())
    return loader.load(state["root"], fresh, "hidden_state")


class _Saver:
    def __init__(self) -> None:
        self.storages: list[dict[str, Any]] = []
        self._storage_numbers: dict[tuple[int, int, torch.device], int] = {}
        self._sources: list[Tensor] = []  # kept alive, so that an address means one storage
        self._seen: dict[int, int] = {}  # id of an object or container -> its number

    def save(self, value: Any, path: str) -> Any:
        """A node: a plain value, or a dict with a `kind`."""
        if type(value) in _PLAIN:
            return value
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if isinstance(value, (np.ndarray, np.generic)):
            return {"kind": "array", "values": _stored_array(value, path)}
        if isinstance(value, _OF_FRESH):
            return {"kind": "fresh", "type": _name(value)}
        if isinstance(value, tuple):
            if type(value) not in (tuple, torch.Size) and not hasattr(value, "_make"):
                raise _refusal(f"a value of type {_name(value)}", path)
            items = [self.save(item, f"{path}[{i}]") for i, item in enumerate(value)]
            return {"kind": "tuple", "type": _name(value), "items": items}
        if id(value) in self._seen:
            return {"kind": "again", "number": self._seen[id(value)]}
        number = self._seen[id(value)] = len(self._seen)
        return {"number": number, "type": _name(value), **self._contents(value, path)}

    def _contents(self, value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, dict):
            pairs = [
                [self.save(key, f"{path} (a key)"), self.save(item, f"{path}[{key!r}]")]
                for key, item in value.items()
            ]
            return {"kind": "dict", "items": pairs}
        if isinstance(value, (list, deque)):
            items = [self.save(item, f"{path}[{i}]") for i, item in enumerate(value)]
            return {"kind": "list", "items": items}
        if not _holds_attributes(value):
            raise _refusal(f"a value of type {_name(value)}", path)
        attributes = _attributes(value)
        return {
            "kind": "object",
            "attributes": {
                name: self.save(item, f"{path}.{name}") for name, item in attributes.items()
            },
        }

    def _tensor(self, tensor: Tensor, path: str) -> dict[str, Any]:
        if type(tensor) is not Tensor or tensor.layout != torch.strided or tensor.is_quantized:
            raise _refusal(f"a {_name(tensor)} of layout {tensor.layout}", path)
        tensor = tensor.detach().resolve_conj().resolve_neg()
        return {
            "kind": "tensor",
            "storage": self._storage(tensor),
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(tensor.shape),
            "strides": list(tensor.stride()),
            "offset": tensor.storage_offset(),
        }

    def _storage(self, tensor: Tensor) -> int:
        storage = tensor.untyped_storage()
        key = (storage.data_ptr(), storage.nbytes(), tensor.device)
        if key not in self._storage_numbers:
            self._storage_numbers[key] = len(self.storages)
            self._sources.append(tensor)
            whole = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage)
            self.storages.append(
                {"bytes": whole.to("cpu", copy=True), "device": tensor.device.type}
            )
        return self._storage_numbers[key]

    def first_device(self) -> torch.device:
        """Of the tensors; the CPU if there are none."""
        return self._sources[0].device if self._sources else torch.device("cpu")


class _Loader:
    def __init__(self, storages: list[dict[str, Any]], device: torch.device) -> None:
        self._storages = storages
        self._device = device
        self._moved: dict[tuple[int, torch.device, torch.dtype | None], Tensor] = {}
        self._made: dict[int, Any] = {}

    def load(self, node: Any, fresh: Any, path: str) -> Any:
        """The value of a node; `fresh` is what stands in its place in a fresh hidden state."""
        if not isinstance(node, dict):
            return node
        match node["kind"]:
            case "tensor":
                return self._tensor(node, fresh)
            case "array":
                return copy.copy(node["values"])
            case "fresh":
                return _of_type(node, fresh, path)
            case "again":
                return self._made[node["number"]]
            case "tuple":
                return self._tuple(node, fresh, path)
            case "dict":
                return self._dict(node, fresh, path)
            case "list":
                return self._list(node, fresh, path)
            case _:
                return self._object(node, fresh, path)

    def _tuple(self, node: dict[str, Any], fresh: Any, path: str) -> Any:
        items = self._items(node["items"], fresh, path)
        if node["type"] == "builtins.tuple":
            return tuple(items)
        if node["type"] == "torch.Size":
            return torch.Size(items)
        return type(_of_type(node, fresh, path))._make(items)

    def _dict(self, node: dict[str, Any], fresh: Any, path: str) -> Any:
        made = {} if node["type"] == "builtins.dict" else copy.copy(_of_type(node, fresh, path))
        made.clear()
        self._made[node["number"]] = made
        for key_node, item in node["items"]:
            key = self.load(key_node, None, path)
            inside = fresh.get(key) if isinstance(fresh, dict) else None
            made[key] = self.load(item, inside, f"{path}[{key!r}]")
        return made

    def _list(self, node: dict[str, Any], fresh: Any, path: str) -> Any:
        made = [] if node["type"] == "builtins.list" else copy.copy(_of_type(node, fresh, path))
        made.clear()
        self._made[node["number"]] = made
        made.extend(self._items(node["items"], fresh, path))
        return made

    def _items(self, nodes: list[Any], fresh: Any, path: str) -> list[Any]:
        inside = list(fresh) if isinstance(fresh, (list, tuple, deque)) else []
        inside += [None] * (len(nodes) - len(inside))
        return [self.load(item, inside[i], f"{path}[{i}]") for i, item in enumerate(nodes)]

    def _object(self, node: dict[str, Any], fresh: Any, path: str) -> Any:
        inside = _attributes(_of_type(node, fresh, path))
        made = self._made[node["number"]] = object.__new__(type(fresh))
        for name, item in node["attributes"].items():
            value = self.load(item, inside.get(name), f"{path}.{name}")
            object.__setattr__(made, name, value)
        return made

    def _tensor(self, node: dict[str, Any], fresh: Any) -> Tensor:
        number, dtype, device = node["storage"], getattr(torch, node["dtype"]), self._device
        other_dtype = None
        if isinstance(fresh, Tensor):
            device = fresh.device
            is_elsewhere = device.type != self._storages[number]["device"]
            other_dtype = fresh.dtype if is_elsewhere and fresh.dtype != dtype else None
        key = (number, device, other_dtype)
        if key not in self._moved:
            whole = self._storages[number]["bytes"].clone()
            if other_dtype is not None:
                whole = whole.view(dtype).to(other_dtype)
            self._moved[key] = whole.to(device)
        made = torch.empty(0, dtype=other_dtype or dtype, device=device)
        storage = self._moved[key].untyped_storage()
        return made.set_(storage, node["offset"], node["shape"], node["strides"])


def _stored_array(value: Any, path: str) -> Any:
    if value.dtype.kind not in "biufc":
        raise _refusal(f"an array of dtype {value.dtype}", path)
    return value.copy()


def _holds_attributes(value: Any) -> bool:
    """Whether its attributes are all there is to an object."""
    kind = type(value)
    return (
        not isinstance(value, type)
        and kind.__module__ != "builtins"
        and kind.__reduce__ is object.__reduce__
        and kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__new__ is object.__new__
        and (hasattr(value, "__dict__") or any("__slots__" in c.__dict__ for c in kind.__mro__))
    )


def _attributes(value: Any) -> dict[str, Any]:
    slots = [
        name
        for cls in type(value).__mro__
        for name in _as_tuple(cls.__dict__.get("__slots__", ()))
        if name not in ("__dict__", "__weakref__") and hasattr(value, name)
    ]
    return {**{name: getattr(value, name) for name in slots}, **getattr(value, "__dict__", {})}


def _as_tuple(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _of_type(node: dict[str, Any], fresh: Any, path: str) -> Any:
    """`fresh`, if it is of the stored type."""
    if _name(fresh) != node["type"]:
        raise CheckpointError(
            f"the stored memory of the policy does not fit this run: {path} was a {node['type']}, "
            f"and is a {_name(fresh)} in a fresh hidden state. Use the trajectory encoder that the "
            f"checkpoint was made with; an object has to be there from `init_hidden_state` on."
        )
    return fresh


def _refusal(what: str, path: str) -> CheckpointError:
    return CheckpointError(
        f"the memory of the policy cannot be stored: {path} is {what}. Keep tensors, arrays, "
        f"plain values, lists, tuples, dicts, and objects with such attributes in a hidden state."
    )
