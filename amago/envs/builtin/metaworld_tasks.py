"""The tasks of Meta-World's meta-learning benchmarks, built once and read by every environment.

A task is a name ("reach-v3"), which says what the simulator is, and one of its fifty variants:
where the object and the goal are. Meta-World draws the variants by resetting the simulator fifty
times, which for all names takes half a minute. So they are kept in the user's cache, a file for
each name: only names that are needed are built, processes that need different ones build in
parallel, and whoever comes later reads.

Checked with metaworld 3.1.1. Its registered ids (`Meta-World/ML45-train` ...) are not used: with
3.1.1 most of them cannot be made or reset, and "ML1-train" gives the tasks of the test split.
"""

import contextlib
import fcntl
import functools
import os
import pickle
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from amago.core.errors import ConfigError, MissingExtraError, TrajectoryError, amago_warning
from amago.core.names import nearest
from amago.core.npz import load_npz, write_npz
from amago.core.rng import derive_seed

SPLITS = ("train", "test")
NUM_VARIANTS = 50
"""Of each name in each split: Meta-World's own number."""


class Benchmark(Protocol):
    """What an environment needs to know of a benchmark.

    Attributes:
        name: of the benchmark.
    """

    name: str

    def names(self, split: str) -> list[str]:
        """Of the tasks."""
        ...

    def tasks(self, name: str, split: str) -> Sequence[Any]:
        """The variants of a task, for the `set_task` of its simulator."""
        ...

    def simulator(self, name: str) -> Any:
        """A new simulator: Meta-World's `set_task`, and gymnasium's `reset`, `step`, `close`."""
        ...


def as_benchmark(benchmark: Any, seed: int = 0) -> Benchmark:
    """A benchmark from its name, from an object of Meta-World (`metaworld.ML25()`), or itself."""
    if isinstance(benchmark, str):
        return MetaworldBenchmark(benchmark, seed)
    return WholeBenchmark(benchmark) if hasattr(benchmark, "train_classes") else benchmark


class MetaworldBenchmark:
    """ML1, ML10 or ML45, with tasks that are built when they are first asked for.

    The variants of a task follow from its name, the split and the seed: they are the same in every
    benchmark that has the task. They are drawn as Meta-World draws them, not with its own seeds,
    which would make those of a task depend on all tasks before it.

    Args:
        name: "ml10", "ml45", or the name of a task for ML1. Names of Meta-World 2 ("reach-v2") are
            taken for those of Meta-World 3.
        seed: which variants there are.

    Raises:
        ConfigError: there is no such benchmark or task.
        MissingExtraError: Meta-World is not installed.
    """

    def __init__(self, name: str, seed: int = 0) -> None:
        self._classes = _metaworld().env_dict.ALL_V3_ENVIRONMENTS
        self.seed = seed
        self.name, self._names = self._found(name)

    def _found(self, name: str) -> tuple[str, dict[str, list[str]]]:
        """The benchmark's name, and its tasks in each split."""
        of_several = {
            "ml10": _metaworld().env_dict.ML10_V3,
            "ml45": _metaworld().env_dict.ML45_V3,
        }
        if name.lower() in of_several:
            classes = of_several[name.lower()]
            return name.lower(), {split: list(classes[split]) for split in SPLITS}
        task = self._task_of_this_version(name)
        if task not in self._classes:
            raise ConfigError(
                f"Meta-World has no benchmark or task '{name}'"
                f"{nearest(task, [*of_several, *self._classes])} There are 'ml10', 'ml45' and, for "
                f"ML1, the names of tasks: {', '.join(self._classes)}."
            )
        return task, {split: [task] for split in SPLITS}

    def _task_of_this_version(self, name: str) -> str:
        if not name.endswith("-v2"):
            return name
        renamed = f"{name.removesuffix('-v2')}-v3"
        if renamed in self._classes:
            amago_warning(f"the Meta-World task '{name}' is called '{renamed}' now; using that")
        return renamed

    def names(self, split: str) -> list[str]:
        """Of the tasks, in Meta-World's order.

        Raises:
            ConfigError: the split is neither "train" nor "test".
        """
        if split not in SPLITS:
            raise ConfigError(f"a benchmark has the splits 'train' and 'test', not '{split}'")
        return self._names[split]

    def tasks(self, name: str, split: str) -> list[Any]:
        """The `NUM_VARIANTS` tasks of a name. The very first call builds them."""
        return [
            _metaworld().Task(name, pickle.dumps(self._content(name, variant)))
            for variant in variants(name, split, self.seed)
        ]

    def _content(self, name: str, variant: np.ndarray) -> dict[str, Any]:
        return {
            "env_cls": self._classes[name],
            "rand_vec": variant,
            "partially_observable": True,  # the goal is for the agent to find
        }

    def simulator(self, name: str) -> Any:
        """A new simulator, 24 MB of memory and an eighth of a second."""
        return self._classes[name]()


