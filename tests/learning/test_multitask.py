"""Rewards a thousandfold apart: `MultiTaskAgent` learns every task, `Agent` at most the largest.

In a room of 3 x 3 cells one corner pays; which one depends on a cue and on which of three tasks
the episode is, and only reward tells. What is right in one task is wrong in the others under every
cue, so that nothing learned in the task that pays 1000 helps in the one that pays 1.

`Agent` predicts all values on one scale, that of the largest task. There the values of the smallest
differ by a thousandth, which is easily lost in the error of the prediction. `MultiTaskAgent`
classifies returns into bins that are wider the larger the return.

Controls: `Agent` as it comes; `Agent` with the coefficients of `MultiTaskAgent`, so that both only
imitate, and differ in their critics (bins, actions as an input) and in the baseline (sampled); and
both of these in rooms that all pay 1, to show that what they fail at is the difference in scale.
Everything else is the same for all.

A task's score is its mean return as a part of the best possible one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from runs import SEEDS, ScoredExperiment, learn, make_experiment, report

import amago
from amago.agent import MultiTaskAgent
from amago.envs import AMAGOEnv
from amago.nets.traj_encoders import FFTrajEncoder

SCALES = (1.0, 10.0, 1000.0)
EQUAL = (1.0, 1.0, 1.0)
CORNERS = ((0, 0), (2, 0), (2, 2), (0, 2))
CENTRE = (1, 1)
MOVES = ((1, 0), (0, 1), (-1, 0), (0, -1))
CUES = 3
STEPS = 10
ACTORS = 24
EPISODES = 480
EPOCHS = 80

MASTERED = 0.9
"""Asked of every task: of nine steps that can be paid less than one is lost."""
MISSED = 0.5
"""The most in the smallest task for whoever fails. Who ignores the cue gets a third of it, or less;
who does there what is right in another task gets nothing."""


class Room(gym.Env):
    """Ten steps in a room of 3 x 3 cells, from its centre. One task of three for each episode.

    Every step that ends in corner `(cue + task) % 4` pays a ninth of the task's scale: the corner
    is two steps away, and pushing into its walls stays there, so an episode can pay the scale.

    Observation: cell, task and cue as one-hot vectors, and the part of the episode that is over.
    Actions: a step in one of four directions; into a wall it stays.
    """

    def __init__(self, scales: tuple[float, ...]) -> None:
        self.scales = scales
        self.action_space = gym.spaces.Discrete(len(MOVES))
        self.observation_space = gym.spaces.Box(0.0, 1.0, (9 + 3 + CUES + 1,), np.float32)
        self.task = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.task = int(self.np_random.integers(len(self.scales)))
        self.cue = int(self.np_random.integers(CUES))
        self.cell, self.time_step = CENTRE, 0
        return self._obs(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        (x, y), (dx, dy) = self.cell, MOVES[action]
        self.cell = (min(max(x + dx, 0), 2), min(max(y + dy, 0), 2))
        self.time_step += 1
        is_paid = self.cell == self.goal
        reward = self.scales[self.task] / (STEPS - 1) if is_paid else 0.0
        return self._obs(), reward, self.time_step == STEPS, False, {}

    @property
    def goal(self) -> tuple[int, int]:
        return CORNERS[(self.cue + self.task) % len(CORNERS)]

    def _obs(self) -> np.ndarray:
        cell = np.eye(9)[3 * self.cell[0] + self.cell[1]]
        seen = (cell, np.eye(3)[self.task], np.eye(CUES)[self.cue], [self.time_step / STEPS])
        return np.concatenate(seen).astype(np.float32)


class RoomEnv(AMAGOEnv):
    """Named after the task of the episode."""

    @property
    def env_name(self) -> str:
        return f"task{self.unwrapped.task}"


def make_room(scales: tuple[float, ...]) -> AMAGOEnv:
    return RoomEnv(Room(scales))


@dataclass
class Contender:
    agent_type: type[amago.Agent]
    succeeds: bool
    scales: tuple[float, ...] = SCALES
    coefficients: dict[str, float] = field(default_factory=dict)


IMITATION = {"Agent.online_coeff": 0.0, "Agent.offline_coeff": 1.0}
CONTENDERS = {
    "multitask": Contender(MultiTaskAgent, succeeds=True),
    "agent": Contender(amago.Agent, succeeds=False),
    "agent-imitating": Contender(amago.Agent, succeeds=False, coefficients=IMITATION),
    "agent-equal-scales": Contender(amago.Agent, succeeds=True, scales=EQUAL),
    "agent-imitating-equal-scales": Contender(
        amago.Agent, succeeds=True, scales=EQUAL, coefficients=IMITATION
    ),
}


def bindings(contender: Contender) -> dict[str, Any]:
    """The same for all, but for the contender's own coefficients."""
    agent = contender.agent_type.__name__
    return contender.coefficients | {
        # An episode fits into a target, which therefore needs no bootstrap. With one-step targets
        # MultiTaskAgent had not learned every task after 1,600 updates (dev/LOG.md); why is open.
        f"{agent}.n_step": STEPS,
        f"{agent}.tau": 0.01,
        f"{agent}.use_multigamma": False,
        "NCriticsTwoHot.min_return": 0.0,
        "NCriticsTwoHot.max_return": 10.0 * max(SCALES),  # 10 is the default reward_multiplier
        "EpsilonGreedy.steps_anneal": 800,
        "EpsilonGreedy.randomize_eps": False,
        "Discrete.clip_prob_low": 1e-6,
        "Discrete.clip_prob_high": 1.0,
        "FFTstepEncoder.d_hidden": 128,
        "FFTstepEncoder.d_output": 64,
        "FFTrajEncoder.d_model": 64,
        "Actor.d_hidden": 64,
        "NCritics.d_hidden": 64,
        "NCriticsTwoHot.d_hidden": 64,
    }


