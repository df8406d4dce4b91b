"""T-mazes: one bit, shown at the start, decides which way to turn at the end of a long corridor.

    (-1, 0) · (0, 0) ─ (1, 0) ─ ... ─ (corridor, 0)     with (corridor, +1) above the junction
    oracle (active only)                                 and (corridor, -1) below it

Source: Ni, Ma, Eysenbach & Bacon (2023), "When Do Transformers Shine in RL? Decoupling Memory from
Credit Assignment", section 4.1. Differs: the penalty is for actions, not for lagging positions.
"""

from typing import Any

import gymnasium as gym
import numpy as np

from amago.core.errors import ConfigError
from amago.envs.amago_env import AMAGO_ENV_LOG_PREFIX

RIGHT, UP, LEFT, DOWN = range(4)

_MOVES = ((1, 0), (0, 1), (-1, 0), (0, -1))


class _TMazeBase(gym.Env):
    """A T-maze of fixed episode length; `terminated` after the last step. Subclasses set the sizes.

    The goal side `goal_y` is +1 or -1 with equal chance, drawn at reset. The corridor is one cell
    wide: from a cell of it one moves left and right, from the junction also up and down; a move
    into a wall stays.

    Actions: right, up, left, down. Observation: see `position_encoding`; with `expose_time` also
    `timestep_encoding`.

    Metric: `Success`, 1 or 0, on the last step.

    Args:
        corridor_length: steps from (0, 0) to the junction.
        oracle_length: cells between (0, 0) and the oracle, at `x = -oracle_length`.
        goal_reward: paid on the last step iff the agent then stands on the goal side.
        penalty: added to the reward of each step, but the last and the first `oracle_length`, on
            which the agent falls behind a straight walk: `x < steps made - oracle_length`.
        distract_reward: paid on each step but the last that ends at `x <= 0`: a reason to linger.
        is_ambiguous: whether all cells of the corridor look alike.
        expose_time: whether the observation holds the time.

    Raises:
        ConfigError: a corridor shorter than 1.
    """

    metadata = {"render_modes": []}

    def __init__(
        self,
        corridor_length: int,
        oracle_length: int,
        goal_reward: float,
        penalty: float,
        distract_reward: float,
        is_ambiguous: bool,
        expose_time: bool,
    ) -> None:
        if corridor_length < 1:
            name = type(self).__name__
            raise ConfigError(f"{name}: corridor_length={corridor_length} must be at least 1.")
        self.corridor_length = corridor_length
        self.oracle_length = oracle_length
        self.episode_length = corridor_length + 2 * oracle_length + 1
        self.goal_reward = goal_reward
        self.penalty = penalty
        self.distract_reward = distract_reward
        self.is_ambiguous = is_ambiguous
        self.expose_time = expose_time
        self.action_space = gym.spaces.Discrete(4)
        low, high = [0.0, -1.0], [1.0, 1.0]
        if not is_ambiguous:
            low, high = [-float(oracle_length), -1.0, -1.0], [float(corridor_length), 1.0, 1.0]
        if expose_time:
            low, high = [*low, 0.0], [*high, 1.0]
        self.observation_space = gym.spaces.Box(
            np.array(low, np.float32), np.array(high, np.float32), dtype=np.float32
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A new goal side, the agent at (0, 0). With a `seed`, the episode is reproducible."""
        super().reset(seed=seed)
        self.goal_y = 1 if self.np_random.random() < 0.5 else -1
        self.x = self.y = self.time_step = 0
        return self.get_obs(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One move. The info holds the metric on the last step."""
        self._move(*_MOVES[action])
        self.time_step += 1
        done = self.time_step >= self.episode_length
        reward = self._reward(int(action), done)
        if not done:
            return self.get_obs(), reward, False, False, {}
        success = {f"{AMAGO_ENV_LOG_PREFIX} Success": float(self.y == self.goal_y)}
        return self.get_obs(), reward, True, False, success

    def _move(self, dx: int, dy: int) -> None:
        if self.y == 0:
            self.x = min(max(self.x + dx, -self.oracle_length), self.corridor_length)
        if self.x == self.corridor_length:
            self.y = min(max(self.y + dy, -1), 1)

    def _reward(self, action: int, done: bool) -> float:
        return self.reward_fn(done, self.x, self.y, self.goal_y)

    def reward_fn(self, done: bool, x: int, y: int, goal_y: int) -> float:
        """Reward of a step that ended at (x, y) (formula: see the class)."""
        if done:
            return self.goal_reward * (y == goal_y)
        lags = x < self.time_step - self.oracle_length
        return self.penalty * lags + self.distract_reward * (x <= 0)

    def get_obs(self) -> np.ndarray:
        """The observation of the current state, float32."""
        encoding = self.position_encoding(self.x, self.y, self.goal_y)
        if self.expose_time:
            encoding = (*encoding, self.timestep_encoding())
        return np.array(encoding, dtype=np.float32)

    def position_encoding(self, x: int, y: int, goal_y: int) -> tuple[float, ...]:
        """What is seen at (x, y).

        Ambiguous: `(is at the junction, y)`, but the oracle shows `(0, goal_y)`, so that every cell
        between them is (0, 0). Else: `(x, y, goal_y at the oracle, 0 elsewhere)`.
        """
        is_oracle = x == -self.oracle_length
        cue = goal_y if is_oracle else 0
        if not self.is_ambiguous:
            return x, y, cue
        return float(x == self.corridor_length), cue if is_oracle else y

    def timestep_encoding(self) -> float:
        """Share of the episode that is over, in [0, 1]."""
        return self.time_step / self.episode_length


class TMazeAlt(_TMazeBase):
    """An ambiguous T-maze in which every detour is penalised by what the agent does.

    `penalty` is added on each step but the last, after the first `oracle_length`, whose action is
    not "right". With `penalty = -1 / corridor_length` an agent that never walks gets about -1.
    """

    def __init__(
        self,
        corridor_length: int = 10,
        goal_reward: float = 1.0,
        penalty: float = 0.0,
        distract_reward: float = 0.0,
        oracle_length: int = 0,
    ) -> None:
        super().__init__(
            corridor_length=corridor_length,
            oracle_length=oracle_length,
            goal_reward=goal_reward,
            penalty=penalty,
            distract_reward=distract_reward,
            is_ambiguous=True,
            expose_time=False,
        )

    def _reward(self, action: int, done: bool) -> float:
        return self.reward_fn(action, done, self.y, self.goal_y)

    def reward_fn(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, action: int, done: bool, y: int, goal_y: int
    ) -> float:
        """Reward of a step (formula: see the classes)."""
        if done:
            return self.goal_reward * (y == goal_y)
        is_detour = action != RIGHT and self.time_step > self.oracle_length
        return self.penalty * is_detour + self.distract_reward * (self.x <= 0)


class TMazeAltPassive(TMazeAlt):
    """The cue is seen where the agent starts; `corridor_length + 1` steps, none to spare."""

    def __init__(
        self,
        corridor_length: int = 10,
        goal_reward: float = 1.0,
        penalty: float = 0.0,
        distract_reward: float = 0.0,
    ) -> None:
        super().__init__(corridor_length, goal_reward, penalty, distract_reward, oracle_length=0)


class TMazeAltActive(TMazeAlt):
    """The cue is one step behind the start: go and look, then `corridor_length + 2` steps back."""

    def __init__(
        self,
        corridor_length: int = 10,
        goal_reward: float = 1.0,
        penalty: float = 0.0,
        distract_reward: float = 0.0,
    ) -> None:
        super().__init__(corridor_length, goal_reward, penalty, distract_reward, oracle_length=1)
