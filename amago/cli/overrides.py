"""`--set NAME=VALUE`: any setting of a run from the command line, checked by name and type."""

import ast
import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints

from amago.core import config
from amago.core.errors import ConfigError
from amago.core.names import nearest
from amago.experiment.settings import Settings

_ENVIRONMENT = "env."
_BY_FLAG = {
    "run_name": "--run_name",
    "ckpt_base_dir": "--buffer_dir",
    "max_seq_len": "--max_seq_len",
    "dataset": "--dset_max_size",
    "tstep_encoder_type": "a gin selector, e.g. --set FFTstepEncoder.d_hidden=256",
    "traj_encoder_type": "--traj_encoder",
    "agent_type": "--agent_type",
    "trackers": "a script of your own",
    "make_train_env": "--env",
    "make_val_env": "--env",
    "exploration_wrapper_type": "a gin selector, e.g. --set EpsilonGreedy.steps_anneal=10000",
}
"""Settings that are objects, and what chooses them instead."""


@dataclass
class Overrides:
    """What `--set` asked for, by whom it is meant for.

    Args:
        experiment: keywords of `Experiment`.
        env: arguments of the environment, without their prefix `env.`.
        gin: values by gin selector.
        references: gin lines whose value is a reference, such as `@FFTrajEncoder`.
    """

    experiment: dict[str, Any] = field(default_factory=dict)
    env: dict[str, Any] = field(default_factory=dict)
    gin: dict[str, Any] = field(default_factory=dict)
    references: list[str] = field(default_factory=list)

    def bind(self) -> None:
        """Make the gin part hold. Raises `ConfigError` for a name that does not exist."""
        config.bind(self.gin)
        config.parse_bindings(self.references)


def parse_overrides(assignments: Iterable[str]) -> Overrides:
    """Sort `NAME=VALUE` texts by their names; a later one wins.

    `env.NAME` is an argument of the environment, a name with another dot a gin selector, and a bare
    name a setting of `Experiment`. A value is read as Python; what is not Python is text.

    Raises:
        ConfigError: no `=`, an unknown setting, or one that something else chooses, or a value of
            the wrong type.
    """
    overrides = Overrides()
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if not name or not equals:
            raise ConfigError(f"--set {assignment} needs the form NAME=VALUE.")
        if name.startswith(_ENVIRONMENT):
            overrides.env[name.removeprefix(_ENVIRONMENT)] = _value(text)
        elif "." not in name:
            overrides.experiment[name] = _setting(name, _value(text))
        elif text.startswith(("@", "%")):
            overrides.references.append(f"{name} = {text}")
        else:
            overrides.gin[name] = _value(text)
    return overrides


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _setting(name: str, value: Any) -> Any:
    """`value` as the type that the setting `name` has."""
    hints = get_type_hints(Settings)
    if name not in hints:
        raise ConfigError(
            f"--set {name}: Experiment has no such setting{nearest(name, hints)} An argument of "
            f"the environment is env.{name}; a gin selector has a dot, e.g. Agent.gamma."
        )
    if name in _BY_FLAG:
        raise ConfigError(f"--set {name} cannot be given as text; use {_BY_FLAG[name]}.")
    allowed = get_args(hints[name]) or (hints[name],)
    if float in allowed and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)  # 1, 1e-3, inf
        except ValueError:
            pass  # falls through to the message below
    if not any(type(value) is kind for kind in allowed):
        wanted = " or ".join(inspect.formatannotation(kind) for kind in allowed)
        raise ConfigError(
            f"--set {name}={value!r} is of type {type(value).__name__}, not {wanted}."
        )
    return value
