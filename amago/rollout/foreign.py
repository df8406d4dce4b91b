"""Vector environments that a script made itself, as this package's own are used.

Scripts written for AMAGO 3.x override `Experiment.init_envs` and build a vector environment
(gymnasium's, or one of `amago.envs.env_utils`) from functions that make a `SequenceWrapper` each.
The wrappers record and count by themselves, in their processes; here they are asked for it.

Axes: `N` environments, `A` action.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np

from amago.core.errors import ConfigError, amago_warning
from amago.envs.batched import Autoreset, autoreset_mode
from amago.envs.histories import ReturnHistory, SpecialMetricHistory
from amago.envs.pool.base import EnvPool, PoolStep
from amago.envs.resets import reset_with
from amago.hindsight import Timestep
from amago.rollout.recorded import RecordedEnvs
from amago.rollout.recorder import Recorder


def adopt(envs: Any, seed: int | None = None) -> RecordedEnvs:
    """`envs` as the experiment uses environments; a `RecordedEnvs` is returned as it is.

    Args:
        envs: has `num_envs`, `single_action_space`, `reset`, `step` and `close`, and answers
            questions to its `SequenceWrapper`s through `call_async` and `call_wait`, or `call`.
        seed: of its first reset; None lets the environments choose.

    Raises:
        ConfigError: it cannot be asked.
    """
    if isinstance(envs, RecordedEnvs):
        return envs
    needed = ("num_envs", "single_action_space", "reset", "step", "close")
    missing = [name for name in needed if not hasattr(envs, name)]
    if not (hasattr(envs, "call_async") or hasattr(envs, "call")):
        missing.append("call_async")
    if missing:
        raise ConfigError(
            f"{type(envs).__name__} is no vector environment: it lacks {', '.join(missing)}. Make "
            f"one from EnvCreators, with gymnasium.vector.AsyncVectorEnv or one of "
            f"amago.envs.env_utils, or leave init_envs as it is."
        )
    return ForeignEnvs(ForeignPool(envs, seed))


class ForeignPool(EnvPool):
    """A script's vector environment as a pool.

    Its steps tell who ended, not always who was reset when, for gymnasium knows three ways. The
    wrappers do: an episode's first timestep has the time index 0.

    Args:
        envs, seed: see `adopt`.
    """

    def __init__(self, envs: Any, seed: int | None = None) -> None:
        self.envs = envs
        self.num_envs = envs.num_envs
        self._must_reset_rows = False
        if isinstance(envs, gym.vector.VectorEnv):
            self._must_reset_rows = autoreset_mode(cast(Any, envs)) is Autoreset.DISABLED
            self.call("drop_batch_axis")
        spaces = self.call("rl2_space")[0]
        self.single_observation_space = spaces["obs"]
        self.rl2_space = spaces["rl2"]
        self.single_action_space = envs.single_action_space
        self._seed = seed
        self._is_open = True

    def reset(self) -> PoolStep:
        """Start an episode in every environment."""
        seed, self._seed = self._seed, None
        reset_with(self.envs.reset, seed)
        return self._begun(interrupted=False)

    def step(self, actions: np.ndarray) -> PoolStep:
        """Step every environment."""
        _, reward, terminated, truncated, _ = self.envs.step(actions)
        terminated, truncated = np.asarray(terminated, bool), np.asarray(truncated, bool)
        ended = terminated | truncated
        if self._must_reset_rows and ended.any():
            self.envs.reset(options={"reset_mask": ended})
        timestep = self.timestep()
        started = timestep.time_idx == 0
        return PoolStep(
            timestep=timestep,
            final=timestep,
            reward=np.asarray(reward, np.float32),
            terminated=terminated,
            truncated=truncated,
            started=started,
            stepped=ended | ~started,
            env_names=[""] * self.num_envs,
        )

    def timestep(self) -> Timestep:
        """What the policy sees next."""
        obs, rl2s, time_idxs = zip(*self.call("current_timestep"), strict=True)
        rl2s, time_idx = np.concatenate(rl2s), np.concatenate(time_idxs)[:, 0]
        return Timestep(
            obs={key: np.concatenate([values[key] for values in obs]) for key in obs[0]},
            prev_action=rl2s[:, 1:],
            reward=rl2s[:, 0],
            time_idx=time_idx,
            terminal=np.zeros(self.num_envs, bool),
            batched_envs=self.num_envs,
        )

    def _begun(self, interrupted: bool) -> PoolStep:
        timestep = self.timestep()
        nowhere = np.zeros(self.num_envs, bool)
        return PoolStep(
            timestep=timestep,
            final=timestep,
            reward=timestep.reward,
            terminated=nowhere,
            truncated=nowhere,
            started=~nowhere,
            stepped=nowhere,
            env_names=[""] * self.num_envs,
            interrupted=nowhere | interrupted,
        )

    def call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call a method (or read an attribute) of every wrapper."""
        if not hasattr(self.envs, "call_async"):
            return list(self.envs.call(name, *args, **kwargs))
        self.envs.call_async(name, *args, **kwargs)
        return list(self.envs.call_wait())

    def call_each(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Not possible: a vector environment passes the same arguments to all."""
        raise ConfigError(
            f"{self.description} was made by the script, and cannot call '{name}' with other "
            f"arguments in every environment"
        )

    def state_dict(self) -> dict[str, Any]:
        """Nothing: these environments cannot be brought back."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> PoolStep:
        """Begin new episodes everywhere, with a warning."""
        amago_warning(
            f"{self.description} was made by the script and cannot be brought back to where the "
            f"checkpoint was saved: all {self.num_envs} environments begin a new episode"
        )
        reset_with(self.envs.reset, None)
        return self._begun(interrupted=True)

    @property
    def num_faults(self) -> int:
        """0: a fault ends the run."""
        return 0

    def episodes(self) -> list[int]:
        """Not known here: none."""
        return []

    def set_episodes(self, episodes: list[int]) -> None:
        """Does nothing: how these environments are seeded is up to the script."""

    def render(self) -> Any:
        """What the vector environment renders."""
        return self.envs.render()

    def close(self) -> None:
        """Close the vector environment. A second call does nothing."""
        if self._is_open:
            self._is_open = False
            self.envs.close()

    @property
    def description(self) -> str:
        """`AsyncVectorEnv(N environments)`."""
        return f"{type(self.envs).__name__}({self.num_envs} environments)"


class WrapperStatistics:
    """What the wrappers have counted, asked for when it is needed."""

    def __init__(self, pool: ForeignPool) -> None:
        self.episodes_finished = 0
        self._pool = pool
        self._frames_before = [Counter[str]() for _ in range(pool.num_envs)]

    @property
    def returns(self) -> list[ReturnHistory]:
        return self._pool.call("return_history")

    @property
    def specials(self) -> list[SpecialMetricHistory]:
        return self._pool.call("special_history")

    @property
    def frames_by_env_name(self) -> list[Counter[str]]:
        counted = self._counted()
        return [now - before for now, before in zip(counted, self._frames_before, strict=False)]

    @property
    def frames(self) -> list[int]:
        return [sum(frames.values()) for frames in self.frames_by_env_name]

    def _counted(self) -> list[Counter[str]]:
        # A wrapper around a batch gives one answer for all of its rows.
        return [Counter(frames) for frames in self._pool.call("total_frames_by_env_name")]

    def clear(self) -> None:
        """Forget finished episodes."""
        self.episodes_finished = 0
        self._pool.call("reset_stats")

    def restart(self) -> None:
        """Nothing: a wrapper that is reset forgets its running episode."""

    def observe(self, step: PoolStep) -> None:
        """Count the episodes that ended."""
        self.episodes_finished += int(step.ended.sum())

    def state_dict(self) -> dict[str, Any]:
        """Nothing: what ran when it was taken cannot go on."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count frames from zero: those before are in the sum that `state` belongs to."""
        self._frames_before = self._counted()


class ForeignEnvs(RecordedEnvs):
    """A `RecordedEnvs` whose environments record and count by themselves."""

    pool: ForeignPool

    def __init__(self, pool: ForeignPool) -> None:
        super().__init__(pool, Recorder(pool.num_envs, save_to=None))
        self.statistics = WrapperStatistics(pool)

    @property
    def timestep(self) -> Timestep:
        """What the policy sees next. The script may have reset its environments before."""
        if self._timestep is None:
            self._timestep = self.pool.timestep()
        return self._timestep

    def step(self, actions: np.ndarray) -> PoolStep:
        """Step and count; the wrappers have recorded."""
        step = super().step(actions)
        if self.recorder.save_on_done and step.ended.any():
            self.save_finished_trajs()
        return step

    def save_finished_trajs(self) -> int:
        """Let the wrappers write their finished trajectories. Returns how many."""
        return sum(count or 0 for count in self.pool.call("save_finished_trajs"))

    def call_async(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Ask every wrapper; `call_wait` has the answers."""
        self._asked = self.pool.call(name, *args, **kwargs)
