"""Named classes: a decorator that registers, a look-up that explains, a lister."""

from collections.abc import Callable
from importlib import import_module
from typing import Generic, TypeVar, cast

from amago.core.names import nearest

T = TypeVar("T")
C = TypeVar("C", bound=type)


class Registry(Generic[T]):
    """Names for classes of one kind, e.g. `"transformer"` for a trajectory encoder.

    Built-in members are imported at the first look-up, so that importing a registry costs nothing.

    Args:
        kind: what is registered, for messages, e.g. "trajectory encoder".
        builtin_modules: modules whose import registers the built-in members.
    """

    def __init__(self, kind: str, builtin_modules: tuple[str, ...] = ()) -> None:
        self.kind = kind
        self._builtin_modules = builtin_modules
        self._members: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[C], C]:
        """Decorator that makes the class available under `name`.

        Raises:
            ValueError: the name is taken.
        """

        def decorate(cls: C) -> C:
            if name in self._members:
                raise ValueError(
                    f"{self.kind} '{name}' is already registered "
                    f"(by {self._members[name].__qualname__}). Choose another name."
                )
            self._members[name] = cast(type[T], cls)
            return cls

        return decorate

    def get(self, name: str) -> type[T]:
        """The class registered under `name`.

        Raises:
            KeyError: no such name; the message lists those there are.
        """
        self._load_builtins()
        if name not in self._members:
            raise KeyError(
                f"no {self.kind} is registered as '{name}'{nearest(name, self._members)} "
                f"Available: {', '.join(sorted(self._members))}"
            )
        return self._members[name]

    def names(self) -> list[str]:
        """Every registered name."""
        self._load_builtins()
        return list(self._members)

    def _load_builtins(self) -> None:
        for module in self._builtin_modules:
            import_module(module)
