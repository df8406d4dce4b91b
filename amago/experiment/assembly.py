"""From settings to the parts of a run that stay: datasets, environments, agent, optimiser, record.

`start` makes them in order. Each `init_*` is an override point of user subclasses.
"""

import os
from functools import cached_property
from typing import Any

import torch
from torch.utils.data import DataLoader

from amago.agent import BaseAgent
from amago.checkpoint.lock import LearnerLock
from amago.experiment import run_record
from amago.experiment.checks import check_settings
from amago.experiment.collecting import Link, make_link
from amago.experiment.cursor import Cursor
from amago.experiment.environments import make_envs, recorder_seed
from amago.experiment.parts import Parts
from amago.loading import RLData_pad_collate, RLDataset
from amago.rollout.files import writer_of
from amago.rollout.foreign import adopt
from amago.rollout.recorded import RecordedEnvs
from amago.tracking.base import NullTracker
from amago.training.compilation import compile_update
from amago.training.host_memory import keep_freed_memory
from amago.training.learner import Learner
from amago.training.optimizers import adamw, get_constant_schedule_with_warmup
from amago.training.rng import PhaseRandomness
from amago.training.stop import leave_signals_to_the_main_process


class Assembly(Parts):
    """The parts of a run, and where it is.

    Attributes:
        policy: the agent. `policy_aclr` is the same behind the wrapper that distributes it.
        train_envs, val_envs: the environments, with their recorders and statistics.
        hidden_state: what the policy remembers of the training environments between epochs.
        cursor: where in that epoch the run is.
        grad_update_counter: optimiser steps so far.
        latest_score: average return of the latest evaluation; tells the best checkpoint.
        frames_before_resume: frames of this rank by environment name, before it was loaded.
        lock: the right to learn in the run's folder, while this process has it.
    """

    train_envs: RecordedEnvs
    val_envs: RecordedEnvs

    def __post_init__(self) -> None:
        self.cursor = Cursor()
        self._epoch = 0
        self.grad_update_counter = 0
        self.latest_score: float | None = None
        self.hidden_state: Any = None
        self.frames_before_resume: dict[str, int] = {}
        self.record: Any = NullTracker()
        self.lock: LearnerLock | None = None

    @property
    def epoch(self) -> int:
        """The epoch that is running, or the next one to run. May be set: another epoch than the
        present one begins at its first phase.
        """
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        if epoch != self._epoch:
            self.cursor.restart()
        self._epoch = epoch

    @cached_property
    def link(self) -> Link:
        """How this process meets the others of the run, if collecting and learning are apart."""
        return make_link(self)

    @cached_property
    def randomness(self) -> PhaseRandomness:
        """One random stream for each phase, so that evaluating does not change training."""
        return PhaseRandomness(self.link.seed, self.ranks.rank, self.DEVICE)

    @property
    def own_writers(self) -> frozenset[str]:
        """What the names of trajectory files written by this run's own recorders carry."""
        ranks = range(self.ranks.world_size)
        seeds = (recorder_seed(self.link.seed, "train", rank) for rank in ranks)
        return frozenset(f"{writer_of(seed):08x}" for seed in seeds)

    def start(self) -> None:
        """Check the settings, then build every part. Nothing is written before this succeeds."""
        self.check()
        self.init_dsets()
        env_summary = self._make_envs()
        self.init_dloaders()
        self.init_model()
        self.init_checkpoints()
        self.init_logger()
        if self.verbose:
            self.summary(env_summary)

    def check(self) -> None:
        """Raise a `ConfigError` that names every setting that cannot work."""
        check_settings(self)

    def init_dsets(self) -> RLDataset:
        """Tell the dataset about this run. Safe to call again after a setting changed."""
        self.dataset.configure_from_experiment(self)
        return self.dataset

    def init_envs(self) -> str:
        """Build and reset the environments; returns one line that describes them."""
        self.train_envs = make_envs(
            self,
            self.make_train_env,
            role="train",
            exploration=self.exploration_wrapper_type,
            save_to=self.dataset.save_new_trajs_to,
        )
        self.val_envs = make_envs(self, self.make_val_env, role="val")
        self.train_envs.reset()
        self.rl2_space = self.train_envs.rl2_space
        return self.train_envs.description

    def _make_envs(self) -> str:
        """`init_envs`, which an override may have left with vector environments of its own."""
        summary = self.init_envs()
        self.train_envs, self.val_envs = adopt(self.train_envs), adopt(self.val_envs)
        return summary

    def init_dloaders(self) -> DataLoader:
        """Make the loader of this epoch's training batches, from the first that is still to do."""
        self.dataset.set_epoch(self.epoch)
        first = self.cursor.done("train") * self.batch_size * self.ranks.world_size
        loader = DataLoader(
            self.dataset,
            batch_size=self.batch_size,
            sampler=range(first, len(self.dataset)),
            num_workers=self.dloader_workers,
            collate_fn=RLData_pad_collate,
            pin_memory=self.DEVICE.type == "cuda",
            worker_init_fn=leave_signals_to_the_main_process,
            generator=torch.Generator(),  # else a loader that is made again moves a global stream
        )
        self.train_dloader = self.ranks.prepare(loader)
        # At every pass a prepared loader tells the dataset which epoch it is, and counts from 0.
        self.train_dloader.set_epoch(self.epoch)
        return self.train_dloader

    def init_model(self) -> None:
        """Build the agent, its optimiser and learning-rate schedule."""
        with self.randomness("model"):
            policy = self.agent_type(
                tstep_encoder_type=self.tstep_encoder_type,
                traj_encoder_type=self.traj_encoder_type,
                obs_space=self.rl2_space["obs"],
                rl2_space=self.rl2_space["rl2"],
                action_space=self.train_envs.single_action_space,
                max_seq_len=self.max_seq_len,
            )
        policy.to(self.DEVICE)
        if self.DEVICE.type == "cpu":
            keep_freed_memory()
        compile_update(policy, self.compile)
        optimizer = self.init_optimizer(policy)
        self.lr_schedule = get_constant_schedule_with_warmup(optimizer, self.lr_warmup_steps)
        self.policy_aclr, self.optimizer = self.ranks.prepare(policy, optimizer)
        self.learner = Learner(
            self.policy_aclr,
            self.policy,
            self.optimizer,
            self.lr_schedule,
            self.ranks,
            grad_clip=self.grad_clip,
            max_bad_updates=self.max_bad_updates,
        )
        self.grad_update_counter = 0

    def init_optimizer(self, policy: BaseAgent) -> torch.optim.Optimizer:
        """The optimiser of `policy.trainable_params`; override for another."""
        return adamw(policy.trainable_params, lr=self.learning_rate, weight_decay=self.l2_coeff)

    def init_checkpoints(self) -> None:
        """Decide where checkpoints go, and begin at epoch 0."""
        self.ckpt_dir = os.path.join(self.run_dir, "ckpts")
        self.epoch = 0

    def init_logger(self) -> None:
        """Prepare the local record, and Weights & Biases if asked for. Nothing is written yet."""
        if self.ranks.is_main:
            self.record = run_record.RunRecord(self)

    def reseed(self, seed: int) -> None:
        """Go on with the random streams of another seed: the environments are made again."""
        self.run_seed = seed
        del self.randomness
        self.train_envs.close()
        self.val_envs.close()
        self.init_dsets()
        self._make_envs()
        self.init_logger()

    def summary(self, env_summary: str) -> None:
        """Print what is about to run."""
        self.console.summary(*run_record.summary(self, env_summary))

    def close(self) -> None:
        """Close the environments and end the record. For processes that go on without the run."""
        self.train_envs.close()
        self.val_envs.close()
        self.record.finish("finished")
