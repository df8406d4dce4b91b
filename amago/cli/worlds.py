"""Environments by name, for `amago train`: those that come along, and whatever gymnasium knows."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import gymnasium

from amago.core.errors import ConfigError
from amago.core.names import nearest
from amago.envs import AMAGOEnv

_LOOK_BACK = 128
_EPISODE = 500
"""Steps of an episode, where gymnasium knows no limit."""


_CLASSIC = {
    "Agent.reward_multiplier": 1.0,
    # A policy may become deterministic: what is seen needs no exploring for ever.
    "Discrete.clip_prob_high": 1.0,
    "Discrete.clip_prob_low": 1e-6,
}


@dataclass(frozen=True)
class World:
    """An environment to train in, and what follows from it.

    Args:
        make: builds one; can be sent to another process.
        rollout: steps of its longest rollout, or a guess where there is no limit.
        max_seq_len: steps that an agent has to look back.
        has_images: its observation is a picture.
        bindings: gin values that suit it better than the defaults.
    """

    make: Callable[[], AMAGOEnv]
    rollout: int
    max_seq_len: int
    has_images: bool
    bindings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _BuiltIn:
    """An environment of this package.

    Args:
        path: its module.
        batch: the module of the environment that is many of it, called "Batched..."; or empty.
        defaults: arguments that it has no default for, or that make it easier to learn.
        rollout: its longest rollout, in steps.
        longest_look_back: limit of `max_seq_len`; None looks back to the start of the rollout.
    """

    path: str
    defaults: Mapping[str, Any]
    rollout: Callable[[Any], int]
    longest_look_back: int | None = None
    batch: str = ""


_BUILT_IN = {
    "MetaFrozenLake": _BuiltIn(
        "amago.envs.builtin.toy_gym",
        {"size": 5},
        lambda env: env.k_episodes * env.max_episode_steps,
        batch="amago.envs.builtin.batched_frozen_lake",
    ),
    "RoomKeyDoor": _BuiltIn(
        "amago.envs.builtin.toy_gym",
        {"size": 8},
        lambda env: env.meta_rollout_horizon,
        batch="amago.envs.builtin.batched_key_door",
    ),
    "TMazeAltPassive": _BuiltIn(
        "amago.envs.builtin.tmaze",
        {"penalty": -0.1},
        lambda env: env.episode_length,
        batch="amago.envs.builtin.batched_tmaze",
    ),
    "TMazeAltActive": _BuiltIn(
        "amago.envs.builtin.tmaze",
        {"penalty": -0.1},
        lambda env: env.episode_length,
        batch="amago.envs.builtin.batched_tmaze",
    ),
    "Metaworld": _BuiltIn(
        "amago.envs.builtin.metaworld_ml",
        {"benchmark_name": "reach-v3", "split": "train", "k_episodes": 3},
        lambda env: env.k_episodes * env.max_episode_length,
        longest_look_back=256,
    ),
}
BUILT_IN = tuple(_BUILT_IN)
"""Names of the environments that come along."""


def world(name: str, arguments: Mapping[str, Any], rows: int | None = None) -> World:
    """The environment `name`: a built-in one, else an id of gymnasium's. Builds one, to look at it.

    Args:
        arguments: of the environment's constructor.
        rows: how many tasks one environment steps at once, as arrays; None makes ordinary ones.

    Raises:
        ConfigError: no such environment, or one that cannot be made with these arguments, or `rows`
            of one that is not there as arrays.
    """
    _check_batch(name, rows)
    built_in = _BUILT_IN.get(name)
    if built_in is not None:
        arguments = {**built_in.defaults, **arguments}
        _check_arguments(name, built_in, arguments)
    make = partial(make_env, name, arguments, rows)
    env = _probe(name, make)
    try:
        if built_in is None:
            limit = env.get_wrapper_attr("spec").max_episode_steps or _EPISODE
            return World(make, limit, min(limit, _LOOK_BACK), _has_images(env), _CLASSIC)
        rollout = built_in.rollout(env.unwrapped)
        look_back = min(rollout, built_in.longest_look_back or rollout)
        return World(make, rollout, look_back, _has_images(env))
    finally:
        env.close()


def make_env(name: str, arguments: Mapping[str, Any], rows: int | None = None) -> AMAGOEnv:
    """One environment, wrapped. One that names its own tasks keeps their names.

    Args:
        rows: see `world`.
    """
    built_in = _BUILT_IN.get(name)
    if built_in is None:
        return AMAGOEnv(gymnasium.make(name, **arguments), env_name=name)
    if rows is not None:
        batch = getattr(import_module(built_in.batch), f"Batched{name}")
        return AMAGOEnv(batch(rows, **arguments), env_name=name, batched_envs=rows)
    env = getattr(import_module(built_in.path), name)(**arguments)
    return env if isinstance(env, AMAGOEnv) else AMAGOEnv(env, env_name=name)


def _check_batch(name: str, rows: int | None) -> None:
    batched = [known for known, built_in in _BUILT_IN.items() if built_in.batch]
    if rows is not None and name not in batched:
        raise ConfigError(
            f"--env_mode already_vectorized needs an environment that steps many tasks at once: "
            f"{', '.join(batched)}. For {name}, choose sync or async."
        )


def _check_arguments(name: str, built_in: _BuiltIn, arguments: Mapping[str, Any]) -> None:
    known = inspect.signature(getattr(import_module(built_in.path), name)).parameters
    for argument in arguments:
        if argument not in known:
            raise ConfigError(
                f"{name} has no argument '{argument}'{nearest(argument, known)} "
                f"There are: {', '.join(known)}."
            )


def _probe(name: str, make: Callable[[], AMAGOEnv]) -> AMAGOEnv:
    try:
        return make()
    except gymnasium.error.UnregisteredEnv as error:
        known = (*_BUILT_IN, *gymnasium.registry)
        raise ConfigError(
            f"no environment is named '{name}'{nearest(name, known)} Built in: "
            f"{', '.join(_BUILT_IN)}; others are ids of gymnasium, and 'module:Id' imports the "
            f"module that registers one."
        ) from error
    except (TypeError, ImportError, gymnasium.error.Error) as error:
        raise ConfigError(f"{name} cannot be made ({type(error).__name__}: {error})") from error


def _has_images(env: AMAGOEnv) -> bool:
    spaces = list(env.observation_space.values())
    return len(spaces) == 1 and len(spaces[0].shape) == 3
