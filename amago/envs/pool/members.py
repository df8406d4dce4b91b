"""Making the environments of a pool: from the user's factory to a seeded, wrapped `AMAGOEnv`."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym

from amago.core.errors import AmagoError, ConfigError, EnvError
from amago.core.rng import derive_seed
from amago.envs.amago_env import AMAGOEnv
from amago.envs.exploration import ExplorationWrapper
from amago.envs.pool.supervision import Supervision

EnvFactory = Callable[[], AMAGOEnv]
Exploration = Callable[[AMAGOEnv], ExplorationWrapper]


@dataclass(frozen=True)
class Recipe:
    """How to make the environments of a pool.

    Attributes:
        factories: one for each environment.
        exploration: wraps each environment; None adds no noise.
        seed: of the run.
        role: separates the random streams of pools, e.g. "train" and "val".
        first: index in the pool of the first factory.
        supervision: what happens when an environment fails.
        replayable: the actions of running episodes are kept.
    """

    factories: Sequence[EnvFactory]
    exploration: Exploration | None
    seed: int
    role: str
    first: int = 0
    supervision: Supervision = field(default_factory=Supervision)
    replayable: bool = False

    @property
    def description(self) -> str:
        """Which environments these are, for messages."""
        last = self.first + len(self.factories) - 1
        which = f"environment {last}" if last == self.first else f"environments {self.first}-{last}"
        return f"{which} ({self.role})"

    def part(self, start: int, stop: int) -> "Recipe":
        """The recipe for environments `start..stop` of this one."""
        return replace(self, factories=self.factories[start:stop], first=self.first + start)

    def make(self) -> Iterator["Member"]:
        """Make the environments, one after the other."""
        for i, factory in enumerate(self.factories):
            yield Member(self, factory, self.first + i)


class Member:
    """An environment of a pool and its random streams.

    Attributes:
        env: what is stepped: the `AMAGOEnv`, or the exploration wrapper around it.
        amago_env: the `AMAGOEnv`.
        index: in the pool.
    """

    env: Any
    amago_env: AMAGOEnv

    def __init__(self, recipe: Recipe, factory: EnvFactory, index: int) -> None:
        self.index = index
        self._recipe = recipe
        self._factory = factory
        self._make()
        if isinstance(self.env, ExplorationWrapper):
            self.env.seed(derive_seed(recipe.seed, recipe.role, index, "exploration"))

    def _make(self) -> None:
        self.amago_env = _made_by(self._factory, self.index)
        self.amago_env.clamps_bad_values = self._recipe.supervision.bad_values == "clamp"
        explore = self._recipe.exploration
        self.env = self.amago_env if explore is None else explore(self.amago_env)

    def make_anew(self) -> None:
        """Another environment in place of one that failed. Its exploration goes on."""
        exploration = self.exploration_state()
        with contextlib.suppress(Exception):  # it has failed already
            self.env.close()
        self._make()
        self.load_exploration_state(exploration)

    def episode_seed(self, episode: int) -> int:
        """Another for each episode, the same in every run and however the pool works."""
        return derive_seed(self._recipe.seed, self._recipe.role, self.index, "episode", episode)

    def exploration_state(self) -> dict[str, Any] | None:
        """Where the exploration stands, or None if there is none."""
        if not isinstance(self.env, ExplorationWrapper):
            return None
        return copy.deepcopy(self.env.state_dict())

    def load_exploration_state(self, state: dict[str, Any] | None) -> None:
        """Go on where `exploration_state` was taken. None leaves it as it is.

        Raises:
            EnvError: it is the state of another kind of exploration.
        """
        if state is None or not isinstance(self.env, ExplorationWrapper):
            return
        try:
            self.env.load_state_dict(state)
        except Exception as error:
            raise EnvError(
                f"environment {self.index}: the saved state of the exploration does not fit "
                f"{type(self.env).__name__} ({type(error).__name__}: {error}). Go on with the "
                "exploration_wrapper_type of the saved run, or load its weights only."
            ) from error


def _made_by(factory: EnvFactory, index: int) -> AMAGOEnv:
    try:
        env = factory()
    except AmagoError:
        raise
    except Exception as error:
        raise EnvError(
            f"the factory of environment {index} raised {type(error).__name__}: {error}"
        ) from error
    if isinstance(env, AMAGOEnv):
        return env
    if isinstance(env, gym.Env):
        wrapped = "AMAGOEnv(env, env_name='my_env')"
        raise ConfigError(
            f"an environment factory returned {env}, which is not an AMAGOEnv. Return {wrapped} "
            "instead (from amago.envs import AMAGOEnv)."
        )
    raise ConfigError(
        f"an environment factory must return an AMAGOEnv, but returned {type(env).__name__}. It is "
        "a function without arguments that makes an environment: pass the function, not its result."
    )
