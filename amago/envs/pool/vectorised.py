"""One environment that is already a batch, as a pool."""

import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

from amago.core.errors import ConfigError, EnvError
from amago.envs.checks import BadValueError
from amago.envs.pool.base import EnvPool, PoolStep
from amago.envs.pool.batch import BatchSteps
from amago.envs.pool.members import Member, Recipe
from amago.envs.pool.replay import unchanged_global_randomness
from amago.envs.pool.rows import call_env
from amago.envs.pool.saved import (
    NotRestored,
    check_layout,
    own_state,
    packed,
    set_own_state,
    unpacked_timestep,
    warn_of_loss,
)
from amago.envs.pool.spaces import PoolSpaces
from amago.envs.pool.supervision import Fault, FaultLog, too_many
from amago.envs.resets import reset_with
from amago.envs.spaces import check_unit_range
from amago.hindsight import Timestep


class VectorisedPool(EnvPool):
    """Steps one `AMAGOEnv(..., batched_envs=N)`, whose rows reset themselves.

    Such an environment owns its random streams: it is seeded at each `reset` of the pool, not at
    each episode. A fault is one of all rows. It can be brought back by its own state only.
    """

    def __init__(self, recipe: Recipe) -> None:
        if len(recipe.factories) != 1:
            raise ConfigError(
                "env_mode='already_vectorized' takes exactly one environment, which carries the "
                f"batch itself, but got {len(recipe.factories)} factories"
            )
        (self._member,) = recipe.make()
        self._steps = BatchSteps(self._member.env)
        self._supervision = recipe.supervision
        spaces = PoolSpaces.of(self._member.amago_env)
        self.num_envs = self._member.amago_env.batched_envs
        self.single_observation_space = spaces.observation
        self.single_action_space = spaces.action
        self.rl2_space = spaces.rl2
        self._fault_log = FaultLog()
        self._failures = 0
        self._episode = 0
        self._latest: PoolStep | None = None
        self._is_open = True

    @property
    def num_faults(self) -> int:
        """Faults since the pool was made."""
        return self._fault_log.count

    def episodes(self) -> list[int]:
        """How often the batch has been reset: one number."""
        return [self._episode]

    def set_episodes(self, episodes: list[int]) -> None:
        """Go on counting from one number."""
        self._episode = int(episodes[0])

    def reset(self) -> PoolStep:
        """Start an episode in every row."""
        self._check_open()
        try:
            step = self._begin()
        except Exception as error:
            if self._latest is None:
                self.close()
                raise
            step = replace(self._recover(error), interrupted=np.zeros(self.num_envs, dtype=bool))
        return self._given(step)

    def step(self, actions: np.ndarray) -> PoolStep:
        """Step every row; rows reset as their environment does it."""
        self._check_open()
        if isinstance(self.single_action_space, gym.spaces.Box):
            check_unit_range(actions)
        try:
            step = self._steps.step(actions)
        except Exception as error:
            step = self._recover(error)
        if step.ended.any():
            self._failures = 0
        return self._given(step)

    def _begin(self) -> PoolStep:
        self._episode += 1
        return self._steps.reset(self._member.episode_seed(self._episode - 1))

    def _given(self, step: PoolStep) -> PoolStep:
        self._latest = step
        if self._member.amago_env.num_clamped:
            note = "the batch returned numbers that are not finite; they were replaced"
            self._fault_log.report([], [f"{note} (bad_values='clamp'). This is said once."])
        return step

    def _begun_anew(self, names: list[str]) -> PoolStep:
        """Episodes in place of those that were cut off, which had `names` (as far as known)."""
        step = self._begin()
        if len(names) != self.num_envs:
            names = step.env_names
        return replace(step, env_names=names, interrupted=step.started.copy())

    # -------------------------------------------------------------------------------- faults

    def _recover(self, error: Exception) -> PoolStep:
        """Begin an episode in every row, in place of those that a fault has ended."""
        while True:
            try:
                fault = self._endured(error)
            except Exception:
                self.close()
                raise
            self._fault_log.report([fault])
            try:
                if not isinstance(error, BadValueError):
                    self._make_anew()
                return self._begun_anew([] if self._latest is None else self._latest.env_names)
            except Exception as again:
                error = again

    def _endured(self, error: Exception) -> Fault:
        """The fault, if it is endured; else the error is raised."""
        is_bad_value = isinstance(error, BadValueError)
        drops = self._supervision.bad_values == "drop"
        if isinstance(error, ConfigError) or (is_bad_value and not drops):
            raise error
        self._failures += 1
        if self._failures >= self._supervision.max_failures:
            raise too_many(str(error), self._failures) from error
        done = "All of its rows have begun new episodes; the running ones were cut off."
        if is_bad_value:
            return Fault("bad value", str(error), done)
        cause = error.__cause__ or error
        trace = "".join(traceback.format_exception(cause))
        return Fault(type(cause).__name__, str(error), f"The batch was made anew. {done}", trace)

    def _make_anew(self) -> None:
        self._member.make_anew()
        self._steps = BatchSteps(self._member.env)
        env = self._member.amago_env
        if env.batched_envs != self.num_envs or env.action_space != self.single_action_space:
            raise ConfigError(f"the factory made another environment than before: {env}")

    # ------------------------------------------------------------------- saving, bringing back

    def state_dict(self) -> dict[str, Any]:
        """`{"batch": {...}}`: the entries of a saved row (see `saved`), for all rows at once."""
        self._check_open()
        if self._latest is None:
            raise EnvError("reset the pool before saving its state")
        env = self._member.amago_env
        return {
            "batch": {
                "episode": self._episode,
                "names": list(self._latest.env_names),
                "timestep": packed(self._latest.timestep, slice(None)),
                "step_count": env.step_count.copy(),
                "restarting": env.restarting.copy(),
                "env": own_state(env),
                "exploration": self._member.exploration_state(),
            }
        }

    def load_state_dict(self, state: dict[str, Any]) -> PoolStep:
        """Go on where `state_dict` was taken."""
        self._check_open()
        with unchanged_global_randomness():
            step, reason = self._load(state.get("batch"))
        warn_of_loss([reason] * self.num_envs)
        return self._given(step)

    def _load(self, saved: dict[str, Any] | None) -> tuple[PoolStep, str]:
        """The step to go on from, and why it is not the saved one (else empty)."""
        names, is_broken = [], False
        if saved is None:
            reason = "they were saved one by one, and now they are one batch"
        else:
            self._episode, names = saved["episode"], saved["names"]
            _load_exploration(self._member, saved, self.num_envs)
            try:
                return self._restored(saved), ""
            except NotRestored as why:
                reason = str(why)
            except Exception as error:
                is_broken, reason = True, f"it raised {type(error).__name__}: {error}"
        try:
            if is_broken:
                self._make_anew()
            return self._begun_anew(names), reason
        except Exception as error:
            return self._recover(error), reason

    def _restored(self, saved: dict[str, Any]) -> PoolStep:
        if saved["env"]["kind"] != "state":
            raise NotRestored(saved["env"]["reason"])
        env, timestep = self._member.amago_env, unpacked_timestep(saved["timestep"])
        first, _ = reset_with(env.reset, self._member.episode_seed(self._episode - 1))
        check_layout(saved["timestep"], packed(first, slice(None)))
        set_own_state(env, saved["env"]["value"])
        env.step_count[:] = saved["step_count"]
        env.restarting = saved["restarting"].copy()
        return _standstill(timestep, saved["names"])

    # ------------------------------------------------------------------------------- the rest

    def call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call a method, or read an attribute, of the environment. One answer, for all rows."""
        return [call_env(self._member.env, 0, name, *args, **kwargs)]

    def call_each(self, name: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """`call` with the one set of arguments given."""
        (args,) = arguments
        return self.call(name, *args)

    def render(self) -> Any:
        """What the environment renders."""
        return self._member.env.render()

    def close(self) -> None:
        """Close the environment."""
        if self._is_open:
            self._is_open = False
            self._member.env.close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise EnvError("the pool is closed; make a new one")

    @property
    def description(self) -> str:
        """`VectorisedPool(Vectorized Gym Env x N)`."""
        return f"VectorisedPool(Vectorized Gym Env x {self.num_envs})"


def _standstill(timestep: Timestep, names: list[str]) -> PoolStep:
    """No row has made a transition or begun an episode."""
    nowhere = np.zeros(timestep.batched_envs, dtype=bool)
    return PoolStep(
        timestep=timestep,
        final=timestep,
        reward=np.zeros(timestep.batched_envs, dtype=np.float32),
        terminated=nowhere,
        truncated=nowhere.copy(),
        started=nowhere.copy(),
        stepped=nowhere.copy(),
        env_names=names,
    )


def _load_exploration(member: Member, saved: dict[str, Any], num_envs: int) -> None:
    """The exploration of row `i` is that of the saved row `i % n`."""
    num_saved = len(saved["step_count"])
    rows = np.arange(num_envs) % num_saved

    def fitted(value: Any) -> Any:
        has_rows = isinstance(value, np.ndarray) and value.shape[:1] == (num_saved,)
        return value[rows] if has_rows else value

    state = saved["exploration"]
    if state is not None:
        member.load_exploration_state({name: fitted(value) for name, value in state.items()})
