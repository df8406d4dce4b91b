"""`amago demo`: an agent that gets better at a lake it has never seen, attempt by attempt.

A Transformer actor-critic is trained on random frozen lakes, several attempts each. Nothing tells
it where the ice breaks; what it learns is to remember where it broke. After training it plays
lakes that were held out, three ways: as it is, with its memory wiped at every attempt, and at
random. Only the first can improve from attempt to attempt.

Everything here is public API: this file is also an example of a whole run in Python.
"""

import time
import zlib
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import amago
from amago.agent import Agent
from amago.cli import demo_report
from amago.cli_utils import (
    switch_exploration,
    switch_traj_encoder,
    switch_tstep_encoder,
    use_config,
)
from amago.core.errors import MissingExtraError
from amago.envs import AMAGOEnv
from amago.envs.builtin.toy_gym import MetaFrozenLake
from amago.experiment import Experiment
from amago.loading import DiskTrajDataset

ENV_NAME = "MetaFrozenLake"


def add_arguments(parser: ArgumentParser) -> None:
    """The command line of `amago demo`."""
    parser.add_argument("--seed", type=int, default=1, help="everything random follows from it")
    parser.add_argument("--out", default="demo", help="folder for the summary, figure and record")


def run(args: Namespace) -> int:
    """Run the demo; returns the exit status."""
    run_demo(seed=args.seed, out=args.out)
    return 0


@dataclass(frozen=True)
class DemoSettings:
    """Everything that was chosen for the demo. Budget: about 5 minutes on two slow cores.

    Args:
        size, attempts, attempt_steps: tiles along an edge, attempts at a lake, moves in each.
        held_out: one in so many layouts is never trained on.
        actors: environments side by side.
        updates, steps: gradient steps, and steps of each actor, per epoch.
        explore: steps of each actor over which random actions fade out.
        evaluate_every: epochs.
        test_rollouts: rollouts of each actor in the final comparison.
        warmup: gradient steps over which the learning rate rises.
        gammas: discounts trained beside `gamma`, the one that acts.
        tau: fraction of the way that targets move at each update.
    """

    size: int = 3
    attempts: int = 5
    attempt_steps: int = 9
    held_out: int = 4

    actors: int = 24
    epochs: int = 32
    updates: int = 60
    steps: int = 120
    explore: int = 1500
    evaluate_every: int = 4
    test_rollouts: int = 20

    width: int = 64
    layers: int = 2
    heads: int = 4
    dropout: float = 0.05
    batch: int = 32
    learning_rate: float = 3e-4
    warmup: int = 50
    gammas: tuple[float, ...] = (0.9, 0.97)
    gamma: float = 0.99
    tau: float = 0.01
    reward_multiplier: float = 10.0

    @property
    def rollout_steps(self) -> int:
        """Steps of the longest possible rollout."""
        return self.attempts * self.attempt_steps


