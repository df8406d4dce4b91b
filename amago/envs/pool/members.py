"""Making the environments of a pool: from the user's factory to a seeded, wrapped `AMAGOEnv`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from amago.core.errors import AmagoError, ConfigError, EnvError
from amago.core.rng import derive_seed
from amago.envs.amago_env import AMAGOEnv
from amago.envs.exploration import ExplorationWrapper

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
    """

    factories: Sequence[EnvFactory]
    exploration: Exploration | None
    seed: int
    role: str
    first: int = 0

    @property
    def description(self) -> str:
        """Which environments these are, for messages."""
        last = self.first + len(self.factories) - 1
        which = f"environment {last}" if last == self.first else f"environments {self.first}-{last}"
        return f"{which} ({self.role})"

    def part(self, start: int, stop: int) -> "Recipe":
        """The recipe for environments `start..stop` of this one."""
        return Recipe(
            self.factories[start:stop], self.exploration, self.seed, self.role, self.first + start
        )

    def make(self) -> list["Member"]:
        """Make the environments, in order."""
        return [
            Member(factory, self.exploration, self.seed, self.role, self.first + i)
            for i, factory in enumerate(self.factories)
        ]


class Member:
    """An environment of a pool and its random streams.

    Attributes:
        env: what is stepped: the `AMAGOEnv`, or the exploration wrapper around it.
        amago_env: the `AMAGOEnv`.
        episode: number of the next episode.
    """

    def __init__(
        self,
        factory: EnvFactory,
        exploration: Exploration | None,
        seed: int,
        role: str,
        index: int,
    ) -> None:
        self.amago_env = _made_by(factory, index)
        self.env: Any = self.amago_env
        if exploration is not None:
            self.env = exploration(self.amago_env)
        if isinstance(self.env, ExplorationWrapper):
            self.env.seed(derive_seed(seed, role, index, "exploration"))
        self.episode = 0
        self._stream: tuple[Any, ...] = (seed, role, index, "episode")

    def next_episode_seed(self) -> int:
        """A new seed for each episode, the same in every run and however the pool works."""
        self.episode += 1
        return derive_seed(*self._stream, self.episode - 1)


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
