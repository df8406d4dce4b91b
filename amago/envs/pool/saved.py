"""The saved state of an environment: what it holds, and what of it can be stored.

A row of a pool is saved as `{"episode", "name", "timestep", "env", "exploration"}`. `env` says how
to bring the environment back: `{"kind": "state", "value"}` (its own state), `{"kind": "replay",
"actions", "checksum"}` (see `replay`) or `{"kind": "none", "reason"}` (it cannot be).
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from amago.core.errors import amago_warning
from amago.envs.amago_env import AMAGOEnv
from amago.envs.batched import ResetFinishedRows, VectorEnvAdapter
from amago.hindsight import Timestep

_PLAIN = (type(None), bool, int, float, str, bytes)
_FIELDS = ("prev_action", "reward", "time_idx", "terminal")


class NotRestored(Exception):
    """An environment could not be brought back; the message completes "because ..."."""


def nothing(reason: str) -> dict[str, Any]:
    """The state of an environment that cannot be brought back."""
    return {"kind": "none", "reason": reason}


# ------------------------------------------------------------------------------------ state


def state_owner(amago_env: AMAGOEnv) -> Any:
    """The object that offers `get_state` and `set_state` for all of the environment, or None.

    It is the `AMAGOEnv` or what the user put in it. What lies below further wrappers does not
    count: it does not know their state, e.g. the count of a `TimeLimit`.
    """
    inside: gym.Env = amago_env.env.env
    while isinstance(inside, ResetFinishedRows):
        inside = inside.env
    within = inside.vector_env if isinstance(inside, VectorEnvAdapter) else inside
    for candidate in (amago_env, within):
        methods = [getattr(type(candidate), name, None) for name in ("get_state", "set_state")]
        if all(callable(method) for method in methods):
            return candidate
    return None


def own_state(amago_env: AMAGOEnv) -> dict[str, Any]:
    """The environment's own state if it offers one that can be stored, else "none"."""
    owner = state_owner(amago_env)
    if owner is None:
        return nothing("it does not offer its state (get_state and set_state)")
    try:
        return {"kind": "state", "value": storable(owner.get_state())}
    except Exception as error:  # the user's code: whatever it raises, there is another way
        return nothing(f"get_state() gave nothing that can be stored ({error})")


def set_own_state(amago_env: AMAGOEnv, value: Any) -> None:
    """Put the environment, which has been reset, into a state.

    Raises:
        NotRestored: it does not take one. Also whatever the environment raises.
    """
    owner = state_owner(amago_env)
    if owner is None:
        raise NotRestored("it no longer takes a state (set_state)")
    owner.set_state(storable(value))


def storable(value: Any) -> Any:
    """A deep copy of nested dicts, lists and tuples of plain values and numpy arrays.

    Raises:
        TypeError: there is something else in it.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict:
        return {storable(key): storable(item) for key, item in value.items()}
    if kind in (list, tuple):
        return kind(storable(item) for item in value)
    if kind is np.ndarray or isinstance(value, np.generic):
        dtype = value.dtype
        if dtype.kind in "biuf" and dtype.itemsize <= 8 and dtype.isnative:
            return np.array(value, order="C") if kind is np.ndarray else value
        raise TypeError(f"numbers of dtype {dtype}")
    raise TypeError(f"a value of type {kind.__name__}")


# --------------------------------------------------------------------------------- timesteps


def packed(timestep: Timestep, rows: slice) -> dict[str, Any]:
    """A copy of some rows, as arrays."""
    obs = {key: values[rows].copy() for key, values in timestep.obs.items()}
    return {"obs": obs, **{name: getattr(timestep, name)[rows].copy() for name in _FIELDS}}


def unpacked_timestep(saved: dict[str, Any]) -> Timestep:
    """The timestep that was `packed`."""
    obs = {key: values.copy() for key, values in saved["obs"].items()}
    fields = {name: saved[name].copy() for name in _FIELDS}
    return Timestep(obs=obs, batched_envs=len(saved["time_idx"]), **fields)


def check_same(one: dict[str, Any], other: dict[str, Any], reason: str) -> None:
    """Compare packed timesteps bit for bit.

    Raises:
        NotRestored: they differ; `reason` is its message.
    """
    if _bits(one) != _bits(other):
        raise NotRestored(reason)


def check_layout(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Compare keys, shapes and dtypes of packed timesteps.

    Raises:
        NotRestored: they differ.
    """
    if _layout(one) != _layout(other):
        raise NotRestored("its observations or actions have another shape or dtype now")


def _arrays(saved: dict[str, Any]) -> dict[str, np.ndarray]:
    return {**{f"obs.{k}": v for k, v in saved["obs"].items()}, **{n: saved[n] for n in _FIELDS}}


def _bits(saved: dict[str, Any]) -> dict[str, bytes]:
    return {name: values.tobytes() for name, values in _arrays(saved).items()}


def _layout(saved: dict[str, Any]) -> dict[str, Any]:
    return {name: (values.shape, values.dtype) for name, values in _arrays(saved).items()}


# ------------------------------------------------------------------------------------- rows


def rows_for(state: dict[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """The saved rows for a pool of `num_envs`.

    Of a state of another number, only the exploration (of row `i % n`) and the episode numbers are
    of use.
    """
    rows = state.get("rows")
    if rows is None:
        reason = "they were saved as one batch, and now they are single environments"
        blank = {"episode": 0, "name": "", "env": nothing(reason), "exploration": None}
        return [blank] * num_envs
    if len(rows) == num_envs:
        return rows
    reason = f"the state is one of {len(rows)} environments, and now there are {num_envs}"
    return [
        {
            "episode": rows[i]["episode"] if i < len(rows) else 0,
            "name": "",
            "env": nothing(reason),
            "exploration": rows[i % len(rows)]["exploration"],
        }
        for i in range(num_envs)
    ]


def warn_of_loss(reasons: Sequence[str]) -> None:
    """Say which environments could not be brought back, and why.

    Args:
        reasons: one for each row; empty where there was no loss.
    """
    rows_by_reason: dict[str, list[int]] = {}
    for row, reason in enumerate(reasons):
        if reason:
            rows_by_reason.setdefault(reason, []).append(row)
    if not rows_by_reason:
        return
    lost = sum(map(len, rows_by_reason.values()))
    details = "; ".join(
        f"{reason} (environment {', '.join(map(str, rows))})"
        for reason, rows in rows_by_reason.items()
    )
    amago_warning(
        f"{lost} of {len(reasons)} environments could not be brought back to where they were, "
        f"because {details}. Their episodes are cut off there and their next ones begin: the "
        "resumed run is not exactly the run that was saved."
    )
