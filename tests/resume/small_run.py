"""A small run that uses every part whose state must survive, and the fingerprint of what it leaves.

It has episodes that outlast an epoch, files that end inside episodes, evictions, two environment
names, dropout, a Transformer's memory, and windows of two batches per update.
"""

import hashlib
import json
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import amago
from amago.checkpoint.run_state import load_state, newest_valid
from amago.core import config
from amago.envs import AMAGOEnv
from amago.envs.builtin.frozen_lake import MetaFrozenLake
from amago.loading import DiskTrajDataset
from amago.nets.traj_encoders import GRUTrajEncoder, TformerTrajEncoder
from amago.nets.tstep_encoders import FFTstepEncoder
from amago.tracking.reader import read_rows

ENCODERS = {"transformer": TformerTrajEncoder, "gru": GRUTrajEncoder}
EPOCHS = 8
_BINDINGS = {
    "FFTstepEncoder.d_hidden": 16,
    "FFTstepEncoder.d_output": 8,
    "TformerTrajEncoder.d_model": 16,
    "TformerTrajEncoder.d_ff": 32,
    "TformerTrajEncoder.n_heads": 2,
    "TformerTrajEncoder.n_layers": 1,
    "TformerTrajEncoder.dropout_ff": 0.1,
    "GRUTrajEncoder.d_hidden": 16,
    "GRUTrajEncoder.d_output": 16,
    "GRUTrajEncoder.n_layers": 1,
    "Actor.d_hidden": 8,
    "NCritics.d_hidden": 8,
    "Multigammas.discrete": [0.9],
    "EpsilonGreedy.steps_anneal": 200,
}


class TwoNames(AMAGOEnv):
    """A lake that has another name in every second episode or so."""

    name = "even"

    @property
    def env_name(self) -> str:
        return self.name

    def inner_reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.name = "odd" if (seed or 0) % 2 else "even"
        return super().inner_reset(seed=seed, options=options)


def make_lake() -> AMAGOEnv:
    return TwoNames(MetaFrozenLake(size=3, k_episodes=3))


def make_experiment(root: Path, **settings: Any) -> amago.Experiment:
    """The run, in `root`; not started."""
    config.clear()
    config.bind(_BINDINGS)
    encoder = settings.pop("encoder", "transformer")
    defaults: dict[str, Any] = {
        "run_name": "small",
        "ckpt_base_dir": str(root),
        "max_seq_len": 8,
        "traj_save_len": 12,
        "dataset": DiskTrajDataset(str(root), "buffer", dset_max_size=14),
        "tstep_encoder_type": FFTstepEncoder,
        "traj_encoder_type": ENCODERS[encoder],
        "agent_type": amago.Agent,
        "make_train_env": partial(make_lake),
        "make_val_env": partial(make_lake),
        "env_mode": "sync",
        "parallel_actors": 3,
        "epochs": EPOCHS,
        "train_timesteps_per_epoch": 20,
        "train_batches_per_epoch": 5,
        "val_timesteps_per_epoch": 15,
        "val_interval": 2,
        "ckpt_interval": 1,
        "batch_size": 4,
        "batches_per_update": 2,
        "dloader_workers": 0,
        "log_interval": 1,
        "learning_rate": 3e-3,
        "lr_warmup_steps": 4,
        "verbose": False,
        "seed": 3,
    }
    return amago.Experiment(**(defaults | settings))


# ------------------------------------------------------------------------------- fingerprint


def fingerprint(root: Path) -> dict[str, str]:
    """A hash of each thing that a finished run leaves. Wall-clock times are left out."""
    run = root / "small"
    newest = newest_valid(run / "ckpts" / "training_states")
    assert newest is not None
    state = load_state(newest)
    state["run"].pop("record_step")  # rows of System/ are counted, and come by the clock
    state["dataset"] = _plain_names(state["dataset"])
    return {
        **{f"state: {name}": digest(part) for name, part in state.items()},
        "weights": digest(torch.load(run / "ckpts" / "latest" / "policy.pt", weights_only=True)),
        "trajectories": digest(_trajectories(root / "buffer" / "buffer" / "fifo")),
        "rows": digest(_rows(run)),
        "leftovers": " ".join(_leftovers(root)),
    }


def digest(value: Any) -> str:
    """A hash of nested values; two that differ in one bit have different ones."""
    sha = hashlib.sha256()
    _feed(sha, value)
    return sha.hexdigest()[:16]


def _feed(sha: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        sha.update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            sha.update(f"<{key}>".encode())
            _feed(sha, value[key])
    elif isinstance(value, list | tuple):
        sha.update(f"[{len(value)}]".encode())
        for item in value:
            _feed(sha, item)
    else:
        sha.update(repr(value).encode())


def _plain_names(value: Any) -> Any:
    """Without the times in the names of trajectory files."""
    if isinstance(value, dict):
        return {key: _plain_names(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_names(item) for item in value]
    return re.sub(r"_\d+\.\d+(?=\.npz)", "", value) if isinstance(value, str) else value


def _trajectories(folder: Path) -> dict[str, str]:
    contents = {}
    for path in folder.iterdir():
        with np.load(path) as arrays:
            contents[_plain_names(path.name)] = digest(dict(arrays))
    return contents


def _rows(run: Path) -> list[Any]:
    rows = []
    for row in read_rows(run):
        data = {name: value for name, value in row.data.items() if "FPS" not in name}
        if not any(name.startswith("System/") for name in data):
            rows.append([row.axes, json.loads(json.dumps(data, default=str))])
    return rows


def _leftovers(root: Path) -> list[str]:
    """Files that only an interrupted run could have left."""
    hidden = [
        path for path in root.rglob("*") if re.match(r"\.(tmp|.+\.(tmp|old|trash)$)", path.name)
    ]
    aside = root / "buffer" / "buffer" / "set_aside"
    return sorted(os.path.relpath(p, root) for p in [*hidden, *aside.glob("*")])
