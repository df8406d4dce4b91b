"""What happens in which epoch. Pure: no clock, no state, no randomness."""

from dataclasses import dataclass
from typing import Literal, get_args

from amago.core.errors import ConfigError

Role = Literal["both", "learn", "collect"]


@dataclass(frozen=True)
class Every:
    """True at 0 and at each multiple of `interval`; never when that is None or 0.

    Raises:
        ConfigError: a negative interval.
    """

    interval: int | None

    def __post_init__(self) -> None:
        if self.interval is not None and self.interval < 0:
            raise ConfigError(f"an interval is {self.interval}; use None or 0 for never.")

    def __call__(self, index: int) -> bool:
        """Whether `index` (an epoch, a batch) is one of them."""
        return bool(self.interval) and index % self.interval == 0


@dataclass(frozen=True)
class Due:
    """The steps of one epoch, in the order in which they are taken."""

    fetch: bool
    """Read the latest weights that a learner published."""
    evaluate: bool
    collect: bool
    train: bool
    checkpoint: bool
    publish: bool
    """Write the latest weights for collectors."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Which steps are due, by epoch. The fields are the experiment's own, by the same names.

    Args:
        role: "collect" never learns, saves or publishes, and fetches every epoch; "learn" never
            fetches, collects or evaluates; "both" does what the other fields say.
        start_learning_at_epoch: infinity is never; so for `start_collecting_at_epoch`.

    Raises:
        ConfigError: an unknown role or a negative interval.
    """

    role: Role = "both"
    start_learning_at_epoch: float
    start_collecting_at_epoch: float
    train_timesteps_per_epoch: int
    train_batches_per_epoch: int
    val_timesteps_per_epoch: int
    val_interval: int | None
    ckpt_interval: int | None
    always_load_latest: bool
    always_save_latest: bool

    def __post_init__(self) -> None:
        if self.role not in get_args(Role):
            raise ConfigError(f"role is '{self.role}'; choose from {', '.join(get_args(Role))}.")
        Every(self.val_interval)
        Every(self.ckpt_interval)

    def at(self, epoch: int) -> Due:
        """The steps due in this epoch."""
        can_act, can_learn = self.role != "learn", self.role != "collect"
        train = (
            can_learn and self.train_batches_per_epoch > 0 and epoch >= self.start_learning_at_epoch
        )
        return Due(
            fetch=self.role == "collect" or (can_act and self.always_load_latest),
            evaluate=can_act
            and self.val_timesteps_per_epoch > 0
            and Every(self.val_interval)(epoch),
            collect=can_act
            and self.train_timesteps_per_epoch > 0
            and epoch >= self.start_collecting_at_epoch,
            train=train,
            checkpoint=can_learn and Every(self.ckpt_interval)(epoch),
            publish=train and self.always_save_latest,
        )
