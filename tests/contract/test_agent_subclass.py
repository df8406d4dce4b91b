"""A client's agent that overrides most of `MultiTaskAgent`, in a whole run: all of it is used."""

import copy
from itertools import chain
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from torch.testing import assert_close

import amago
from amago.agent import MultiTaskAgent
from amago.checkpoint.weights import load_policy, policy_path, save_policy
from amago.core import config
from amago.envs import AMAGOEnv
from amago.loading import DiskTrajDataset, load_traj_from_disk
from amago.nets.traj_encoders import FFTrajEncoder
from amago.nets.tstep_encoders import FFTstepEncoder
from amago.tracking.reader import read_rows

NETWORKS = ("tstep_encoder", "traj_encoder", "actor", "critics")
SMALL = {
    "FFTstepEncoder.d_hidden": 8,
    "FFTstepEncoder.d_output": 8,
    "FFTrajEncoder.d_model": 8,
    "Actor.d_hidden": 8,
    "NCriticsTwoHot.d_hidden": 8,
    "NCriticsTwoHot.output_bins": 16,
    "NCriticsTwoHot.min_return": -10.0,
    "NCriticsTwoHot.max_return": 500.0,
    "Multigammas.discrete": [0.9],
}


class Distilled(MultiTaskAgent):
    """Keeps slow copies of all networks, has one more loss, and reads checkpoints without it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.head = torch.nn.Linear(self.state_dim, 1)
        self.slow = torch.nn.ModuleDict(
            {name: copy.deepcopy(getattr(self, name)).requires_grad_(False) for name in NETWORKS}
        )
        self.loaded: list[bool] = []
        self.online_at_sync: list[dict[str, torch.Tensor]] = []

    @property
    def trainable_params(self):
        return chain(super().trainable_params, self.head.parameters())

    def get_grad_norms(self):
        assert self.head.weight.grad is not None
        norm = float(self.head.weight.grad.norm())
        return super().get_grad_norms() | {"Head Grad Norm": norm}

    def soft_sync_targets(self):
        super().soft_sync_targets()
        self.online_at_sync.append(copy.deepcopy(self.actor.state_dict()))
        for name, slow in self.slow.items():
            self._ema_copy(slow, getattr(self, name), tau=0.5)

    def hard_sync_targets(self):
        super().hard_sync_targets()
        for name, slow in getattr(self, "slow", {}).items():
            self._full_copy(slow, getattr(self, name))

    def forward(self, batch, log_step):
        loss = super().forward(batch, log_step)
        state, _ = self.get_state_embedding(batch.obs, batch.rl2s, batch.time_idxs)
        extra = (self.head(state) - 1.0).square().mean()
        self.update_info["Extra Loss"] = extra.detach()
        return loss + extra

    def get_actions(self, obs, rl2s, time_idxs, hidden_state=None, sample=True):
        actions, hidden_state = super().get_actions(obs, rl2s, time_idxs, hidden_state, sample)
        return torch.full_like(actions, 1), hidden_state

    def load_state_dict(self, state_dict, strict=True, assign=False):
        grown = {f"head.{name}": value for name, value in self.head.state_dict().items()}
        return super().load_state_dict(grown | dict(state_dict), strict=strict, assign=assign)

    def on_checkpoint_loaded(self, is_resume=False):
        self.loaded.append(is_resume)


def make_cartpole() -> AMAGOEnv:
    return AMAGOEnv(gym.make("CartPole-v1", max_episode_steps=20), env_name="CartPole")


def make_experiment(root: Path) -> amago.Experiment:
    """One epoch of three updates, nothing explored."""
    config.bind(SMALL)
    return amago.Experiment(
        run_name="run",
        ckpt_base_dir=str(root),
        max_seq_len=8,
        dataset=DiskTrajDataset(str(root), "data", dset_max_size=100),
        tstep_encoder_type=FFTstepEncoder,
        traj_encoder_type=FFTrajEncoder,
        agent_type=Distilled,
        exploration_wrapper_type=None,
        make_train_env=make_cartpole,
        make_val_env=make_cartpole,
        env_mode="sync",
        parallel_actors=2,
        epochs=1,
        train_timesteps_per_epoch=40,
        train_batches_per_epoch=3,
        val_timesteps_per_epoch=0,
        ckpt_interval=1,
        batch_size=4,
        dloader_workers=0,
        log_interval=1,
        lr_warmup_steps=1,
        verbose=False,
        seed=0,
    )


def test_everything_that_an_agent_overrides_takes_part_in_a_run(tmp_path):
    experiment = make_experiment(tmp_path)
    experiment.start()
    policy: Any = experiment.policy
    slow, head = copy.deepcopy(policy.slow["actor"].state_dict()), policy.head.weight.clone()
    experiment.learn()
    experiment.close()

    for path in (tmp_path / "data" / "buffer" / "fifo").glob("*.npz"):  # get_actions
        assert load_traj_from_disk(str(path)).actions[:, 1].all()

    assert not torch.equal(policy.head.weight, head)  # trainable_params
    assert len(policy.online_at_sync) == 3  # soft_sync_targets, and what it deep-copied
    for online in policy.online_at_sync:
        slow = {name: (value + online[name]) / 2 for name, value in slow.items()}
    assert_close(dict(policy.slow["actor"].state_dict()), slow)

    logged = {name for row in read_rows(tmp_path / "run") for name in row.data}
    assert {"train/Extra Loss", "train/Head Grad Norm"} <= logged  # forward, get_grad_norms


def test_a_subclass_decides_how_weights_are_loaded_and_is_told(tmp_path):
    trained = make_experiment(tmp_path)
    trained.start()
    trained.learn()
    trained.close()
    file = policy_path(trained.ckpt_dir, 0)
    whole = load_policy(file, torch.device("cpu"))
    save_policy(file, {name: v for name, v in whole.items() if not name.startswith("head.")})

    experiment = make_experiment(tmp_path)
    experiment.start()
    policy: Any = experiment.policy
    own_head = policy.head.weight.clone()
    experiment.load_checkpoint(0, resume_training_state=False)
    assert policy.loaded == [False]
    assert torch.equal(policy.head.weight, own_head)
    a_slow_copy = "slow.actor.base.out_layer.bias"
    assert torch.equal(policy.state_dict()[a_slow_copy], whole[a_slow_copy])
    experiment.load_checkpoint(0)
    assert policy.loaded == [False, True]
    assert torch.equal(policy.head.weight, whole["head.weight"])
    experiment.close()
