"""From the user's environment functions to environments that are recorded and counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amago.core.errors import amago_warning
from amago.core.rng import derive_seed
from amago.envs.exploration import ExplorationWrapper
from amago.envs.pool import make_pool
from amago.experiment.settings import EnvFactories
from amago.rollout.recorded import RecordedEnvs
from amago.rollout.recorder import Recorder

if TYPE_CHECKING:
    from amago.experiment.experiment import Experiment


def make_envs(
    experiment: Experiment,
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
        seed=experiment.run_seed,
        mp_context=experiment.async_env_mp_context,
        role=f"{role}-rank{rank}" if rank else role,
    )
    recorder = Recorder(
        num_envs=pool.num_envs,
        save_to=save_to,
        save_every=_file_lengths(experiment),
        save_as=experiment.save_trajs_as,
        seed=derive_seed(experiment.run_seed, role, "recorder", rank),
    )
    return RecordedEnvs(pool, recorder, explores=exploration is not None)


def _one_factory_per_actor(
    experiment: Experiment, factories: EnvFactories
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


def _file_lengths(experiment: Experiment) -> tuple[int, int]:
    """Limits between which the length of each stored file is drawn, in transitions."""
    length = int(experiment.traj_save_len)
    if not experiment.stagger_traj_file_lengths or experiment.max_seq_len >= length:
        return length, length
    return length - experiment.max_seq_len, length + experiment.max_seq_len
