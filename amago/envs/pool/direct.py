"""The step of an ordinary environment, without the objects that are made on the way.

`AMAGOEnv.step` makes new arrays and a `Timestep` of what an environment returned, and the pool
copies them: for a cheap environment that is more work than its own step. Here the same numbers,
bit for bit, lie in arrays that are used again. Whatever is not plainly as the environment promised
is left to `AMAGOEnv.take_in`, which converts it or says what is wrong.

Axes: `F` numbers in an action as the policy gives it, `A` in its representation.
"""

from typing import Any

import gymnasium as gym
import numpy as np

from amago.envs.amago_env import AMAGOEnv
from amago.envs.exploration import BilevelEpsilonGreedy, ExplorationWrapper
from amago.envs.spaces import OBSERVATION_KEY
from amago.hindsight import Timestep

_LARGEST = float(np.finfo(np.float32).max)
_PLAIN_FLAGS = (bool, np.bool_)


class DirectEnv:
    """Steps an `AMAGOEnv`, and the exploration around it, as `env.step` would."""

    def __init__(self, env: Any, amago_env: AMAGOEnv) -> None:
        assert isinstance(amago_env.observation_space, gym.spaces.Dict)
        self._explorer = None if env is amago_env else env
        self._amago_env = amago_env
        self._promised = [
            (key, space.shape or (), space.dtype)
            for key, space in amago_env.observation_space.spaces.items()
        ]
        self._represent = amago_env.env.codec.represent
        self._reward = np.zeros(1, dtype=np.float32)
        self._terminated = np.zeros(1, dtype=bool)
        self._truncated = np.zeros(1, dtype=bool)
        self._timestep = Timestep(
            obs={},
            prev_action=np.zeros((1, amago_env.action_size)),
            reward=self._reward,
            time_idx=np.zeros(1, dtype=np.int64),
            terminal=self._terminated,
            batched_envs=1,
        )

    def step(self, action: np.ndarray) -> tuple[Timestep, Any, Any, Any, dict[str, Any]]:
        """What `env.step` returns, in arrays that the next step overwrites.

        Args:
            action: `[1, F]`, in the range of the space; the pool has seen to that.
        """
        amago_env = self._amago_env
        if self._explorer is not None:
            noisy = self._explorer.add_exploration_noise(action, amago_env.step_count)
            action = noisy.reshape(action.shape)
        amago_env.last_action = action
        result = amago_env.inner_step(action[0])
        if not self._is_plain(result):
            return amago_env.take_in(result)
        _, self._reward[0], terminated, truncated, info = result
        timestep, count = self._timestep, amago_env.step_count
        timestep.prev_action = self._represent(action)
        timestep.time_idx[0] = time_idx = count[0] + 1
        count[0] = 0 if terminated or truncated else time_idx
        self._terminated[0], self._truncated[0] = terminated, truncated
        return timestep, self._reward, self._terminated, self._truncated, info

    def _is_plain(self, result: Any) -> bool:
        """Whether nothing has to be converted or refused. Puts the observation in its place."""
        if type(result) is not tuple or len(result) != 5:
            return False
        obs, reward, terminated, truncated, _ = result
        if not isinstance(obs, dict):
            obs = {OBSERVATION_KEY: obs}
        if len(obs) != len(self._promised):
            return False
        for key, shape, dtype in self._promised:
            value = obs.get(key)
            if type(value) is not np.ndarray or value.shape != shape or value.dtype != dtype:
                return False
            self._timestep.obs[key] = value[np.newaxis]
        return (
            isinstance(reward, (float, int, np.float32))  # pyright: ignore[reportArgumentType]
            and bool(-_LARGEST <= reward <= _LARGEST)  # not so for NaN
            and type(terminated) in _PLAIN_FLAGS
            and type(truncated) in _PLAIN_FLAGS
        )


def can_be_direct(env: Any, amago_env: AMAGOEnv) -> bool:
    """Whether a step is what `DirectEnv` does: no class, and no instance, has one of its own."""
    return (
        not (amago_env.batched or amago_env.clamps_bad_values)
        and _is_method(amago_env.step, AMAGOEnv.step)
        and _is_method(amago_env.take_in, AMAGOEnv.take_in)
        and _is_method(amago_env.make_action_rep, AMAGOEnv.make_action_rep)
        and (env is amago_env or _only_adds_noise(env, amago_env))
    )


def _only_adds_noise(env: Any, amago_env: AMAGOEnv) -> bool:
    own_steps = ExplorationWrapper.step, BilevelEpsilonGreedy.step  # the latter's is for batches
    return (
        isinstance(env, ExplorationWrapper)
        and env.env is amago_env
        and _is_method(env.action, ExplorationWrapper.action)
        and _is_method(env.step, *own_steps)
    )


def _is_method(bound: Any, *functions: Any) -> bool:
    return getattr(bound, "__func__", None) in functions
