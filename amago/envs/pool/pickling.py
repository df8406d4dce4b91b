"""Sending factories to a worker process: functions and classes by value, gin's state by reference.

cloudpickle copies what the user's script defines, with the globals it uses. A class that gin made
configurable holds a function of gin's own module, whose globals are gin's registry, bindings and
lock: a copy of those would not be the worker's gin (and a lock cannot be copied at all).
"""

import io
import sys
from importlib import import_module
from types import CellType, CodeType, FunctionType
from typing import Any

import cloudpickle

_SHARED_GLOBALS = "gin.config"
_ATTRIBUTES = ("__module__", "__qualname__", "__doc__", "__defaults__", "__kwdefaults__")


def dumps(value: Any) -> bytes:
    """A pickle that `pickle.loads` reads in another process.

    Raises:
        TypeError, AttributeError, pickle.PicklingError: something in `value` cannot be sent.
    """
    with io.BytesIO() as file:
        _Pickler(file).dump(value)
        return file.getvalue()


class _Pickler(cloudpickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType) and _is_wrapper_of_gin(obj):
            skeleton = obj.__code__, obj.__name__
            return _skeleton, skeleton, _content(obj), None, None, _fill
        return super().reducer_override(obj)


def _is_wrapper_of_gin(function: FunctionType) -> bool:
    gin_config = sys.modules.get(_SHARED_GLOBALS)
    return (
        gin_config is not None
        and function.__globals__ is vars(gin_config)
        and bool(function.__closure__)
    )


def _skeleton(code: CodeType, name: str) -> FunctionType:
    """The function without its content, which may refer to the function itself."""
    cells = tuple(CellType() for _ in code.co_freevars)
    return FunctionType(code, vars(import_module(_SHARED_GLOBALS)), name, None, cells)


def _content(function: FunctionType) -> dict[str, Any]:
    return {
        "cells": [cell.cell_contents for cell in function.__closure__ or ()],
        "dict": dict(function.__dict__),
        "attributes": {name: getattr(function, name) for name in _ATTRIBUTES},
    }


def _fill(function: FunctionType, content: dict[str, Any]) -> None:
    for cell, value in zip(function.__closure__ or (), content["cells"], strict=True):
        cell.cell_contents = value
    function.__dict__.update(content["dict"])
    for name, value in content["attributes"].items():
        setattr(function, name, value)
