"""Keywords of `Experiment` that earlier versions had: translated, each with a warning.

They are accepted by the constructor and in gin files, and are no settings: what the run records are
the modern ones.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from amago.core import config
from amago.core.errors import ConfigError, amago_warning
from amago.loading import DiskTrajDataset

C = TypeVar("C", bound=type)

_OF_DATASET = ("dset_root", "dset_name", "dset_max_size", "dset_min_size", "relabeler")
_OLD_NAMES = ("sample_actions", "critic_loss_weight", "gpu", *_OF_DATASET)


class _NotGiven:
    """Default of an old keyword; no value a gin file could hold, so none is recorded."""

    def __repr__(self) -> str:
        return "<not given>"


def accepts_old_names(cls: C) -> C:
    """Class decorator: the constructor also takes the keywords of earlier versions.

    Goes between `@configurable` and `@dataclass`. A subclass that is a dataclass of its own has a
    constructor of its own, and needs the decorator too.
    """
    construct: Callable[..., None] = cls.__init__

    @functools.wraps(construct)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **modern_settings(kwargs))

    del __init__.__wrapped__  # gin and `inspect` would look there for the parameters
    old = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_NotGiven())
        for name in _OLD_NAMES
    ]
    signature = inspect.signature(construct)
    parameters = [*signature.parameters.values(), *old]
    __init__.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
    cls.__init__ = __init__
    return cls


def modern_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` in today's words. Warns of each old one, with what to write instead.

    Raises:
        ConfigError: an old and a modern keyword for one thing.
    """
    settings = dict(settings)
    if "sample_actions" in settings:
        _sample_actions(settings)
    if "critic_loss_weight" in settings:
        _critic_loss_weight(settings)
    if any(name in settings for name in _OF_DATASET):
        _dataset(settings)
    if "gpu" in settings:
        del settings["gpu"]
        _warn("gpu", "set CUDA_VISIBLE_DEVICES, or use `accelerate launch`; it has no effect")
    if "save_trajs_as" in settings and settings["save_trajs_as"] is None:
        del settings["save_trajs_as"]
        _warn("save_trajs_as=None", "leave it out; whether to store is up to the dataset")
    return settings


def _sample_actions(settings: dict[str, Any]) -> None:
    new = ("sample_actions_train", "sample_actions_val")
    _refuse_both("sample_actions", new, settings)
    settings |= dict.fromkeys(new, settings.pop("sample_actions"))
    _warn("sample_actions", "use sample_actions_train and sample_actions_val")


def _critic_loss_weight(settings: dict[str, Any]) -> None:
    weight = settings.pop("critic_loss_weight")
    agents = ("amago.agent.Agent", "amago.agent.MultiTaskAgent")
    with config.gin.unlock_config():  # scripts lock it before they make the experiment
        config.bind({f"{agent}.critic_loss_weight": weight for agent in agents})
    _warn("critic_loss_weight", f"bind Agent.critic_loss_weight = {weight} in gin")


def _dataset(settings: dict[str, Any]) -> None:
    given = {name: settings.pop(name) for name in _OF_DATASET if name in settings}
    old = ", ".join(given)
    _refuse_both(old, ("dataset",), settings)
    if "run_name" in settings:
        given.setdefault("dset_name", settings["run_name"])
    settings["dataset"] = DiskTrajDataset(**given)
    _warn(old, "pass dataset=DiskTrajDataset(dset_root, dset_name, dset_max_size, ...)")


def _refuse_both(old: str, new: tuple[str, ...], settings: dict[str, Any]) -> None:
    both = [name for name in new if name in settings]
    if both:
        raise ConfigError(
            f"{old} (of an earlier version) and {', '.join(both)} say the same thing twice: keep "
            f"{', '.join(both)}."
        )


def _warn(old: str, advice: str) -> None:
    amago_warning(
        f"Experiment({old}) is of an earlier version: {advice}.", category=DeprecationWarning
    )
