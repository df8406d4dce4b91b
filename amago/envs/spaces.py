"""What environments offer, as what networks read: codecs of action and observation spaces.

Axes: `N` parallel environments, `A` numbers in an action, `F` factors: choices that make up one
action.
"""

from abc import ABC, abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np

from amago.core.errors import ConfigError
from amago.envs.resets import reset_with

OBSERVATION_KEY = "observation"
"""The key of an observation that is not a dict."""

# --------------------------------------------------------------------------------- actions


class ActionCodec(ABC):
    """Translates the actions of one kind of space, for one environment or a batch of them.

    Attributes:
        policy_space: what the policy chooses from.
        size: `A`, numbers in the representation of an action.
        dtype: of an action as the policy gives it.
        representation_dtype: of its representation.
    """

    policy_space: gym.Space
    size: int
    dtype: type[np.generic]
    representation_dtype: type[np.generic]

    @abstractmethod
    def to_env(self, action: Any) -> Any:
        """The action as the environment expects it; a leading batch axis is kept."""

    def represent(self, action: np.ndarray) -> np.ndarray:
        """`[N, A]`: what is stored as the action taken, and shown to the policy afterwards.

        Args:
            action: `[N, F]` indices (discrete) or `[N, A]`, as the policy gives them.
        """
        return np.array(action, dtype=self.dtype)


class DiscreteCodec(ActionCodec):
    """Indices from zero: uint8 where that is enough, int64 above 256 choices."""

    representation_dtype = np.uint8

    def __init__(self, space: gym.spaces.Discrete) -> None:
        self.start = int(space.start)
        self.size = int(space.n)
        self.dtype = np.uint8 if self.size <= 256 else np.int64
        self.policy_space = gym.spaces.Discrete(self.size)

    def to_env(self, action: Any) -> Any:
        """An int from an int or an array of one index, `[N]` int64 from `[N, 1]`."""
        if isinstance(action, np.ndarray):
            if action.ndim == 2:
                return action[:, 0].astype(np.int64) + self.start
            return action.item() + self.start
        return int(action) + self.start

    def represent(self, action: np.ndarray) -> np.ndarray:
        """`[N, A]` uint8, one-hot."""
        one_hot = np.zeros((len(action), self.size), dtype=np.uint8)
        if len(action) == 1:
            one_hot[0, action[0, 0]] = 1
        else:
            one_hot[np.arange(len(action)), action[:, 0]] = 1
        return one_hot


class MultiDiscreteCodec(ActionCodec):
    """Several choices at once: an index from zero for each factor, int64."""

    dtype = np.int64
    representation_dtype = np.uint8

    def __init__(self, space: gym.spaces.MultiDiscrete) -> None:
        self._sizes = space.nvec.reshape(-1).astype(np.int64)  # [F]
        self._shape, self._dtype = space.nvec.shape, space.dtype
        self._start = space.start.reshape(-1).astype(np.int64)
        self._first = np.cumsum(self._sizes) - self._sizes  # where each one-hot begins
        self.size = int(self._sizes.sum())
        self.policy_space = gym.spaces.MultiDiscrete(self._sizes)

    def to_env(self, action: Any) -> np.ndarray:
        """`shape` from `[F]`, or `[N, *shape]` from `[N, F]`, in the dtype of the space.

        Raises:
            ValueError: an index that its factor does not have.
        """
        action = self._checked(action)
        batch = action.shape[:-1]
        return (action + self._start).astype(self._dtype).reshape(batch + self._shape)

    def represent(self, action: np.ndarray) -> np.ndarray:
        """`[N, A]` uint8, the one-hots of all factors side by side."""
        one_hots = np.zeros((len(action), self.size), dtype=np.uint8)
        one_hots[np.arange(len(action))[:, None], self._checked(action) + self._first] = 1
        return one_hots

    def _checked(self, action: Any) -> np.ndarray:
        # An index too large would silently be a choice of the next factor.
        action = np.asarray(action, dtype=np.int64)
        if not ((action >= 0) & (action < self._sizes)).all():
            raise ValueError(
                f"indices must be from 0 to below {self._sizes.tolist()}, got {action.tolist()}"
            )
        return action


