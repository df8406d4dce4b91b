"""Errors and warnings a user may meet: what was wrong, what was there, what to do."""

import os
import sys
import warnings
from collections.abc import Mapping
from typing import Any

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep


class AmagoError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(AmagoError, ValueError):
    """A setting, or a combination of settings, that cannot work."""


class MissingExtraError(AmagoError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package `{package}`, which is not installed. "
            f"Install it with: pip install 'amago[{extra}]'"
        )


class TrajectoryError(AmagoError, ValueError):
    """A stored trajectory that is truncated, altered, or not one of ours."""


class EnvError(AmagoError, RuntimeError):
    """An environment broke its contract, or its worker process failed."""


class CheckpointError(AmagoError, RuntimeError):
    """A checkpoint that is missing, incomplete, or does not fit this run."""


class StorageError(AmagoError, OSError):
    """The disk is full, or cannot be written to."""


class RunNotFoundError(AmagoError, FileNotFoundError):
    """There is no record of a run in the folder that was named."""


class RecordError(AmagoError, ValueError):
    """A record that cannot be read: of a newer version, or no record at all."""


class MetricNotFoundError(AmagoError, LookupError):
    """A metric or an x-axis that the run has not recorded."""


class DivergedError(AmagoError, RuntimeError):
    """Too many updates in a row had a gradient that is not finite.

    Attributes:
        batch: what the last of them was to learn from.
        metrics: of that update, by name.
    """

    def __init__(self, message: str, batch: Any, metrics: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.batch = batch
        self.metrics = metrics


class AmagoWarning(UserWarning):
    """Category of every warning of this package, so that it can be filtered as one."""


def amago_warning(msg: str, category: type[Warning] = AmagoWarning) -> None:
    """Warn about something the user can change, at the line of the user's code that led here."""
    warnings.warn(msg, category=category, stacklevel=_level_of_the_user())


def _level_of_the_user() -> int:
    """The `stacklevel`, from `amago_warning`, of the first caller outside of this package.

    Python shows a DeprecationWarning only if it points at the user's own script.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level
