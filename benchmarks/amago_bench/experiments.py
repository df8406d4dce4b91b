"""Experiments by the names that `amago` and AMAGO 3.x share. Runs in the child process."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gin
import numpy as np
import torch

import amago
from amago.envs import AMAGOEnv
from amago.loading import RLData, RLData_pad_collate, RLDataset
from amago.nets import traj_encoders, transformer, tstep_encoders
from amago_bench.flops import Shape
from amago_bench.registry import Context, Unsupported
from amago_bench.worlds import World

ENCODERS = {
    "ff": "FFTrajEncoder",
    "gru": "GRUTrajEncoder",
    "transformer": "TformerTrajEncoder",
}


def has_field(name: str) -> bool:
    """Whether this package's Experiment has a setting."""
    return name in {field.name for field in dataclasses.fields(amago.Experiment)}


def bind(shape: Shape, **more: Any) -> None:
    """Bind the sizes of networks in gin, and nothing else. Further bindings as `Class__field=`."""

    width = shape.width
    sizes: dict[str, Any] = {
        "FFTstepEncoder.d_hidden": shape.tstep_hidden,
        "FFTstepEncoder.d_output": shape.tstep_out,
        "Actor.d_hidden": shape.heads_hidden,
        "NCritics.d_hidden": shape.heads_hidden,
        "NCriticsTwoHot.d_hidden": shape.heads_hidden,
    }
    if shape.encoder == "ff":
        sizes |= {"FFTrajEncoder.d_model": width, "FFTrajEncoder.n_layers": shape.layers}
    elif shape.encoder == "gru":
        sizes |= {f"GRUTrajEncoder.{name}": width for name in ("d_hidden", "d_output")}
        sizes |= {"GRUTrajEncoder.n_layers": shape.layers}
    else:
        sizes |= {
            "TformerTrajEncoder.d_model": width,
            "TformerTrajEncoder.d_ff": 4 * width,
            "TformerTrajEncoder.n_heads": shape.heads,
            "TformerTrajEncoder.n_layers": shape.layers,
        }
        if not _default_attention_works():
            sizes["TformerTrajEncoder.attention_type"] = transformer.VanillaAttention
    if shape.bins is not None:
        sizes |= {
            "NCriticsTwoHot.output_bins": shape.bins,
            "NCriticsTwoHot.min_return": -1000.0,
            "NCriticsTwoHot.max_return": 1000.0,
        }
    sizes |= {name.replace("__", "."): value for name, value in more.items()}
    gin.clear_config()
    with gin.unlock_config():
        for name, value in sizes.items():
            gin.bind_parameter(name, value)


def _default_attention_works() -> bool:
    """AMAGO 3.x's default needs flash-attn, and a GPU for it."""
    signature = inspect.signature(traj_encoders.TformerTrajEncoder.__init__)
    default = signature.parameters["attention_type"].default
    if getattr(default, "__name__", "") != "FlashAttention":
        return True
    return find_spec("flash_attn") is not None and torch.cuda.is_available()


def world_of(shape: Shape, **settings: Any) -> Callable[[], AMAGOEnv]:
    """Makes environments with the spaces of a shape."""

    def make() -> AMAGOEnv:
        world = World(shape.obs, shape.actions, shape.discrete, **settings)
        return AMAGOEnv(world, env_name="world")

    return make


class Noise(RLDataset):
    """Sequences of noise; nothing is read, nothing is stored.

    Args:
        lengths: transitions of the sequences, in turn.
    """

    def __init__(self, shape: Shape, lengths: Sequence[int]) -> None:
        super().__init__(dset_name="noise")
        self._shape = shape
        self._lengths = lengths
        self._rng = np.random.default_rng(0)
        self._count = 0

    @property
    def save_new_trajs_to(self) -> None:
        """Nowhere."""
        return None

    def get_description(self) -> str:
        """One line."""
        return "noise"

    def sample_random_trajectory(self) -> RLData:
        """The next sequence."""
        length = self._lengths[self._count % len(self._lengths)]
        self._count += 1
        return noise(self._rng, self._shape, length)


def noise(rng: np.random.Generator, shape: Shape, length: int) -> RLData:
    """A sequence of `length` transitions whose observations, rewards and actions are noise."""
    if shape.discrete:
        actions = np.eye(shape.actions, dtype=np.float32)[rng.integers(shape.actions, size=length)]
    else:
        actions = rng.uniform(-0.99, 0.99, (length, shape.actions)).astype(np.float32)
    dones = np.zeros((length, 1), bool)
    dones[-1] = True
    return RLData(
        obs={
            "observation": torch.from_numpy(
                rng.standard_normal((length + 1, shape.obs), dtype=np.float32)
            )
        },
        rews=torch.from_numpy(0.1 * rng.standard_normal((length, 1), dtype=np.float32)),
        dones=torch.from_numpy(dones),
        actions=torch.from_numpy(actions),
        time_idxs=torch.arange(length + 1)[:, None],
    )


def batches(shape: Shape, batch: int, lengths: Sequence[int], count: int) -> list[Any]:
    """Batches of noise; the sequences have these lengths in turn."""
    dataset = Noise(shape, lengths)
    return [
        RLData_pad_collate([dataset.sample_random_trajectory() for _ in range(batch)])
        for _ in range(count)
    ]


@contextmanager
def experiment(
    context: Context, shape: Shape, max_seq_len: int, **fields: Any
) -> Iterator[amago.Experiment]:
    """A started experiment with everything optional switched off; bind sizes first.

    Args:
        fields: of `Experiment`, over what is said here; `make_env`; `experiment_type`, a subclass.
    """
    folder = Path(context.folder) / f"run{len(list(Path(context.folder).iterdir()))}"
    folder.mkdir()
    make_env = fields.pop("make_env", None) or world_of(shape)
    experiment_type = fields.pop("experiment_type", amago.Experiment)
    settings: dict[str, Any] = {
        "run_name": "bench",
        "ckpt_base_dir": str(folder),
        "max_seq_len": max_seq_len,
        "dataset": fields.get("dataset") or Noise(shape, (max_seq_len,)),
        "tstep_encoder_type": tstep_encoders.FFTstepEncoder,
        "traj_encoder_type": getattr(traj_encoders, ENCODERS[shape.encoder]),
        "agent_type": amago.agent.MultiTaskAgent if shape.bins else amago.agent.Agent,
        "make_train_env": make_env,
        "make_val_env": make_env,
        "env_mode": "sync",
        "parallel_actors": 1,
        "traj_save_len": max(1000, 2 * max_seq_len),
        "val_timesteps_per_epoch": 0,
        "val_interval": None,
        "ckpt_interval": None,
        "always_save_latest": False,
        "dloader_workers": 0,
        "log_to_wandb": False,
        "verbose": False,
    }
    if has_field("seed"):
        settings["seed"] = context.seeds[0]
    torch.set_num_threads(context.threads)
    torch.manual_seed(context.seeds[0])
    running = experiment_type(**(settings | fields))
    running.start()
    try:
        yield running
    finally:
        close = getattr(running, "close", None)
        if close is not None:
            close()


def needs_field(name: str, why: str) -> None:
    """Raise `Unsupported` if Experiment lacks a setting."""
    if not has_field(name):
        raise Unsupported(f"Experiment has no field `{name}`: {why}")