class BoxCodec(ActionCodec):
    """`[-1, 1]` per number, mapped affinely onto the true bounds."""

    dtype = representation_dtype = np.float32

    def __init__(self, space: gym.spaces.Box) -> None:
        low, high = space.low, space.high
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise ConfigError(
                f"the action space {space} is unbounded, so [-1, 1] cannot be mapped onto it. Wrap "
                "the environment in gymnasium.wrappers.RescaleAction or ClipAction with bounds."
            )
        if not np.issubdtype(space.dtype, np.floating):
            raise ConfigError(
                f"the action space {space} has dtype {space.dtype}; a Box of actions must be of "
                "floats. Use Discrete for whole numbers."
            )
        self.size = int(np.prod(space.shape))
        self.policy_space = gym.spaces.Box(-1.0, 1.0, (self.size,), np.float32)
        self._shape = space.shape
        self._low, self._high = low.reshape(-1), high.reshape(-1)
        self._half_range = (self._high - self._low) / 2

    def to_env(self, action: Any) -> np.ndarray:
        """`shape` or `[N, *shape]`, in the dtype of the environment's space.

        Raises:
            ValueError: a number outside `[-1, 1]`.
        """
        action = np.asarray(action)
        check_unit_range(action)
        scaled = self._low + (action + 1) * self._half_range
        # Rounding may step over a bound that an environment checks strictly.
        scaled = np.minimum(np.maximum(scaled, self._low), self._high)
        batch = action.shape[:-1]
        return scaled.astype(self._low.dtype, copy=False).reshape(batch + self._shape)


class MultiBinaryCodec(ActionCodec):
    """Bits: uint8 from the policy, int8 to the environment."""

    dtype = representation_dtype = np.uint8

    def __init__(self, space: gym.spaces.MultiBinary) -> None:
        self._shape = space.shape
        self.size = int(np.prod(space.shape))
        self.policy_space = gym.spaces.MultiBinary(self.size)

    def to_env(self, action: Any) -> np.ndarray:
        """`shape` or `[N, *shape]` int8."""
        action = np.asarray(action, dtype=np.int8)
        return action.reshape(action.shape[:-1] + self._shape)


def action_codec(space: gym.Space) -> ActionCodec:
    """The codec of an environment's action space.

    Raises:
        ConfigError: a kind of space that policies cannot choose from.
    """
    if isinstance(space, gym.spaces.Discrete):
        return DiscreteCodec(space)
    if isinstance(space, gym.spaces.MultiDiscrete):
        return MultiDiscreteCodec(space)
    if isinstance(space, gym.spaces.Box):
        return BoxCodec(space)
    if isinstance(space, gym.spaces.MultiBinary):
        return MultiBinaryCodec(space)
    raise unsupported_actions(space)


def choices_of(space: gym.Space) -> tuple[int, ...]:
    """How many choices each factor of a discrete action has; empty if actions are no choices."""
    if isinstance(space, gym.spaces.Discrete):
        return (int(space.n),)
    if isinstance(space, gym.spaces.MultiDiscrete):
        return tuple(space.nvec.reshape(-1).tolist())
    return ()


def unsupported_actions(space: gym.Space) -> ConfigError:
    """The error that says what to make of an action space that policies cannot choose from."""
    if isinstance(space, gym.spaces.Dict | gym.spaces.Tuple):
        advice = "Flatten it by a wrapper: choices into one MultiDiscrete, numbers into one Box."
    else:
        advice = (
            "Use Discrete, MultiDiscrete, or a MultiBinary or Box of one axis, e.g. by a wrapper "
            "that translates."
        )
    return ConfigError(
        f"actions of {type(space).__name__} are not supported (got {space}). {advice}"
    )


def check_unit_range(action: np.ndarray) -> None:
    """Refuse a continuous action outside `[-1, 1]`.

    Raises:
        ValueError: with the worst number; NaN counts as outside.
    """
    worst = np.abs(action).max(initial=0.0)
    if not worst <= 1.0:
        raise ValueError(f"continuous actions must be in [-1, 1], but one has magnitude {worst}")


