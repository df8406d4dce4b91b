"""Acting: environments, policy, exploration, recording, writing trajectories."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from amago_bench.cases.train import LUNAR, QUICK
from amago_bench.flops import Shape
from amago_bench.registry import Case, Context, Unsupported, Work
from amago_bench.watch import Watch

FF = Shape(obs=4, actions=2, discrete=True, encoder="ff", layers=1, width=256)
GRU = replace(LUNAR, encoder="gru", layers=2)
SMALL_TF = replace(LUNAR, layers=2, width=64, tstep_out=64)
EPISODE = 200
BATCHES = (24, 256, 1024, 4096)


@dataclass(frozen=True)
class Rollout:
    """A way to act.

    Attributes:
        make_env: called in the child with the number of actors, gives the factory of one env.
        frames: of all actors together, in one repeat.
        memory: timesteps that the policy remembers.
        compares: also measure the policy's bare matrix products, and report the ratio.
    """

    shape: Shape
    actors: int
    mode: str
    make_env: Callable[[int], Callable[[], Any]]
    frames: int
    memory: int = 128
    compares: bool = False


def cartpole(actors: int) -> Callable[[], Any]:
    """gymnasium's own, which costs next to nothing to step."""
    import gymnasium as gym

    from amago.envs import AMAGOEnv

    return lambda: AMAGOEnv(gym.make("CartPole-v1"), env_name="CartPole-v1")


def lunar(actors: int, busy_s: float = 0.0) -> Callable[[], Any]:
    """Spaces of LunarLander, no physics."""
    from amago_bench.experiments import world_of

    return world_of(LUNAR, episode=EPISODE, busy_s=busy_s)


def batched_world(actors: int) -> Callable[[], Any]:
    """The suite's own batch, of LunarLander's spaces."""
    from amago.envs import AMAGOEnv
    from amago_bench.worlds import BatchedWorld

    return lambda: AMAGOEnv(
        BatchedWorld(actors, episode=EPISODE), env_name="world", batched_envs=actors
    )


BUILT_IN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "frozen_lake": ("batched_frozen_lake", "BatchedMetaFrozenLake", {"size": 5, "k_episodes": 3}),
    "key_door": ("batched_key_door", "BatchedRoomKeyDoor", {}),
    "tmaze": ("batched_tmaze", "BatchedTMazeAltPassive", {"corridor_length": 50}),
}
"""Module below `amago.envs.builtin`, class, arguments."""


def built_in(name: str, rows: int) -> Any:
    """One of the package's batched environments. Raises `Unsupported` where it has none."""
    from importlib import import_module

    module, cls, arguments = BUILT_IN[name]
    try:
        made = getattr(import_module(f"amago.envs.builtin.{module}"), cls)
    except ImportError:
        raise Unsupported(f"the package has no amago.envs.builtin.{module}.{cls}") from None
    return made(rows, **arguments)


def built_in_env(name: str, actors: int) -> Callable[[], Any]:
    """The same, as an experiment takes it."""
    from amago.envs import AMAGOEnv

    built_in(name, 1)
    return lambda: AMAGOEnv(built_in(name, actors), env_name=name, batched_envs=actors)


