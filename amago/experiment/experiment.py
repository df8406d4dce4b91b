"""Experiment: the loop of a run, what it evaluates, saves and reports.

The loop is `learn`; each of its steps is a method of a few lines that hands over to a part
(`rollout`, `training`, `checkpoint`, `tracking`). Those methods are also the override points of
user subclasses, so their names and signatures are public.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from amago.checkpoint import run_state, weights
from amago.core.config import configurable
from amago.core.errors import DivergedError, amago_warning
from amago.envs.histories import ReturnHistory, SpecialMetricHistory
from amago.experiment import run_record, state
from amago.experiment.aliases import accepts_old_names
from amago.experiment.assembly import Assembly
from amago.experiment.collecting import wait_for_data
from amago.experiment.environments import make_envs
from amago.experiment.session import session
from amago.experiment.settings import EnvFactories
from amago.experiment.space import save_with_room, store_trajectories
from amago.loading import Batch
from amago.rollout.actor import Actor
from amago.rollout.driver import rollout
from amago.rollout.episodes import episode_metrics, evaluation_metrics, joined
from amago.rollout.recorded import RecordedEnvs
from amago.training.schedule import Due
from amago.training.stop import StopRequested


@configurable(module="amago.experiment")
@accepts_old_names
@dataclass
class Experiment(Assembly):
    """One training run, from its settings (the keyword arguments of `Settings`) to weights.

    The attributes that users read are those of `Assembly` and `Parts`.
    """

    # ------------------------------------------------------------------------------ the loop

    def learn(self) -> None:
        """Alternate: fetch weights, evaluate, collect, learn, save. One pass is an epoch.

        A run that was loaded goes on where it was saved. SIGTERM or SIGUSR1 makes it save and
        leave with exit code 75; `resume` is how it goes on.
        """
        with session(self), self.link.session():
            for epoch in range(self.epoch, self.epochs):
                self.epoch = epoch
                due = self.schedule.at(epoch)
                if self.cursor.enter("evaluate"):
                    if due.fetch:
                        self.read_latest_policy()
                    if due.evaluate:
                        self.evaluate_val()
                if self.cursor.enter("collect"):
                    if due.collect:
                        self.collect_new_training_data()
                        self.link.on_collected()
                    self.after_collecting(due)
                if self.cursor.enter("train") and due.train and self.is_ready_to_train():
                    self.train_epoch()
                if self.cursor.enter("save") and due.checkpoint:
                    save_with_room(self)
                if self.cursor.enter("publish") and due.publish:
                    self.write_latest_policy()

    def after_collecting(self, due: Due) -> None:
        """Let the dataset take in what was collected, here or by other processes."""
        self.ranks.barrier()
        if due.train:
            wait_for_data(self, should_stop=self.stop.settle)
            self.leave_if_asked()
        metrics = self.dataset.on_end_of_collection(self)
        self.log(metrics | self.link.metrics() | self._faults(), key="dataset")

    def _faults(self) -> dict[str, int]:
        faults = self.ranks.sum({"Environment Faults": self.train_envs.num_faults})
        return faults if faults["Environment Faults"] else {}

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
        steps_done = self.cursor.done("collect")
        with self.randomness("collect"):
            if steps_done == 0 and self._reset_is_due():
                self.train_envs.reset()
                self.hidden_state = None
            self.train_envs.recorder.number_files()
            self.ranks.barrier()  # nobody writes a file before all have numbered theirs
            self.hidden_state, _ = self.interact(
                self.train_envs,
                self.train_timesteps_per_epoch - steps_done,
                hidden_state=self.hidden_state,
                sample=self.sample_actions_train,
            )
        self.leave_if_asked()
        store_trajectories(self)

    def leave_if_asked(self) -> None:
        """Raise `StopRequested`, which `learn` handles, if a signal has asked the run to stop."""
        if self.stop.is_agreed or self.link.is_abandoned:
            raise StopRequested

    def _reset_is_due(self) -> bool:
        every = self.force_reset_train_envs_every
        return bool(every) and self.epoch > 0 and self.epoch % every == 0

    def evaluate_val(self) -> dict[str, float]:
        """Act in fresh validation episodes; logs and returns the metrics of `val/`."""
        metrics, by_episode = self._evaluate(
            self.val_envs, self.val_timesteps_per_epoch, sample=self.sample_actions_val
        )
        self.log(metrics, key="val")
        self.log(by_episode, key="val_episodes")
        if run_record.AVERAGE_RETURN in metrics:
            self.latest_score = metrics[run_record.AVERAGE_RETURN]
            self.console.evaluation(metrics[run_record.AVERAGE_RETURN], metrics[run_record.FPS])
        else:
            self._explain_no_returns("val_timesteps_per_epoch", self.val_timesteps_per_epoch)
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
            metrics, by_episode = self._evaluate(
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
        self.log(by_episode, key="test_episodes")
        if run_record.AVERAGE_RETURN in metrics:
            self.console.test(metrics[run_record.AVERAGE_RETURN])
        else:
            self._explain_no_returns("timesteps", timesteps)
        return metrics

    def _evaluate(
        self, envs: RecordedEnvs, timesteps: int, **interact: Any
    ) -> tuple[dict[str, float], dict[str, float]]:
        """The documented metrics, which have a section to themselves, and those by episode.

        Both are the same in every process.
        """
        self.policy.eval()
        before = state.before_evaluation(self)
        began = time.monotonic()
        with self.randomness("evaluate"):
            envs.reset()
            _, (returns, specials) = self.interact(envs, timesteps, **interact)
        if self.stop.is_agreed:
            state.undo_evaluation(self, before)
        self.leave_if_asked()
        seconds = time.monotonic() - began
        fps = self.ranks.mean({run_record.FPS: timesteps * envs.num_envs / seconds})
        metrics = self.policy_metrics(returns, specials)
        all_returns, _ = joined(self.ranks.gather((list(returns), [])))
        return metrics | fps, episode_metrics(all_returns)

    def _explain_no_returns(self, setting: str, timesteps: int) -> None:
        self.console.line(
            f"No episode finished within {timesteps} steps of each environment, so there is no "
            f"return to report. Raise {setting}."
        )

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
        collects = envs is self.train_envs
        if not (collects and self.cursor.done("collect")):
            envs.statistics.clear()
        envs.recorder.save_on_done = save_on_done
        actor = Actor(self.policy, envs.num_envs, self.DEVICE, self.caster, sample, hidden_state)
        with self.console.progress(
            timesteps, "Env Interaction", "steps", colour="yellow"
        ) as progress:

            def on_step() -> None:
                progress.update()
                self.link.on_step()
                if collects:
                    self.cursor.advance("collect")

            rollout(
                envs,
                actor,
                timesteps,
                episodes=episodes,
                on_observation=self.on_interact_step,
                on_step=on_step,
                render=render,
                should_stop=lambda: self.stop.poll() or self.link.is_abandoned,
            )
        return actor.hidden_state, (envs.statistics.returns, envs.statistics.specials)

    def on_interact_step(self, obs: dict[str, torch.Tensor]) -> None:
        """Hook: the batched observation, before each action."""

    def train_epoch(self) -> None:
        """Learn from this epoch's batches."""
        self.policy_aclr.train()
        title = f"{self.run_name} Epoch {self.epoch} Train"
        done = self.cursor.done("train")
        left = self.train_batches_per_epoch - done
        with (
            self.randomness("train"),
            self.console.progress(left, title, "batches", colour="green") as progress,
        ):
            for step, batch in enumerate(self.init_dloaders(), start=done):
                batch_number = self.epoch * self.train_batches_per_epoch + step
                log_step = batch_number % self.log_interval == 0
                metrics = self.train_step(batch.to(self.DEVICE), log_step)
                self.cursor.advance("train")
                if log_step:
                    self.log(metrics, key="train")
                progress.update()
                self.stop.poll()
                self.leave_if_asked()
        self.ranks.barrier()

    def train_step(self, batch: Batch, log_step: bool) -> dict[str, Any]:
        """One forward and backward pass, and the optimiser step when one is due."""
        try:
            metrics = self.learner.step(batch, log_step)
        except DivergedError as error:
            state.keep_evidence(self, error)
            raise
        self.grad_update_counter = self.learner.updates
        return metrics

    # --------------------------------------------------------------------------- checkpoints

    def save_checkpoint(self) -> None:
        """Save everything `load_checkpoint` resumes from, and the weights on their own."""
        state.save(self, state.folder(self, self.epoch))
        if self.ranks.is_main:
            weights.save_policy(
                weights.policy_path(self.ckpt_dir, self.epoch), self.policy.state_dict()
            )
        state.prune(self)

    def resume(self) -> bool:
        """Load the newest state of this run that is whole; False if there is none.

        A run that was killed, stopped by a signal, or finished goes on with `learn()` afterwards.
        States that are damaged are skipped, with a warning.
        """
        if self.role == "collect":  # the states are the learner's
            return False
        newest = run_state.newest_valid(state.states_dir(self))
        if newest is not None:
            self.load_checkpoint_from_path(newest)
        return newest is not None

    def load_checkpoint(self, epoch: int, resume_training_state: bool = True) -> None:
        """Load what was saved after `epoch`.

        Args:
            resume_training_state: go on as if the run had never stopped; otherwise load the
                weights only. A collector always loads the weights only: the state is the learner's.
        """
        resume_training_state = resume_training_state and self.role != "collect"
        if resume_training_state:
            path = state.folder(self, epoch)
        else:
            path = weights.policy_path(self.ckpt_dir, epoch)
        self.load_checkpoint_from_path(path, is_accelerate_state=resume_training_state)
        if self.role != "collect":
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
        frames = self.ranks.sum(state.frames(self))
        if self.ranks.is_main:
            weights.publish_latest(
                self.ckpt_dir,
                self.policy.state_dict(),
                epoch=self.epoch,
                gradient_steps=self.grad_update_counter,
                frames=frames,
            )

    def read_latest_policy(self) -> None:
        """Fetch the newest published weights; keeps the present ones where there are none."""
        self.link.load_latest()

    def delete_buffer_from_disk(self) -> None:
        """Delete the trajectories this run collected. A collector leaves that to the learner."""
        if self.ranks.is_main and self.role != "collect":
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
        own = self.ranks.sum(state.frames(self))
        counts = self.link.counts(own, self.epoch, self.grad_update_counter)
        # `own` also has the names of which no frame was collected yet.
        names = sorted({*own, *counts.frames})
        by_name = {f"total_frames-{name}": counts.frames[name] for name in names}
        return {
            "total_frames": sum(counts.frames.values()),
            **by_name,
            "Epoch": counts.epoch,
            "gradient_steps": counts.gradient_steps,
        }

    def policy_metrics(
        self, returns: Iterable[ReturnHistory], specials: Iterable[SpecialMetricHistory]
    ) -> dict[str, float]:
        """Evaluation metrics of the finished episodes of all processes; the same in each of them.

        An override is given the histories of its own process, one each per environment. All
        processes have to call this one.
        """
        own = (list(returns), list(specials))
        return evaluation_metrics(*joined(self.ranks.gather(own)))
