"""The discounts an agent learns beside its own."""

from collections.abc import Iterable

from amago.core.config import configurable

_EXTRA_DISCOUNTS = (0.1, 0.9, 0.95, 0.97, 0.99, 0.995)


@configurable(module="amago.agent")
class Multigammas:
    """Discounts trained beside the one that acts.

    Their policies are auxiliary tasks at shorter horizons, and share the sequence model.

    Args:
        discrete: with discrete actions.
        continuous: with all others.
    """

    def __init__(
        self,
        discrete: Iterable[float] = _EXTRA_DISCOUNTS,
        continuous: Iterable[float] = _EXTRA_DISCOUNTS,
    ) -> None:
        self.discrete = list(discrete)
        self.continuous = list(continuous)
