"""`AMAGOEnv`: any gymnasium environment, or batch of them, as a source of timesteps.

Axes: `N` environments of the batch (1 for an ordinary environment), `A` numbers in an action.
"""

from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from amago.core.errors import AmagoError, ConfigError
from amago.envs.batched import Autoreset, ResetFinishedRows, VectorEnvAdapter, autoreset_mode
from amago.envs.checks import BadValueError, ReturnCheck, unpacked
from amago.envs.resets import reset_with
from amago.envs.spaces import (
    ActionAdapter,
    ContinuousActionWrapper,
    DiscreteActionWrapper,
    MultiBinaryActionWrapper,
    MultiDiscreteActionWrapper,
    dict_observation_space,
    space_convert,
)
from amago.hindsight import Timestep

AMAGO_ENV_LOG_PREFIX = "AMAGO_LOG_METRIC"
"""An info key that starts with this is a metric: a number, or any collection of numbers."""


class AMAGOEnv(gym.Wrapper):
    """The wrapper every environment must be in.

    Observations become dicts with a leading batch axis, actions are the policy's (indices from
    zero, bits, or numbers in [-1, 1]), and both travel in a `Timestep`. Subclasses override
    `inner_reset` and `inner_step` to change what the environment returns, or `env_name` for an
    environment that is a different task after each reset. They may add keys to
    `observation_space` until the first reset.

    Args:
        env: an environment, or a `gymnasium.vector.VectorEnv`.
        env_name: names metrics and files; "/" becomes "_".
        batched_envs: `N` of an environment whose observations, rewards and flags already carry a
            batch axis. Such an environment resets its own rows, see `amago.envs.batched`.

    Attributes:
        batched_envs: `N`.
        discrete: actions are indices.
        multibinary: actions are bits.
        action_size: `A`.
        action_dtype: of an action from the policy.
        step_count: `[N]` int64, steps since the episode began; zero after its end.
        resets_next_step: rows of the batch reset themselves at the step after the end.
        restarting: `[N]` bool, the next step only resets the row (autoreset `NEXT_STEP`).
        last_action: `[N, ...]` as it was given, noise included; taking it again from the same
            state gives the same timestep.
        clamps_bad_values: numbers that are not finite are replaced, see `checks.clamped`. To be
            set before the first reset.

    An environment that can be put back into a state (`get_state()` gives plain values and arrays,
    its random streams included; `set_state(value)` takes them, after a reset) is brought back that
    way when a run is resumed. Either a subclass offers both, or the environment given here does.
    Others are brought back by taking the episode's actions again.
    """

    env: ActionAdapter

    def __init__(self, env: gym.Env, env_name: str | None = None, batched_envs: int = 1) -> None:
        self.batched = batched_envs > 1 or isinstance(env, VectorEnv)
        self.batched_envs = batched_envs
        self.resets_next_step = False
        if self.batched:
            env = self._prepare_batch(env)
        super().__init__(_take_policy_actions(env))
        self._env_name = None if env_name is None else env_name.replace("/", "_")
        codec = self.env.codec
        self.discrete = isinstance(self.env, DiscreteActionWrapper)
        self.multibinary = isinstance(self.env, MultiBinaryActionWrapper)
        self.action_size = codec.size
        self.action_dtype = codec.dtype
        self.action_representation_dtype = codec.representation_dtype
        self.action_space = codec.policy_space
        self.observation_space = dict_observation_space(space_convert(env.observation_space))
        self.step_count = np.zeros(batched_envs, dtype=np.int64)
        self.restarting = np.zeros(batched_envs, dtype=bool)
        self.last_action = np.zeros((batched_envs, 1), dtype=self.action_dtype)
        self.clamps_bad_values = False
        self._check: ReturnCheck | None = None

    def _prepare_batch(self, env: Any) -> gym.Env:
        if isinstance(env, VectorEnv):
            if env.num_envs != self.batched_envs:
                raise ConfigError(
                    f"AMAGOEnv(batched_envs={self.batched_envs}) wraps a vector environment of "
                    f"{env.num_envs}: pass batched_envs={env.num_envs}"
                )
            env = VectorEnvAdapter(env)
        mode = autoreset_mode(env)
        self.resets_next_step = mode is Autoreset.NEXT_STEP
        return ResetFinishedRows(env) if mode is Autoreset.DISABLED else env

    @property
    def env_name(self) -> str:
        """Names metrics, files and frame counters. May change at each reset.

        Raises:
            ConfigError: no name was given, and the property is not overridden.
        """
        if self._env_name is None:
            raise ConfigError(
                "this AMAGOEnv has no name: pass AMAGOEnv(env, env_name=...), or override the "
                "property `env_name`"
            )
        return self._env_name

    def inner_reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """What gymnasium's `reset` returns: `(observation, info)`. An override point."""
        return self.env.reset(seed=seed, options=options)

    def inner_step(self, action: np.ndarray) -> Any:
        """What gymnasium's `step` returns, five values. An override point.

        Args:
            action: the policy's, `[1]` or `[A]`; with a leading axis `N` in a batch.
        """
        return self.env.step(action)

    def make_action_rep(self, action: np.ndarray) -> np.ndarray:
        """`[N, A]`: what is remembered of an action, one-hot uint8 when discrete, else a copy."""
        return self.env.codec.represent(self._as_batch(action))

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Timestep, dict[str, Any]]:
        """Begin an episode (in every row). Returns its first timestep, and the info."""
        obs, info = self._unpacked("reset", reset_with(self.inner_reset, seed, options), 2)
        n = self.batched_envs
        self.step_count = np.zeros(n, dtype=np.int64)
        self.restarting = np.zeros(n, dtype=bool)
        try:
            obs = self._returned.observation(obs)
        except BadValueError as error:
            raise self._named(error, "reset") from None
        blank_action = np.zeros((n, self.action_size), dtype=self.action_representation_dtype)
        timestep = Timestep(
            obs=obs,
            prev_action=blank_action,
            reward=np.zeros(n, dtype=np.float32),
            time_idx=self.step_count.copy(),
            terminal=np.zeros(n, dtype=bool),
            batched_envs=n,
        )
        return timestep, info

    def step(
        self, action: Any
    ) -> tuple[Timestep, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take an action. Returns a timestep where gymnasium returns an observation.

        Where the episode ended, an ordinary environment must be reset. A row of a batch has reset
        itself (`SAME_STEP`: its observation is already the next episode's), or does so when it is
        stepped next (`NEXT_STEP`: that step ignores the row's action and gives a first timestep).

        Args:
            action: as the policy gives it; a single environment's batch axis may be left out.

        Returns:
            timestep, reward `[N]` float32, terminated `[N]`, truncated `[N]`, info.

        Raises:
            BadValueError: the environment returned something it did not promise.
        """
        batch = self.last_action = self._as_batch(action)
        return self.take_in(self.inner_step(batch if self.batched else batch[0]))

    def take_in(
        self, result: Any
    ) -> tuple[Timestep, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """The second half of `step`: what `inner_step` returned for `last_action`, checked."""
        obs, reward, terminated, truncated, info = self._unpacked("step", result, 5)
        try:
            obs = self._returned.observation(obs)
            reward = self._returned.reward(reward)
            terminated = self._returned.flag("terminated", terminated)
            truncated = self._returned.flag("truncated", truncated)
        except BadValueError as error:
            raise self._named(error, "step") from None
        prev_action = self.make_action_rep(self.last_action)
        self.step_count += 1
        if self.resets_next_step:
            self._begin_restarted(prev_action, reward)
        timestep = Timestep(
            obs=obs,
            prev_action=prev_action,
            reward=reward,
            time_idx=self.step_count.copy(),
            terminal=terminated,
            batched_envs=self.batched_envs,
        )
        ended = terminated | truncated
        self.step_count[ended] = 0
        if self.resets_next_step:
            self.restarting = ended
        return timestep, reward, terminated, truncated, info

    def _begin_restarted(self, prev_action: np.ndarray, reward: np.ndarray) -> None:
        for values in (prev_action, reward, self.step_count):
            values[self.restarting] = 0

    def _as_batch(self, action: Any) -> np.ndarray:
        return np.asarray(action).reshape(self.batched_envs, -1)

    @property
    def _returned(self) -> ReturnCheck:
        if self._check is None:  # not in __init__: subclasses add observation keys after it
            assert isinstance(self.observation_space, gym.spaces.Dict)
            self._check = ReturnCheck(
                self.observation_space, self.batched_envs, self.batched, self.clamps_bad_values
            )
        return self._check

    def finite(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Observations `{key: [N, ...]}`, clamped if `clamps_bad_values`; otherwise as they are."""
        return self._returned.finite(obs)

    @property
    def num_clamped(self) -> int:
        """Arrays of observations and rewards in which numbers were replaced."""
        return self._returned.num_clamped

    def _unpacked(self, method: str, result: Any, length: int) -> Any:
        try:
            return unpacked(result, method, length)
        except BadValueError as error:
            raise self._named(error, method) from None

    def _named(self, error: BadValueError, method: str) -> BadValueError:
        try:
            name = self.env_name
        except AmagoError:
            name = type(self.unwrapped).__name__
        return BadValueError(f"environment '{name}', in {method}: {error}")


def _take_policy_actions(env: gym.Env) -> ActionAdapter:
    space = space_convert(env.action_space)
    if isinstance(space, gym.spaces.Discrete):
        return DiscreteActionWrapper(env)
    if isinstance(space, gym.spaces.MultiDiscrete):
        return MultiDiscreteActionWrapper(env)
    if isinstance(space, gym.spaces.MultiBinary):
        return MultiBinaryActionWrapper(env)
    return ContinuousActionWrapper(env)


_MOVED = {
    "SequenceWrapper": "amago.envs.legacy",
    "EnvCreator": "amago.envs.legacy",
    "ReturnHistory": "amago.envs.histories",
    "SpecialMetricHistory": "amago.envs.histories",
}


def __getattr__(name: str) -> Any:
    """Names that AMAGO 3.x had in this module."""
    if name in _MOVED:
        return getattr(import_module(_MOVED[name]), name)
    raise AttributeError(f"module 'amago.envs.amago_env' has no attribute '{name}'")