@contextmanager
def acting(context: Context, rollout: Rollout, **fields: Any) -> Iterator[Any]:
    """An experiment that only collects: `run(watch)` is one epoch of it, and returns its frames.

    It notes `times_policy`: the whole, relative to the time inside of the policy's `get_actions`.
    """
    import amago
    from amago.loading import DiskTrajDataset
    from amago_bench import experiments

    steps = max(1, rollout.frames // rollout.actors)
    watches: list[Watch] = []
    collected: list[int] = []
    acting_s: list[float] = []

    class Collecting(amago.Experiment):
        """Times what it collects: the acting, and that everything is written."""

        def collect_new_training_data(self) -> None:
            with watches[-1]:
                super().collect_new_training_data()
            collected.append(steps * rollout.actors)

    experiments.bind(rollout.shape)
    dataset = DiskTrajDataset(dset_root=str(context.folder), dset_name="buffer", dset_max_size=2000)
    started = experiments.experiment(
        context,
        rollout.shape,
        rollout.memory,
        experiment_type=Collecting,
        dataset=dataset,
        make_env=rollout.make_env(rollout.actors),
        env_mode=rollout.mode,
        parallel_actors=rollout.actors,
        train_timesteps_per_epoch=steps,
        train_batches_per_epoch=0,
        epochs=0,
        **fields,
    )
    with started as experiment:
        get_actions = experiment.policy.get_actions

        def timed_actions(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            result = get_actions(*args, **kwargs)
            acting_s.append(time.perf_counter() - began)
            return result

        experiment.policy.get_actions = timed_actions

        def run(watch: Watch) -> float:
            watches.append(watch)
            collected.clear()
            acting_s.clear()
            # The last epoch is passed over or done again, depending on the package: so one more.
            experiment.epochs = experiment.epoch + 2
            experiment.learn()
            watch.note("times_policy", watch.wall_s / sum(acting_s))
            return sum(collected)

        yield run


def quick(rollout: Rollout) -> Rollout:
    """The same kind of acting, small enough for a test."""
    shape, actors = rollout.shape, min(rollout.actors, 3)
    small = replace(QUICK, encoder=shape.encoder, obs=shape.obs, actions=shape.actions)
    return replace(rollout, shape=small, actors=actors, frames=10 * actors, memory=8)


@contextmanager
def _prepare(rollout: Rollout, context: Context) -> Iterator[Work]:
    rollout = quick(rollout) if context.quick else rollout
    from amago_bench.bare import bare_step

    bare = bare_step(rollout.shape, rollout.actors, _mean_context(rollout))
    with acting(context, rollout) as run:

        def once(watch: Watch) -> float:
            frames = run(watch)
            if rollout.compares:
                steps = max(1, int(frames) // rollout.actors)
                compared = watch.another()
                with compared:
                    for _ in range(steps):
                        bare()
                watch.note("times_own_products_cpu", watch.cpu_s / compared.cpu_s)
                watch.note("times_own_products_wall", watch.wall_s / compared.wall_s)
                watch.note("own_products_us_per_frame", 1e6 * compared.cpu_s / frames)
            return frames

        yield Work(once, warmup=2)


def _mean_context(rollout: Rollout) -> int:
    """Timesteps that an average step of an episode remembers; a repeat is a whole one."""
    return sum(min(t, rollout.memory) for t in range(1, EPISODE + 1)) // EPISODE


# ------------------------------------------------------------------------- as the memory fills


@contextmanager
def _prepare_context(size: int, context: Context) -> Iterator[Work]:
    """The steps that lead up to a memory of `size` timesteps, of which the longest is 256."""
    from amago_bench import experiments

    shape, actors, timed = (QUICK, 2, 2) if context.quick else (LUNAR, 24, 16)
    size = min(size, 6) if context.quick else size
    experiments.bind(shape)
    make_env = experiments.world_of(shape, episode=10**9)
    started = experiments.experiment(
        context, shape, 256, make_env=make_env, parallel_actors=actors, val_timesteps_per_epoch=1
    )
    with started as experiment:
        experiment.policy_aclr.eval()

        def once(watch: Watch) -> float:
            envs = experiment.val_envs
            envs.reset()
            hidden = None
            if size > timed:
                hidden, _ = experiment.interact(envs, size - timed)
            with watch:
                experiment.interact(envs, timed, hidden_state=hidden)
            return timed * actors

        yield Work(once)


# ------------------------------------------------------------------------ environments alone


@contextmanager
def _prepare_env(name: str, rows: int, context: Context) -> Iterator[Work]:
    """Steps of a built-in batch with actions that were drawn before."""
    import numpy as np

    rows, steps = (min(rows, 8), 5) if context.quick else (rows, max(20, 2**19 // rows))
    env = built_in(name, rows)
    env.reset(seed=0)
    space = getattr(env, "single_action_space", env.action_space)
    actions = np.random.default_rng(0).integers(space.n, size=(64, rows))

    def once(watch: Watch) -> float:
        with watch:
            for i in range(steps):
                env.step(actions[i % 64])
        return steps * rows

    yield Work(once)


def _frames(actors: int, mode: str) -> int:
    """About a second's worth."""
    return max(400, min(8000, 300 * actors)) if mode == "sync" else 400 + 100 * actors


def _rollout_cases() -> Iterator[Case]:
    for mode, counts in (("sync", (1, 8, 24, 128, 512)), ("async", (1, 8, 24))):
        for n in counts:
            rollout = Rollout(FF, n, mode, cartpole, _frames(n, mode), memory=64)
            yield Case(
                f"rollout/cartpole_ff/{mode}/{n}",
                f"CartPole, feed-forward policy, {n} actors, {mode}",
                "frame",
                partial(_prepare, rollout),
                bound="python",
                curve=f"actors, CartPole, {mode}",
                size=n,
                at_once=True,
            )
    for n in (8, 24):
        for mode in ("sync", "async"):
            rollout = Rollout(LUNAR, n, mode, lunar, EPISODE * n, compares=True)
            yield _policy_case(f"lunar_tf/{mode}/{n}", rollout, "Transformer 3 x 256")
    gru = Rollout(GRU, 24, "sync", lunar, EPISODE * 24)
    yield _policy_case("lunar_gru/sync/24", gru, "GRU 2 x 256")
    for mode in ("sync", "async"):
        expensive = Rollout(FF, 8, mode, _busy, 800, memory=64)
        expensive = replace(expensive, shape=replace(LUNAR, encoder="ff", layers=1))
        yield _policy_case(f"expensive_env/{mode}/8", expensive, "1 ms of CPU a step, feed-forward")


def _busy(actors: int) -> Callable[[], Any]:
    return lunar(actors, busy_s=1e-3)


def _policy_case(name: str, rollout: Rollout, what: str) -> Case:
    says = f"{what}, {rollout.actors} actors, {rollout.mode}"
    return Case(f"rollout/{name}", says, "frame", partial(_prepare, rollout))


def _batch_cases() -> Iterator[Case]:
    for name in ("world", *BUILT_IN):
        make_env = batched_world if name == "world" else partial(built_in_env, name)
        for n in BATCHES:
            rollout = Rollout(
                SMALL_TF, n, "already_vectorized", make_env, max(40 * n, 2000), 64, compares=True
            )
            yield Case(
                f"rollout/batched/{name}/{n}",
                f"{n} rows of one batched {name}, Transformer 2 x 64",
                "frame",
                partial(_prepare, rollout),
                curve=f"rows, batched {name}",
                size=n,
                at_once=True,
            )
    for name in BUILT_IN:
        for n in BATCHES:
            yield Case(
                f"env/{name}/{n}",
                f"{n} rows of the batched {name} alone",
                "frame",
                partial(_prepare_env, name, n),
                bound="memcpy",
                curve=f"rows, {name} alone",
                size=n,
                at_once=True,
            )


CASES = [
    *_rollout_cases(),
    *_batch_cases(),
    *(
        Case(
            f"rollout/context/{size}",
            f"Transformer 3 x 256, 24 actors, the 16 steps up to a memory of {size} (at most 256)",
            "frame",
            partial(_prepare_context, size),
            curve="memory that a step reads",
            size=size,
        )
        for size in (16, 64, 128, 256, 512)
    ),
]
