"""gin, spoken in one module: `configurable` classes, bindings, and how they cross a process.

A default lives in a signature and nowhere else. A binding overrides it by name:
`bind({"amago.agent.Agent.gamma": 0.99})`, or `Agent.gamma = 0.99` in a `.gin` file. Any suffix of
the public path that is unambiguous will do.

Three things are added to gin:

* names are looked up lazily: the first look-up that fails imports the built-in configurables, so
  that an environment worker, which binds nothing, never loads torch;
* an unknown name is refused with the nearest one that exists;
* `snapshot` and `restore` carry the bindings into worker processes, which do not inherit them.
"""

import contextlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, TypeVar

import cloudpickle
import gin
from gin import config as _gin
from gin.selector_map import SelectorMap

from amago.core.errors import ConfigError
from amago.core.names import nearest

REQUIRED: Any = gin.REQUIRED
"""Default of a parameter that a binding or the caller must supply."""

F = TypeVar("F", bound=Callable[..., Any])

_BUILTIN_MODULES = (
    "amago.utils",
    "amago.loading",
    "amago.envs.exploration",
    "amago.nets.utils",
    "amago.nets.ff",
    "amago.nets.cnn",
    "amago.nets.tstep_encoders",
    "amago.nets.traj_encoders",
    "amago.nets.transformer",
    "amago.nets.actor_critic",
    "amago.nets.policy_dists",
    "amago.agent",
    "amago.tracking.wandb_tracker",
    "amago.experiment",
)


def register_builtins() -> None:
    """Import every module that defines a built-in configurable."""
    for path in _BUILTIN_MODULES:
        module = import_module(path)
        for name in getattr(module, "__all__", ()):
            getattr(module, name)  # packages import their members on first use


class _LazyRegistry(SelectorMap):
    """gin's registry, which imports the built-ins when a name is not found without them."""

    _is_loading = False

    def matching_selectors(self, partial_selector: str) -> list[str]:
        found = super().matching_selectors(partial_selector)
        if not found and not self._is_loading:
            self._is_loading = True
            try:
                with gin.unlock_config():
                    register_builtins()
            finally:
                self._is_loading = False
            found = super().matching_selectors(partial_selector)
        return found


def _install_lazy_registry() -> None:
    lazy = _LazyRegistry()
    lazy.__dict__.update(_gin._REGISTRY.__dict__)  # shares the maps gin has filled so far
    _gin._REGISTRY = lazy


if not isinstance(_gin._REGISTRY, _LazyRegistry):
    _install_lazy_registry()

_pending: dict[str, list[tuple[str, str, bytes]]] = {}
"""Bindings restored from another process, by selector, until their configurable is imported."""


def configurable(
    module: str, name: str | None = None, denylist: Iterable[str] | None = None
) -> Callable[[F], F]:
    """Decorator that lets gin bind the defaults of a class or function.

    Args:
        module: the *public* path. It becomes the first part of the selector and `__module__`, so
            that what users write does not depend on which file holds the code.
        denylist: parameters that cannot be bound.
    """

    def decorate(target: F) -> F:
        target.__module__ = module
        with gin.unlock_config():
            register: Any = gin.configurable(
                name or target.__name__, module=module, denylist=list(denylist or []) or None
            )
            wrapped = register(target)
        for scope, parameter, value in _pending.pop(f"{module}.{target.__name__}", []):
            _set(scope, f"{module}.{target.__name__}", parameter, cloudpickle.loads(value))
        return wrapped

    return decorate


# ------------------------------------------------------------------------------------ binding


def bind(bindings: Mapping[str, Any]) -> None:
    """Override defaults: `{"Agent.gamma": 0.99}`. Later calls win.

    Raises:
        ConfigError: no such class or parameter; the message names the nearest.
    """
    for key, value in bindings.items():
        with _explained():
            gin.bind_parameter(key, value)


def parse_files(paths: Iterable[str]) -> None:
    """Parse `.gin` files in order; a later file wins.

    Raises:
        ConfigError: a file is missing, or names something that does not exist.
    """
    for path in paths:
        with _explained(f"{path}: "):
            try:
                gin.parse_config_file(path)
            except OSError as error:
                raise ConfigError(f"cannot read the gin file '{path}': {error}") from error