class SplitLake(MetaFrozenLake):
    """Meta-Frozen-Lake on one side of a fixed split of the layouts.

    Args:
        one_in: a layout is held out when its checksum is a multiple of this.
        held_out: which side of the split is drawn from.
    """

    def __init__(self, one_in: int, held_out: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.one_in = one_in
        self.held_out = held_out

    def generate_lake(self) -> list[str]:
        """A random lake of this side of the split."""
        while True:
            lake = super().generate_lake()
            if (zlib.crc32("".join(lake).encode()) % self.one_in == 0) == self.held_out:
                return lake


class DemoAgent(Agent):
    """An agent that can also act without memory, or at random, for comparison.

    Attributes:
        conduct: "adapts" (as trained), "forgets" (everything that tells of earlier attempts is
            wiped when an attempt begins: hidden state, previous action and reward, time index,
            attempt counter) or "random" (uniform actions).
    """

    conduct = "adapts"

    def get_actions(
        self,
        obs: dict[str, torch.Tensor],
        rl2s: torch.Tensor,
        time_idxs: torch.Tensor,
        hidden_state: Any = None,
        sample: bool = True,
    ) -> tuple[torch.Tensor, Any]:
        """Actions `[N, 1, 1]` and the new hidden state."""
        if self.conduct == "random":
            actions = torch.randint(self.action_dim, time_idxs.shape, device=time_idxs.device)
            return actions.to(torch.uint8), hidden_state
        if self.conduct == "forgets":
            began = obs["observation"][..., 2:3] == 1  # [N 1 1]
            hidden_state = self.reset_hidden_state(hidden_state, began.flatten().cpu().numpy())
            if began.all():
                self._attempt_began_at = time_idxs
            self._attempt_began_at = torch.where(began, time_idxs, self._attempt_began_at)
            time_idxs = time_idxs - self._attempt_began_at
            rl2s = torch.where(began, 0.0, rl2s)
            obs = {"observation": obs["observation"] * obs["observation"].new_tensor([1, 1, 1, 0])}
        return super().get_actions(obs, rl2s, time_idxs, hidden_state, sample)


class DemoExperiment(Experiment):
    """An experiment that keeps the success of every attempt, and prints it.

    Attributes:
        curve: frames, updates and success by attempt at each evaluation so far.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.curve: list[dict[str, Any]] = []

    def evaluate_val(self) -> dict[str, float]:
        """Evaluate, and print success by attempt."""
        metrics = super().evaluate_val()
        attempts = self.successes(self.val_timesteps_per_epoch)
        success = attempts.mean(axis=0)
        self.curve.append(
            {
                "frames": self.x_axis_metrics()["total_frames"],
                "updates": self.grad_update_counter,
                "success": [round(float(rate), 4) for rate in success],
            }
        )
        rates = " ".join(f"{rate:.2f}" for rate in success)
        self.console.line(
            f"epoch {self.epoch:3d}, {self.grad_update_counter:5d} updates: success by attempt "
            f"{rates} (n = {len(attempts)})"
        )
        return metrics

    def policy_metrics(self, returns: Iterable[Any], specials: Iterable[Any]) -> dict[str, float]:
        """The usual metrics; keeps the attempts behind them."""
        specials = list(specials)
        self._successes_by_env = [_successes(history.data[ENV_NAME]) for history in specials]
        return super().policy_metrics(returns, specials)

    def successes(self, timesteps: int) -> np.ndarray:
        """Attempts of the latest evaluation, which took `timesteps` steps: bool `[R, K]`.

        From each environment, the rollouts that were sure to fit in, however long they took: with
        all that finished, short rollouts would count more often than long ones.
        """
        rollouts = timesteps // self.max_seq_len
        return np.concatenate([success[:rollouts] for success in self._successes_by_env])


def _successes(metrics: dict[str, list[float]]) -> np.ndarray:
    """Successes, bool `[R, K]`, of the rollouts that one environment finished."""
    by_attempt = [metrics[f"Episode {i} Success"] for i in range(len(metrics))]
    finished = len(by_attempt[-1])
    return np.array([values[:finished] for values in by_attempt], dtype=bool).T


def make_lake(settings: DemoSettings, held_out: bool) -> AMAGOEnv:
    """The environment of the demo, of either side of the split."""
    lake = SplitLake(
        settings.held_out,
        held_out,
        size=settings.size,
        k_episodes=settings.attempts,
        max_episode_steps=settings.attempt_steps,
    )
    return AMAGOEnv(lake, env_name=ENV_NAME)


def make_experiment(settings: DemoSettings, seed: int, out: Path) -> DemoExperiment:
    """The run: what is bound, what is built, how long it takes."""
    config: dict[str, Any] = {
        "Agent.gamma": settings.gamma,
        "Agent.tau": settings.tau,
        "Agent.reward_multiplier": settings.reward_multiplier,
        "Multigammas.discrete": list(settings.gammas),
        "Actor.d_hidden": settings.width,
        "NCritics.d_hidden": settings.width,
    }
    tstep_encoder = switch_tstep_encoder(
        config, "ff", n_layers=1, d_hidden=settings.width, d_output=settings.width
    )
    traj_encoder = switch_traj_encoder(
        config,
        "transformer",
        settings.width,
        settings.layers,
        n_heads=settings.heads,
        dropout_ff=settings.dropout,
        dropout_emb=settings.dropout,
    )
    exploration = switch_exploration(config, "egreedy", steps_anneal=settings.explore)
    use_config(config)
    run_name = _free_name(out, f"seed-{seed}")
    return DemoExperiment(
        run_name=run_name,
        ckpt_base_dir=str(out),
        dataset=DiskTrajDataset(dset_root=str(out), dset_name=run_name, dset_max_size=10_000),
        seed=seed,
        agent_type=DemoAgent,
        tstep_encoder_type=tstep_encoder,
        traj_encoder_type=traj_encoder,
        exploration_wrapper_type=exploration,
        make_train_env=partial(make_lake, settings, held_out=False),
        make_val_env=partial(make_lake, settings, held_out=True),
        max_seq_len=settings.rollout_steps,
        env_mode="sync",
        parallel_actors=settings.actors,
        epochs=settings.epochs,
        train_timesteps_per_epoch=settings.steps,
        train_batches_per_epoch=settings.updates,
        val_timesteps_per_epoch=4 * settings.rollout_steps,
        val_interval=settings.evaluate_every,
        ckpt_interval=None,
        batch_size=settings.batch,
        dloader_workers=0,
        learning_rate=settings.learning_rate,
        lr_warmup_steps=settings.warmup,
    )


def _free_name(folder: Path, name: str) -> str:
    """`name`, or `name-2`, ...: the first that does not exist in the folder."""
    candidates = (name, *(f"{name}-{i}" for i in range(2, 10_000)))
    return next(candidate for candidate in candidates if not (folder / candidate).exists())


def compare(experiment: DemoExperiment, settings: DemoSettings) -> dict[str, demo_report.Result]:
    """Play the same held-out lakes as trained, without memory, and at random."""
    make_unseen_lake = partial(make_lake, settings, held_out=True)
    timesteps = settings.test_rollouts * settings.rollout_steps
    results = {}
    for name, conduct in (("agent", "adapts"), ("memory wiped", "forgets"), ("random", "random")):
        experiment.policy.conduct = conduct
        experiment.evaluate_test(make_unseen_lake, timesteps)
        results[name] = demo_report.Result.of(experiment.successes(timesteps))
    experiment.policy.conduct = "adapts"
    return results


def run_demo(seed: int, out: str, settings: DemoSettings | None = None) -> Path:
    """Train, compare, report; returns the path of the summary."""
    began = time.monotonic()
    # Matrices this small gain little from a second thread, and where the cores are shared, threads
    # that wait for each other cost more than that: 0.4 updates a second with two, 4.7 with one.
    torch.set_num_threads(1)
    settings = settings or DemoSettings()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    experiment = make_experiment(settings, seed, folder)
    experiment.start()
    experiment.learn()
    experiment.evaluate_val()
    trained_s = time.monotonic() - began
    results = compare(experiment, settings)
    experiment.delete_buffer_from_disk()
    experiment.close()

    summary = folder / "summary.json"
    trained = _what_was_trained(experiment, settings)
    demo_report.write_summary(
        summary,
        results,
        seed=seed,
        version=amago.__version__,
        trained=trained,
        settings=asdict(settings),
        curve=experiment.curve,
        record=experiment.run_dir,
        training_s=round(trained_s, 1),
        total_s=round(time.monotonic() - began, 1),
    )
    figure = _draw(folder / "demo.png", results, experiment.curve, seed)
    lines = [
        "",
        f"Trained: {trained}",
        f"Success by attempt on lakes that were held out from training (n = "
        f"{results['agent'].rollouts} rollouts, 95 % intervals):",
        "",
        *demo_report.table(results),
        "",
        f"Summary: {summary}    Figure: {figure}    Record: {experiment.run_dir}",
        f"Total time: {time.monotonic() - began:.0f} s",
    ]
    for line in lines:
        experiment.console.line(line)
    return summary


def _what_was_trained(experiment: DemoExperiment, settings: DemoSettings) -> str:
    parameters = sum(p.numel() for p in experiment.policy.trainable_params)
    frames = experiment.x_axis_metrics()["total_frames"]
    return (
        f"a Transformer of {settings.layers} x {settings.width} ({parameters:,} trainable "
        f"parameters), {experiment.grad_update_counter:,} updates on {frames:,} frames of "
        f"{settings.size} x {settings.size} lakes, {settings.attempts} attempts each"
    )


def _draw(path: Path, results: dict[str, demo_report.Result], curve: list[Any], seed: int) -> str:
    """Draw the figure; returns its path, or why there is none."""
    try:
        demo_report.write_figure(path, results, curve, f"Meta-Frozen-Lake, seed {seed}")
    except MissingExtraError as error:
        return f"none ({error})"
    return str(path)
