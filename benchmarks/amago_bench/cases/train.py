"""One gradient step, on batches that are ready in memory."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from typing import Any

from amago_bench.flops import Shape, update_gflop
from amago_bench.registry import Case, Context, Work
from amago_bench.watch import Watch

LUNAR = Shape(obs=8, actions=4, discrete=True, encoder="transformer", layers=3, width=256)
PENDULUM = replace(LUNAR, obs=3, actions=1, discrete=False)
MULTI_TASK = replace(LUNAR, layers=2, width=128, tstep_out=128, bins=128, k_actor=3)


@dataclass(frozen=True)
class Training:
    """A batch: `batch` sequences of these transitions, in turn, padded to the longest."""

    shape: Shape
    batch: int
    transitions: tuple[int, ...]
    updates: int
    """In one repeat: about a second's worth."""

    @property
    def length(self) -> int:
        """Stored timesteps of the longest."""
        return max(self.transitions) + 1

    @property
    def gflop(self) -> float:
        """Needed for an update of the padded batch."""
        return update_gflop(self.shape, self.batch, self.length)


EPISODES = (50, 23, 12, 31, 9, 17, 41, 14)
"""Lengths of CartPole's first episodes."""
TRAININGS = {
    "cartpole_ff": Training(
        Shape(obs=4, actions=2, discrete=True, encoder="ff", layers=1, width=256), 24, EPISODES, 4
    ),
    "lunar_tf": Training(LUNAR, 24, (128,), 1),
    "lunar_gru": Training(replace(LUNAR, encoder="gru", layers=2), 24, (128,), 1),
    "pendulum_tf": Training(PENDULUM, 8, (128,), 1),
    "mt_cont": Training(replace(MULTI_TASK, discrete=False), 8, (64,), 2),
    "mt_disc": Training(MULTI_TASK, 8, (64,), 2),
    "short": Training(replace(LUNAR, layers=2, width=128, tstep_out=128), 24, (16,), 8),
    "long": Training(
        replace(LUNAR, layers=2, width=64, tstep_hidden=512, tstep_out=64), 4, (1024,), 1
    ),
}
QUICK = replace(LUNAR, layers=1, width=16, heads=2, tstep_hidden=16, tstep_out=16, heads_hidden=16)


@contextmanager
def updates(context: Context, training: Training, **fields: Any) -> Iterator[Any]:
    """A function that does one update of a fresh experiment."""
    from amago_bench import experiments

    experiments.bind(training.shape)
    seq_len = max(training.transitions)
    started = experiments.experiment(
        context, training.shape, seq_len, batch_size=training.batch, **fields
    )
    with started as experiment:
        pool = experiments.batches(training.shape, training.batch, training.transitions, count=4)
        ready = cycle([batch.to(experiment.DEVICE) for batch in pool])
        experiment.policy_aclr.train()
        with _unchecked_distributions(training.shape):
            yield lambda: experiment.train_step(next(ready), log_step=False)


@contextmanager
def _unchecked_distributions(shape: Shape) -> Iterator[None]:
    """AMAGO 3.x's discrete MultiTaskAgent stumbles over torch's own checks of arguments."""
    from torch.distributions import Distribution

    before = Distribution._validate_args
    if shape.bins is not None and shape.discrete:
        Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)


def facts(training: Training) -> dict[str, float]:
    """What an update needs, where the processor computes it: its speed is what we know."""
    import torch

    return {} if torch.cuda.is_available() else {"gflop": training.gflop}


def quick(training: Training) -> Training:
    """The same kind of update, small enough for a test."""
    shape = training.shape
    small = replace(
        QUICK, encoder=shape.encoder, discrete=shape.discrete, k_actor=shape.k_actor, obs=shape.obs
    )
    small = replace(small, bins=None if shape.bins is None else 16, actions=shape.actions)
    return Training(small, 2, (6, 8), 1)


@contextmanager
def prepare_update(training: Training, context: Context, **fields: Any) -> Iterator[Work]:
    """Updates of one kind; `fields` are of `Experiment`."""
    training = quick(training) if context.quick else training
    with updates(context, training, **fields) as update:

        def once(watch: Watch) -> float:
            with watch:
                for _ in range(training.updates):
                    update()
            return training.updates

        yield Work(once, facts=facts(training), warmup=2)


@contextmanager
def _prepare_bf16(training: Training, context: Context) -> Iterator[Work]:
    """Both precisions in one process and in turn; what counts is bfloat16."""
    training = quick(training) if context.quick else training
    with ExitStack() as stack:
        plain = stack.enter_context(updates(context, training))
        mixed = stack.enter_context(updates(context, training, mixed_precision="bf16"))

        def once(watch: Watch) -> float:
            compared = watch.another()
            with compared:
                for _ in range(training.updates):
                    plain()
            with watch:
                for _ in range(training.updates):
                    mixed()
            watch.note("times_faster_than_fp32", compared.wall_s / watch.wall_s)
            watch.note("cpu_times_less_than_fp32", compared.cpu_s / watch.cpu_s)
            return training.updates

        yield Work(once, facts=facts(training), warmup=2)


@contextmanager
def _prepare_compiled(training: Training, context: Context) -> Iterator[Work]:
    from amago_bench.experiments import needs_field

    needs_field("compile", "this package does not compile updates")
    with prepare_update(training, context, compile=True) as work:
        yield work


def _case(
    name: str,
    how: str,
    what: str,
    prepare: Any,
    bound: str = "gemm_fp32",
    is_slow: bool = False,
) -> Case:
    training = TRAININGS[name]
    shape = training.shape
    says = (
        f"{what}: {training.batch} x {training.length}, {shape.encoder} "
        f"{shape.layers} x {shape.width}, {'discrete' if shape.discrete else 'continuous'}"
        f"{', MultiTaskAgent' if shape.bins else ''}"
    )
    bound_to: partial[AbstractContextManager[Work]] = partial(prepare, training)
    return Case(f"{how}/{name}", says, "update", bound_to, bound=bound, is_slow=is_slow)


CASES = [
    *(_case(name, "train", "update", prepare_update) for name in TRAININGS),
    *(
        _case(name, "train_bf16", "update in bfloat16", _prepare_bf16, "gemm_bf16")
        for name in TRAININGS
    ),
    *(
        _case(name, "train_compile", "compiled update", _prepare_compiled, is_slow=True)
        for name in TRAININGS
    ),
]