def parse_bindings(lines: Iterable[str]) -> None:
    """Parse bindings as one would write them in a `.gin` file, e.g. `"Agent.gamma = 0.99"`."""
    for line in lines:
        with _explained():
            gin.parse_config(line)


def finalize() -> None:
    """Lock the configuration against later changes (a second call changes nothing)."""
    if not gin.config_is_locked():
        register_builtins()
        gin.finalize()


def clear() -> None:
    """Forget every binding."""
    gin.clear_config()
    _pending.clear()


@contextlib.contextmanager
def _explained(prefix: str = ""):
    try:
        yield
    except (ValueError, KeyError, SyntaxError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(prefix + _explanation(error)) from error


def _explanation(error: Exception) -> str:
    text = str(error.args[0]) if error.args else str(error)
    parameter = re.search(r"Configurable '(.+?)' doesn't have a parameter named '(.+?)'", text)
    if parameter:
        selector, wrong = parameter.groups()
        found: Any = _gin._REGISTRY.get_match(selector)
        known = inspect.signature(found.wrapped).parameters
        return f"no parameter '{wrong}' in {found.selector}{nearest(wrong, known)}"
    unknown = re.search(r"No configurable matching '(.+?)'", text)
    if unknown:
        wrong = unknown.group(1)
        names = {s.rsplit(".", 1)[-1]: s for s, _ in _gin._REGISTRY.items()}
        return f"nothing configurable is named '{wrong}'{nearest(wrong.rsplit('.', 1)[-1], names)}"
    return text


# ------------------------------------------------------------------------------------ reading


def bindings() -> dict[str, Any]:
    """Every binding made so far: `{"amago.agent.Agent.gamma": 0.99}`, scopes as a prefix."""
    return _flatten(_gin._CONFIG)


def operative() -> dict[str, Any]:
    """Every configurable value in use so far, bound or default, of what has been constructed."""
    return _flatten(_gin._OPERATIVE_CONFIG)


def operative_text() -> str:
    """The same as gin text: parsing it reproduces the run, up to what gin cannot write."""
    return gin.operative_config_str()


def _flatten(config: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[str, Any]:
    flat = {}
    for (scope, selector), values in config.items():
        prefix = f"{scope}/{selector}" if scope else selector
        flat.update({f"{prefix}.{parameter}": value for parameter, value in values.items()})
    return dict(sorted(flat.items()))


# ------------------------------------------------------------------------- across a process


class _Reference:
    """A picklable stand-in for gin's `@Name` and `@Name()`."""

    def __init__(self, selector: str, evaluate: bool) -> None:
        self.selector, self.evaluate = selector, evaluate


def snapshot() -> bytes:
    """Every binding, for `restore` in another process."""
    entries = [
        (scope, selector, parameter, cloudpickle.dumps(_swap(value, _to_stand_in)))
        for (scope, selector), values in _gin._CONFIG.items()
        for parameter, value in values.items()
    ]
    return cloudpickle.dumps(entries)


def restore(state: bytes) -> None:
    """Replace this process's bindings by those of a `snapshot`.

    A binding of one of this package's classes waits until the class is imported, so that a worker
    that never touches a network does not load torch.
    """
    clear()
    for scope, selector, parameter, value in cloudpickle.loads(state):
        if selector.startswith("amago.") and selector not in _gin._REGISTRY:
            _pending.setdefault(selector, []).append((scope, parameter, value))
        else:
            _set(scope, selector, parameter, cloudpickle.loads(value))


def _set(scope: str, selector: str, parameter: str, value: Any) -> None:
    _gin._CONFIG.setdefault((scope, selector), {})[parameter] = _swap(value, _from_stand_in)


def _to_stand_in(value: Any) -> Any:
    if isinstance(value, _gin.ConfigurableReference):
        return _Reference(value.scoped_selector, value.evaluate)
    return value


def _from_stand_in(value: Any) -> Any:
    if isinstance(value, _Reference):
        return _gin.ConfigurableReference(value.selector, value.evaluate)
    return value


def _swap(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with every leaf changed, through lists, tuples and dicts."""
    if isinstance(value, dict):
        return {key: _swap(item, change) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_swap(item, change) for item in value)
    return change(value)
