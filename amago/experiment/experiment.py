"""Experiment: every setting of a run, its assembly, and the loop.

The loop is `learn`; each of its steps is a method of a few lines that hands over to a part
(`rollout`, `training`, `checkpoint`, `tracking`). Those methods are also the override points of
user subclasses, so their names and signatures are public.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from amago.agent import BaseAgent
from amago.checkpoint import weights
from amago.core.config import configurable
from amago.core.errors import CheckpointError, amago_warning
from amago.envs.histories import ReturnHistory, SpecialMetricHistory
from amago.experiment import run_record, state
from amago.experiment.checks import check_settings
from amago.experiment.environments import make_envs
from amago.experiment.parts import Parts
from amago.experiment.settings import EnvFactories
from amago.loading import Batch, RLData_pad_collate, RLDataset
from amago.rollout.actor import Actor
from amago.rollout.driver import rollout
from amago.rollout.episodes import evaluation_metrics
from amago.rollout.recorded import RecordedEnvs
from amago.tracking.base import NullTracker
from amago.training.learner import Learner
from amago.training.optimizers import adamw, get_constant_schedule_with_warmup


@configurable(module="amago.experiment")
@dataclass
class Experiment(Parts):
    """One training run, from its settings (the keyword arguments of `Settings`) to weights.

    Attributes:
        policy: the agent. `policy_aclr` is the same behind the wrapper that distributes it.
        train_envs, val_envs: the environments, with their recorders and statistics.
        hidden_state: what the policy remembers of the training environments between epochs.
        epoch: the epoch that is running, or the next one to run.
        grad_update_counter: optimiser steps so far.
    """

    def __post_init__(self) -> None:
        self.epoch = 0
        self.grad_update_counter = 0
        self.hidden_state: Any = None
        self.frames_before_resume: dict[str, int] = {}
        self.record: Any = NullTracker()

    # ------------------------------------------------------------------------------ assembly

    def start(self) -> None:
        """Check the settings, then build every part. Nothing is written before this succeeds."""
        self.check()
        self.init_dsets()
        env_summary = self.init_envs()
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

    def init_dloaders(self) -> DataLoader:
        """Make the loader of this epoch's training batches."""
        self.dataset.set_epoch(self.epoch)
        loader = DataLoader(
            self.dataset,
            batch_size=self.batch_size,
            num_workers=self.dloader_workers,
            collate_fn=RLData_pad_collate,
            pin_memory=self.DEVICE.type == "cuda",
        )
        self.train_dloader = self.ranks.prepare(loader)
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

    def summary(self, env_summary: str) -> None:
        """Print what is about to run."""
        self.console.summary(*run_record.summary(self, env_summary))

    def close(self) -> None:
        """Close the environments and end the record. For processes that go on without the run."""
        self.train_envs.close()
        self.val_envs.close()
        self.record.finish("finished")

    # ------------------------------------------------------------------------------ the loop

    def learn(self) -> None:
        """Alternate: fetch weights, evaluate, collect, learn, save. One pass is an epoch."""
        with run_record.session(self):
            for epoch in range(self.epoch, self.epochs):
                self.epoch = epoch
                due = self.schedule.at(epoch)
                if due.fetch:
                    self.read_latest_policy()
                if due.evaluate:
                    self.evaluate_val()
                if due.collect:
                    self.collect_new_training_data()
                self.ranks.barrier()
                self.log(self.dataset.on_end_of_collection(self), key="dataset")
                if due.train and self.is_ready_to_train():
                    self.train_epoch()
                if due.checkpoint:
                    self.save_checkpoint()
                if due.publish:
                    self.write_latest_policy()

    def is_ready_to_train(self) -> bool:
        """Whether the dataset has enough; warns where an epoch of learning has to be skipped."""
        ready = self.dataset.ready_for_training
        if not ready:
            amago_warning(
                f"Skipping training on epoch {self.epoch} because `dataset.ready_for_training` "
                f"is False"
            )
        return ready

    def collect_new_training_data(self) -> None:
        """Act in the training environments, with exploration, and store what finishes."""
        self.policy.eval()
        with self.randomness("collect"):
            if self._reset_is_due():
                self.train_envs.reset()
                self.hidden_state = None
            self.hidden_state, _ = self.interact(
                self.train_envs,
                self.train_timesteps_per_epoch,
                hidden_state=self.hidden_state,
                sample=self.sample_actions_train,
            )
            self.train_envs.save_finished_trajs()

    def _reset_is_due(self) -> bool:
        every = self.force_reset_train_envs_every
        return bool(every) and self.epoch > 0 and self.epoch % every == 0

    def evaluate_val(self) -> dict[str, float]:
        """Act in fresh validation episodes; logs and returns the metrics of `val/`."""
        metrics = self._evaluate(
            self.val_envs, self.val_timesteps_per_epoch, sample=self.sample_actions_val
        )
        self.log(metrics, key="val")
        if run_record.AVERAGE_RETURN in metrics:
            self.console.evaluation(metrics[run_record.AVERAGE_RETURN], metrics[run_record.FPS])
        return metrics

    def evaluate_test(
        self,
        make_test_env: EnvFactories,
        timesteps: int,
        render: bool = False,
        save_trajs_to: str | None = None,
        episodes: int | None = None,
    ) -> dict[str, float]:
        """Evaluate once in environments of their own; logs and returns the metrics of `test/`.

        Args:
            timesteps: steps of each environment, at most.
            save_trajs_to: folder for the trajectories, each written as its episode ends.
            episodes: finished episodes, of all environments together, after which to stop.
        """
        envs = make_envs(self, make_test_env, role="test", save_to=save_trajs_to)
        try:
            metrics = self._evaluate(
                envs,
                timesteps,
                sample=self.sample_actions_val,
                render=render,
                episodes=episodes,
                save_on_done=save_trajs_to is not None,
            )
        finally:
            envs.close()
        metrics.pop(run_record.FPS)
        self.log(metrics, key="test")
        if run_record.AVERAGE_RETURN in metrics:
            self.console.test(metrics[run_record.AVERAGE_RETURN])
        return metrics

    def _evaluate(self, envs: RecordedEnvs, timesteps: int, **interact: Any) -> dict[str, float]:
        self.policy.eval()
        began = time.monotonic()
        with self.randomness("evaluate"):
            envs.reset()
            _, (returns, specials) = self.interact(envs, timesteps, **interact)
        metrics = self.policy_metrics(returns, specials)
        frames = timesteps * envs.num_envs
        return metrics | {run_record.FPS: frames / (time.monotonic() - began)}

    def interact(
        self,
        envs: RecordedEnvs,
        timesteps: int,
        hidden_state: Any = None,
        render: bool = False,
        save_on_done: bool = False,
        episodes: int | None = None,
        sample: bool = True,
    ) -> tuple[Any, tuple[list[ReturnHistory], list[SpecialMetricHistory]]]:
        """Act for `timesteps` steps of each environment.

        Returns:
            The policy's memory, to go on with, and the histories of returns and of special
            metrics of the episodes that finished, one each per environment.
        """
        envs.statistics.clear()
        envs.recorder.save_on_done = save_on_done
        actor = Actor(self.policy, envs.num_envs, self.DEVICE, self.caster, sample, hidden_state)
        with self.console.progress(
            timesteps, "Env Interaction", "steps", colour="yellow"
        ) as progress:
            rollout(
                envs,
                actor,
                timesteps,
                episodes=episodes,
                on_observation=self.on_interact_step,
                on_step=progress.update,
                render=render,
            )
        return actor.hidden_state, (envs.statistics.returns, envs.statistics.specials)

    def on_interact_step(self, obs: dict[str, torch.Tensor]) -> None:
        """Hook: the batched observation, before each action."""

    def train_epoch(self) -> None:
        """Learn from this epoch's batches."""
        self.policy_aclr.train()
        first = self.epoch * self.train_batches_per_epoch
        title = f"{self.run_name} Epoch {self.epoch} Train"
        with (
            self.randomness("train"),
            self.console.progress(
                self.train_batches_per_epoch, title, "batches", colour="green"
            ) as progress,
        ):
            for step, batch in enumerate(self.init_dloaders()):
                log_step = (first + step) % self.log_interval == 0
                metrics = self.train_step(batch.to(self.DEVICE), log_step)
                if log_step:
                    self.log(metrics, key="train")
                progress.update()
        self.ranks.barrier()

    def train_step(self, batch: Batch, log_step: bool) -> dict[str, Any]:
        """One forward and backward pass, and the optimiser step when one is due."""
        metrics = self.learner.step(batch, log_step)
        self.grad_update_counter = self.learner.updates
        return metrics

    # --------------------------------------------------------------------------- checkpoints

    def save_checkpoint(self) -> None:
        """Save everything `load_checkpoint` resumes from, and the weights on their own."""
        state.save(self)
        if self.ranks.is_main:
            weights.save_policy(
                weights.policy_path(self.ckpt_dir, self.epoch), self.policy.state_dict()
            )

    def load_checkpoint(self, epoch: int, resume_training_state: bool = True) -> None:
        """Load what was saved after `epoch`.

        Args:
            resume_training_state: go on as if the run had never stopped; otherwise load the
                weights only.
        """
        if resume_training_state:
            path = state.folder(self, epoch)
        else:
            path = weights.policy_path(self.ckpt_dir, epoch)
        self.load_checkpoint_from_path(path, is_accelerate_state=resume_training_state)
        if not resume_training_state:
            self.epoch = epoch

    def load_checkpoint_from_path(self, path: str | Path, is_accelerate_state: bool = True) -> None:
        """The same from an explicit path: a state folder, or a file of weights."""
        if is_accelerate_state:
            state.load(self, path)
        else:
            self.policy.load_state_dict(weights.load_policy(path, self.DEVICE), strict=True)
        self.policy.on_checkpoint_loaded(is_resume=is_accelerate_state)

    def write_latest_policy(self) -> None:
        """Publish the weights for collectors."""
        if self.ranks.is_main:
            weights.publish_latest(self.ckpt_dir, self.policy.state_dict())

    def read_latest_policy(self) -> None:
        """Fetch the newest published weights; keeps the present ones where there are none."""
        self.console.line("Loading latest policy....")
        try:
            latest = weights.fetch_latest(self.ckpt_dir, self.DEVICE)
        except CheckpointError as error:
            amago_warning(f"The latest policy was not loaded: {error}")
        else:
            self.policy.load_state_dict(latest, strict=True)

    def delete_buffer_from_disk(self) -> None:
        """Delete the trajectories this run collected."""
        if self.ranks.is_main:
            self.dataset.delete()

    # ------------------------------------------------------------------------------- metrics

    def log(self, metrics_dict: dict[str, Any], key: str) -> None:
        """Record one row: every x-axis, then `{key}/{name}` for each metric."""
        axes = self.x_axis_metrics()
        if self.ranks.is_main and metrics_dict:
            named = {f"{key}/{name}": value for name, value in metrics_dict.items()}
            self.record.log(axes | named)

    def x_axis_metrics(self) -> dict[str, int]:
        """Frames collected (in all, and by environment name), epoch and gradient steps."""
        frames = Counter(self.frames_before_resume)
        for counts in self.train_envs.statistics.frames_by_env_name:
            frames.update(counts)
        frames = self.ranks.sum(frames)
        by_name = {f"total_frames-{name}": count for name, count in sorted(frames.items())}
        return {
            "total_frames": sum(frames.values()),
            **by_name,
            "Epoch": self.epoch,
            "gradient_steps": self.grad_update_counter,
        }

    def policy_metrics(
        self, returns: Iterable[ReturnHistory], specials: Iterable[SpecialMetricHistory]
    ) -> dict[str, float]:
        """Evaluation metrics of finished episodes, averaged over processes."""
        return self.ranks.mean(evaluation_metrics(returns, specials))
