"""Pools: many environments behind one `reset` and `step`, in this process or in workers."""

from importlib import import_module
from typing import Any

_HOME = {
    "EnvPool": "amago.envs.pool.base",
    "PoolStep": "amago.envs.pool.base",
    "SyncPool": "amago.envs.pool.sync",
    "VectorisedPool": "amago.envs.pool.vectorised",
    "AsyncPool": "amago.envs.pool.shm",
    "Supervision": "amago.envs.pool.supervision",
    "make_pool": "amago.envs.pool.make",
}

__all__ = [*_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'amago.envs.pool' has no attribute '{name}'")