# ---------------------------------------------------------------------------- observations


def dict_observation_space(space: gym.Space) -> gym.spaces.Dict:
    """The space of observations as networks see them: a Dict of arrays with at least one axis.

    A space that is no Dict becomes its only entry, `"observation"`. A Discrete entry becomes one
    integer, `(1,)`: a category is not a quantity, so one-hot encode it in the environment (or embed
    it in a timestep encoder of your own) if the policy should read it as one.

    Raises:
        ConfigError: an entry that is not an array of fixed shape.
    """
    entries = space.spaces if isinstance(space, gym.spaces.Dict) else {OBSERVATION_KEY: space}
    return gym.spaces.Dict({str(key): _array_space(key, entry) for key, entry in entries.items()})


def _array_space(key: str, space: gym.Space) -> gym.Space:
    space = space_convert(space)
    if isinstance(space, gym.spaces.Discrete):
        return gym.spaces.Box(space.start, space.start + space.n - 1, (1,), np.int64)
    if isinstance(space, gym.spaces.Box) and space.shape == ():
        return gym.spaces.Box(space.low[None], space.high[None], (1,), space.dtype.type)
    if isinstance(space, gym.spaces.Box | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary):
        return space
    raise ConfigError(
        f"the observation '{key}' is a {type(space).__name__} space, not an array of fixed shape "
        f"(got {space}). Flatten or encode it, e.g. with gymnasium.wrappers.FlattenObservation."
    )


# --------------------------------------------------------------------------------- old gym


def space_convert(gym_space: Any) -> gym.Space:
    """A gymnasium space; Box and Discrete of the old `gym` package are converted.

    Raises:
        TypeError: anything else.
    """
    if isinstance(gym_space, gym.Space):
        return gym_space
    kind = type(gym_space).__name__
    if kind == "Box":
        return gym.spaces.Box(gym_space.low, gym_space.high, gym_space.shape, gym_space.dtype)
    if kind == "Discrete":
        return gym.spaces.Discrete(int(gym_space.n), start=int(getattr(gym_space, "start", 0)))
    raise TypeError(
        f"expected a gymnasium space, or Box or Discrete of old gym, but got {gym_space!r}"
    )


# -------------------------------------------------------------------------------- wrappers


class ActionAdapter(gym.ActionWrapper):
    """Lets an environment take the policy's actions. Other attributes are those of `env`.

    It is the wrapper next to the user's environment, so it also tolerates a `reset` without `seed`
    or `options`.
    """

    kind: type[gym.Space] = gym.Space

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        space = space_convert(env.action_space)
        self.codec = action_codec(space)
        if not isinstance(space, self.kind):
            raise ConfigError(
                f"{type(self).__name__} needs an action space of {self.kind.__name__}, got {space}"
            )
        self.action_space = self.codec.policy_space

    def action(self, action: Any) -> Any:
        """The action as `env` expects it."""
        return self.codec.to_env(action)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset `env`."""
        return reset_with(self.env.reset, seed, options)

    def __getattr__(self, name: str) -> Any:
        # gymnasium < 1.0 forwarded; subclasses of AMAGOEnv still write `self.env.something`.
        if name.startswith("_") or name == "env":
            raise AttributeError(name)
        return getattr(self.env, name)


class DiscreteActionWrapper(ActionAdapter):
    """Takes an int, an array of one index, or `[N, 1]` indices; all count from zero."""

    kind = gym.spaces.Discrete


class MultiDiscreteActionWrapper(DiscreteActionWrapper):
    """Takes `[F]` or `[N, F]` indices; all count from zero."""

    kind = gym.spaces.MultiDiscrete


class ContinuousActionWrapper(ActionAdapter):
    """Takes `[A]` or `[N, A]` numbers in [-1, 1]; refuses others (`ValueError`)."""

    kind = gym.spaces.Box


class MultiBinaryActionWrapper(ActionAdapter):
    """Takes `[A]` or `[N, A]` bits."""

    kind = gym.spaces.MultiBinary