def scores(experiment: ScoredExperiment, scales: tuple[float, ...]) -> list[float]:
    """Mean return of test episodes in each task, as a part of the best possible one."""
    make_env = partial(make_room, scales)
    metrics = experiment.evaluate_test(make_env, timesteps=EPISODES // ACTORS * STEPS)
    return [metrics[f"Average Total Return in task{k}"] / scale for k, scale in enumerate(scales)]


@pytest.mark.learning
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CONTENDERS)
def test_different_scales_stop_agent_but_not_multitask_agent(name, seed, tmp_path, results_dir):
    contender = CONTENDERS[name]
    experiment = make_experiment(
        tmp_path,
        partial(make_room, contender.scales),
        bindings(contender),
        seed=seed,
        buffer_size=5000,
        agent_type=contender.agent_type,
        traj_encoder_type=FFTrajEncoder,
        max_seq_len=STEPS,
        parallel_actors=ACTORS,
        epochs=EPOCHS,
        train_timesteps_per_epoch=2 * STEPS,
        train_batches_per_epoch=50,
        batch_size=32,
        learning_rate=1e-3,
        lr_warmup_steps=100,
    )
    untrained = scores(experiment, contender.scales)
    seconds = learn(experiment)
    trained = scores(experiment, contender.scales)
    report(
        results_dir / f"multitask-{name}-seed{seed}.json",
        experiment,
        seconds,
        contender=name,
        scales=contender.scales,
        scores=[round(score, 4) for score in trained],
        mean_score=round(float(np.mean(trained)), 4),
        untrained=[round(score, 4) for score in untrained],
        episodes=EPISODES,
    )
    if contender.succeeds:
        assert min(trained) >= MASTERED
    else:
        assert trained[0] <= MISSED


def mean_score(policy: Callable[[Room], int], episodes: int) -> float:
    """Of episodes of every task, in a room that pays differently in each."""
    room = Room(SCALES)
    parts = []
    for seed in range(episodes):
        room.reset(seed=seed)
        paid = sum(room.step(policy(room))[1] for _ in range(STEPS))
        parts.append(paid / SCALES[room.task])
    return float(np.mean(parts))


def towards_goal(room: Room) -> int:
    """Along x to the goal's wall, then along y, then into the wall."""
    axis = 0 if room.cell[0] != room.goal[0] else 1
    direction = np.sign(room.goal[axis] - 1)
    step = (direction, 0) if axis == 0 else (0, direction)
    return MOVES.index(step)


def test_the_shortest_way_is_paid_the_scale_of_the_task():
    assert mean_score(towards_goal, episodes=50) == pytest.approx(1.0)


def test_random_walks_are_paid_an_eighth():
    rng = np.random.default_rng(0)
    assert mean_score(lambda room: int(rng.integers(4)), episodes=1000) == pytest.approx(
        0.12, abs=0.02
    )


def test_what_is_right_in_one_task_is_wrong_in_the_others():
    def goal(cue: int, task: int) -> tuple[int, int]:
        room = Room(SCALES)
        room.cue, room.task = cue, task
        return room.goal

    for cue in range(CUES):
        assert len({goal(cue, task) for task in range(len(SCALES))}) == len(SCALES)
