"""Choosing a pool."""

from collections.abc import Sequence

from amago.core.errors import ConfigError
from amago.envs.pool.base import EnvPool
from amago.envs.pool.members import EnvFactory, Exploration, Recipe
from amago.envs.pool.supervision import Supervision


def make_pool(
    factories: Sequence[EnvFactory],
    mode: str,
    exploration_type: Exploration | None = None,
    seed: int = 0,
    mp_context: str | None = None,
    role: str = "train",
    supervision: Supervision = Supervision(),  # noqa: B008 (frozen)
    replayable: bool = False,
) -> EnvPool:
    """A pool of environments.

    Args:
        factories: functions without arguments, one for each environment, that return an
            `AMAGOEnv`.
        mode: "sync" (in this process), "async" (worker processes) or "already_vectorized" (one
            factory, whose environment carries the batch).
        exploration_type: called with each `AMAGOEnv`, gives the wrapper that adds noise.
        seed: of the run. Every episode of every environment, and its noise, has a seed derived
            from it, the same in "sync" and "async" mode.
        mp_context: how "async" starts its workers, see `default_start_method`; ignored otherwise.
        role: separates the random streams of pools with one seed, e.g. "train" and "val".
        supervision: what happens when an environment fails.
        replayable: keep the actions of each running episode, so that `load_state_dict` can take
            them again where an environment does not offer its state.

    Raises:
        ConfigError: another mode, no factory, or environments that do not fit the mode.
    """
    factories = list(factories)
    for factory in factories:
        if not callable(factory):
            raise ConfigError(
                f"an environment factory must be callable, got {factory!r}. Pass a function that "
                "makes the environment, not the environment."
            )
    if not factories:
        raise ConfigError("a pool needs at least one environment factory")
    recipe = Recipe(
        factories, exploration_type, seed, role, supervision=supervision, replayable=replayable
    )
    if mode == "sync":
        from amago.envs.pool.sync import SyncPool

        return SyncPool(recipe)
    if mode == "async":
        from amago.envs.pool.shm import AsyncPool

        return AsyncPool(recipe, mp_context=mp_context)
    if mode == "already_vectorized":
        from amago.envs.pool.vectorised import VectorisedPool

        return VectorisedPool(recipe)
    raise ConfigError(
        f"env_mode is '{mode}'; choose 'async' (processes), 'sync' (one process) or "
        "'already_vectorized' (one environment that carries a batch)"
    )