class WholeBenchmark:
    """A benchmark object of Meta-World, such as `metaworld.ML10(seed=0)`."""

    def __init__(self, benchmark: Any) -> None:
        self.name = type(benchmark).__name__
        self._classes = {"train": benchmark.train_classes, "test": benchmark.test_classes}
        self._tasks = {"train": benchmark.train_tasks, "test": benchmark.test_tasks}

    def names(self, split: str) -> list[str]:
        """Of the tasks."""
        return list(self._classes[split])

    def tasks(self, name: str, split: str) -> list[Any]:
        """Those of a name."""
        return [task for task in self._tasks[split] if task.env_name == name]

    def simulator(self, name: str) -> Any:
        """A new simulator."""
        return {**self._classes["train"], **self._classes["test"]}[name]()


@functools.cache
def variants(name: str, split: str, seed: int) -> np.ndarray:
    """Where the object and the goal are, `[NUM_VARIANTS, numbers]` float64, read-only.

    From the cache, if it has them; otherwise one process builds them while others that want the
    same wait.
    """
    path = _cache_folder() / f"{name}-{split}-{seed}.npz"
    found = _read(path)
    if found is None:
        with _only_builder(path):
            found = _read(path)  # whoever had the lock before us has written it
            if found is None:
                found = _built(name, split, seed)
                _keep(path, found)
    found.setflags(write=False)
    return found


def _built(name: str, split: str, seed: int) -> np.ndarray:
    """Draw the variants of a task as `metaworld.ML1(name)` does, in a third of its time."""
    simulator = _metaworld().ALL_V3_ENVIRONMENTS[name]()
    simulator.frame_skip = 1  # a reset moves the hand, mostly: that has no part in the draw
    simulator.seeded_rand_vec = True  # or it would draw from numpy's global state
    simulator.seed(derive_seed(seed, "metaworld", name, split))
    simulator._freeze_rand_vec = False
    drawn = []
    for _ in range(NUM_VARIANTS):
        simulator.reset()
        drawn.append(simulator._last_rand_vec)
    simulator.close()
    return np.stack(drawn)


def _read(path: Path) -> np.ndarray | None:
    """What the cache has. None where there is nothing, or nothing that can be used."""
    try:
        found = load_npz(str(path))["variants"]
    except (OSError, TrajectoryError, KeyError):
        return None
    usable = found.dtype == np.float64 and found.ndim == 2 and len(found) == NUM_VARIANTS
    return found if usable else None


def _keep(path: Path, found: np.ndarray) -> None:
    try:
        write_npz(str(path), {"variants": found})
    except OSError as error:
        amago_warning(
            f"the tasks of Meta-World cannot be kept in {path.parent} ({error.strerror}), so every "
            "process builds them anew. Set XDG_CACHE_HOME to a folder that can be written to."
        )


@contextlib.contextmanager
def _only_builder(path: Path) -> Iterator[None]:
    """Waits until no other process builds this file.

    Where there can be no lock (a folder that is read-only, a disk without locks), two may build the
    same: that costs time, and nothing else.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "amago" / f"metaworld-{version('metaworld')}"


def _metaworld() -> Any:
    try:
        import metaworld  # pyright: ignore[reportMissingImports]
    except ImportError as error:  # also one of a package that it needs and does not declare
        raise MissingExtraError(error.name or "metaworld", "metaworld", "Meta-World") from error
    if not hasattr(metaworld, "env_dict"):  # a script's folder comes before the installed packages
        raise ConfigError(
            f"Python finds {metaworld.__file__} under the name of the package `metaworld`. Rename "
            "that file, or take its folder out of sys.path before Meta-World is used."
        )
    return metaworld
