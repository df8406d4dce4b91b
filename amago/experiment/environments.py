"""From the user's environment functions to environments that are recorded and counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amago.core.errors import amago_warning
from amago.core.rng import derive_seed
from amago.envs.exploration import ExplorationWrapper
from amago.envs.pool import make_pool
from amago.envs.pool.supervision import Supervision
from amago.experiment.settings import EnvFactories
from amago.rollout.recorded import RecordedEnvs
from amago.rollout.recorder import Recorder

if TYPE_CHECKING:
    from amago.experiment.assembly import Assembly


def make_envs(
    experiment: Assembly,
    factories: EnvFactories,
    role: str,
    exploration: type[ExplorationWrapper] | None = None,
    save_to: str | None = None,
) -> RecordedEnvs:
    """`parallel_actors` environments with a recorder.

    Args:
        role: "train", "val" or "test"; each has random streams of its own.
        save_to: folder for the trajectories; None records nothing.
    """
    rank = experiment.ranks.rank
    pool = make_pool(
        _one_factory_per_actor(experiment, factories),
        mode=experiment.env_mode,
        exploration_type=exploration,
        seed=experiment.link.seed,
        mp_context=experiment.async_env_mp_context,
        role=f"{role}-rank{rank}" if rank else role,
        supervision=Supervision(
            step_timeout_s=experiment.env_timeout_s,
            max_failures=experiment.max_env_failures,
            bad_values=experiment.bad_env_values,
        ),
        replayable=role == "train",
    )
    recorder = Recorder(
        num_envs=pool.num_envs,
        save_to=save_to,
        save_every=_file_lengths(experiment),
        save_as=experiment.save_trajs_as,
        seed=recorder_seed(experiment.link.seed, role, rank),
    )
    return RecordedEnvs(pool, recorder)


def recorder_seed(seed: int, role: str, rank: int) -> int:
    """The seed of a recorder; what the names of its files carry follows from it."""
    return derive_seed(seed, role, "recorder", rank)


def _one_factory_per_actor(
    experiment: Assembly, factories: EnvFactories
) -> list[Callable[[], Any]]:
    if experiment.env_mode == "already_vectorized":
        return [factories] if callable(factories) else list(factories)
    if callable(factories):
        return [factories] * experiment.parallel_actors
    factories = list(factories)
    if len(factories) != experiment.parallel_actors:
        amago_warning(
            f"{len(factories)} environment functions were given for parallel_actors="
            f"{experiment.parallel_actors}; using {len(factories)} actors."
        )
    return factories


def _file_lengths(experiment: Assembly) -> tuple[int, int]:
    """Limits between which the length of each stored file is drawn, in transitions."""
    length = int(experiment.traj_save_len)
    if not experiment.stagger_traj_file_lengths or experiment.max_seq_len >= length:
        return length, length
    return length - experiment.max_seq_len, length + experiment.max_seq_len
