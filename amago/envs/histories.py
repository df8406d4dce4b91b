"""Results of finished episodes, by environment name."""

import numbers
from functools import lru_cache
from typing import Any

import numpy as np

from amago.core.errors import amago_warning
from amago.envs.amago_env import AMAGO_ENV_LOG_PREFIX


class ReturnHistory:
    """Returns of finished episodes.

    Attributes:
        data: `{env_name: [return, ...]}`.
    """

    def __init__(self, env_name: str) -> None:
        self.env_name = env_name
        self.data: dict[str, list[float]] = {}

    def add_score(self, env_name: str, score: float) -> None:
        """Remember the return of one episode."""
        self.data.setdefault(env_name, []).append(score)


class SpecialMetricHistory:
    """Samples of the metrics an environment put in its info.

    Attributes:
        data: `{env_name: {metric: [sample, ...]}}`.
    """

    def __init__(self, env_name: str) -> None:
        self.env_name = env_name
        self.data: dict[str, dict[str, list[float]]] = {}

    def add_score(self, env_name: str, key: str, value: Any) -> None:
        """Remember the samples in `value`.

        Args:
            key: the metric's name, with or without the prefix `AMAGO_LOG_METRIC`.
            value: a number, or any collection or array of numbers: each is one sample. Anything
                else is ignored with a warning.
        """
        metric = metric_name(key)
        try:
            samples = [value] if type(value) is float else as_samples(value)
        except (TypeError, ValueError):
            amago_warning(
                f"the metric '{metric}' of environment '{env_name}' is not a number or a "
                f"collection of numbers ({value!r}), so it is ignored"
            )
            return
        self.data.setdefault(env_name, {}).setdefault(metric, []).extend(samples)


@lru_cache(maxsize=1024)
def metric_name(key: str) -> str:
    """An info key without the prefix and the white space around the rest."""
    return key.removeprefix(AMAGO_ENV_LOG_PREFIX).strip()


def as_samples(value: Any) -> list[Any]:
    """The numbers in a number, array (numpy, torch, jax), list or tuple, flattened.

    Raises:
        TypeError, ValueError: there is something else in it.
    """
    if isinstance(value, numbers.Number):
        return [value]
    if hasattr(value, "detach"):  # a torch tensor, which numpy refuses to read with a gradient
        value = value.detach().cpu()
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"not numeric: {array.dtype}")
    return array.ravel().tolist()
