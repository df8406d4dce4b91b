"""Environments of one process, and what is done when one of them fails.

The same code runs in `SyncPool` and in every worker of `AsyncPool`, so both give the same numbers.
"""

import contextlib
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym

from amago.core.errors import AmagoError, ConfigError, EnvError
from amago.envs.checks import BadValueError, check_finite, is_finite
from amago.envs.pool.buffers import StepBuffers
from amago.envs.pool.members import Member
from amago.envs.pool.replay import unchanged_global_randomness
from amago.envs.pool.row import EnvRow, Metrics
from amago.envs.pool.saved import NotRestored, nothing
from amago.envs.pool.supervision import Fault, Supervision, too_many

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class EnvRows:
    """The environments of one process, at home in consecutive rows of the buffers.

    Args:
        supervision: what to do about faults.
        keeps_log: of the running episodes, so that they can be replayed.
        names: of the rows, if their episodes were begun by another process.

    Attributes:
        names: of the episodes the last step belonged to, one for each row.
        faults: that were dealt with; for the pool to report, and to clear.
        notes: what else the pool should tell; likewise.
    """

    def __init__(
        self,
        members: Iterable[Member],
        first_row: int,
        buffers: StepBuffers,
        supervision: Supervision,
        keeps_log: bool,
        names: Sequence[str] = (),
    ) -> None:
        self._rows = [
            EnvRow(member, first_row + i, buffers, keeps_log) for i, member in enumerate(members)
        ]
        for row, name in zip(self._rows, names):
            row.name = name
        own = slice(first_row, first_row + len(self._rows))
        self._obs = {key: values[own] for key, values in buffers.timestep.obs.items()}
        self._buffers = buffers
        self._own = own
        self._max_failures = supervision.max_failures
        self._drops = supervision.bad_values == "drop"
        self._notes_clamped = supervision.bad_values == "clamp"
        self._has_begun = bool(names)
        self.names = [row.name for row in self._rows]
        self.faults: list[Fault] = []
        self.notes: list[str] = []

    def reset(self) -> Metrics:
        """Start an episode in every environment. Returns no metrics.

        Raises:
            EnvError: a fault at the very first reset, or too many of them.
        """
        self._begin_all()
        for row in self._rows:
            row.read_name()
        self._finish()
        self._buffers.interrupted[self._own] = False
        return []

    def begin_anew(self) -> Metrics:
        """Start the next episode in every environment, in place of one that was cut off."""
        self._begin_all()
        for row in self._rows:
            if not row.name:
                row.read_name()
        self._finish()
        self._buffers.interrupted[self._own] = True
        return []

    def step(self) -> Metrics:
        """Step every environment. Returns the metrics of their infos."""
        metrics: Metrics = []
        for row in self._rows:
            try:
                if row.step(metrics):
                    row.begin_episode()
            except Exception as error:
                self._recover(row, error, "step")
        self._finish()
        return metrics

    def call(self, name: str, arguments: Sequence[Arguments]) -> list[Any]:
        """Call a method, or read an attribute, of every environment."""
        return [
            call_env(row.env, row.row, name, *args, **kwargs)
            for row, (args, kwargs) in zip(self._rows, arguments, strict=True)
        ]

    def close(self) -> None:
        """Close every environment, also when closing one fails."""
        with contextlib.ExitStack() as stack:
            for row in self._rows:
                stack.callback(row.env.close)

    # ------------------------------------------------------------------- saving, bringing back

    def explorations(self) -> list[dict[str, Any] | None]:
        """Where the exploration of each environment stands."""
        return [row.member.exploration_state() for row in self._rows]

    def environments(self) -> list[dict[str, Any]]:
        """How to bring back each environment, see `saved`."""
        if not self._has_begun:
            return [nothing("its first episode had not begun") for _ in self._rows]
        return [row.environment() for row in self._rows]

    def load(self, saved: Sequence[dict[str, Any]]) -> list[str]:
        """Bring back the environments, or begin their next episodes.

        Returns:
            Why a row could not be brought back; empty where it could.
        """
        self._has_begun = True
        with unchanged_global_randomness():
            reasons = [self._load(row, of) for row, of in zip(self._rows, saved, strict=True)]
        self._finish()
        return reasons

    def _load(self, row: EnvRow, saved: dict[str, Any]) -> str:
        row.member.load_exploration_state(saved["exploration"])
        self._buffers.episodes[row.row] = saved["episode"]
        self._buffers.failures[row.row] = 0
        is_broken, reason = False, ""
        try:
            row.restore(saved)
        except NotRestored as why:
            reason = str(why)
        except Exception as error:
            is_broken, reason = True, f"it raised {type(error).__name__}: {error}"
        row.hold(interrupted=bool(reason))
        if not reason:
            return ""
        try:
            if is_broken:
                row.make_anew()
            row.begin_episode()
        except Exception as error:
            self._recover(row, error, "reset")
        if saved["name"]:
            row.name = saved["name"]
        else:
            row.read_name()
        return reason

    # -------------------------------------------------------------------------------- faults

    def _begin_all(self) -> None:
        for row in self._rows:
            row.hold()
            try:
                row.begin_episode()
            except Exception as error:
                if self._has_begun:
                    self._recover(row, error, "reset")
                elif isinstance(error, AmagoError):
                    raise
                else:
                    raise env_error(error, row.env, "reset", row.row) from error
        if not self._has_begun:
            check_finite(self._obs, [row.read_name() for row in self._rows])
        self._has_begun = True

    def _recover(self, row: EnvRow, error: Exception, method: str) -> None:
        """Begin the next episode in a row whose environment failed; try again if that fails.

        Where the episode had ended already, its last transition stands.
        """
        b, at = self._buffers, row.row
        while True:
            loses = not (b.stepped[at] and (b.terminated[at] or b.truncated[at]))
            self._endure(row, error, method if loses else "reset", loses)
            if loses:
                row.hold(interrupted=True)
            try:
                if not isinstance(error, BadValueError):
                    row.make_anew()
                row.begin_episode()
                return
            except Exception as again:
                error, method = again, "reset"

    def _endure(self, row: EnvRow, error: Exception, method: str, loses: bool) -> None:
        """Note a fault, or raise the error that it is."""
        is_bad_value = isinstance(error, BadValueError)
        if isinstance(error, ConfigError) or (is_bad_value and not self._drops):
            raise error
        failures = self._buffers.failures
        failures[row.row] += 1
        what = (
            f"environment {row.row} ('{row.name}'): {error}"
            if is_bad_value
            else _raised(error, f"{row.row} ('{row.name}')", method)
        )
        if failures[row.row] >= self._max_failures:
            raise too_many(what, int(failures[row.row])) from error
        cut = "Its episode was cut off there." if loses else "Its last episode was complete."
        kept = "It" if is_bad_value else "The environment was made anew; it"
        trace = "" if is_bad_value else "".join(traceback.format_exception(error))
        kind = "bad value" if is_bad_value else type(error).__name__
        self.faults.append(Fault(kind, what, f"{cut} {kept} has begun its next episode.", trace))

    def _finish(self) -> None:
        while not is_finite(self._obs):
            self._refuse_values()
        self.names = [row.name for row in self._rows]
        if self._notes_clamped:
            self._note_clamped()

    def _refuse_values(self) -> None:
        for i, row in enumerate(self._rows):
            try:
                check_finite({k: v[i : i + 1] for k, v in self._obs.items()}, [row.name])
            except BadValueError as error:
                self._recover(row, error, "step")

    def _note_clamped(self) -> None:
        clamped = [f"{row.row} ('{row.name}')" for row in self._rows if row.num_clamped]
        if clamped:
            self._notes_clamped = False
            self.notes.append(
                f"environment {', '.join(clamped)} returned numbers that are not finite; they were "
                "replaced (bad_values='clamp'). This is said once."
            )


def env_error(error: Exception, env: gym.Env, method: str, row: int) -> EnvError:
    """What to raise when the user's code in an environment raised."""
    return EnvError(_raised(error, f"{row} ({env.unwrapped})", method))


def _raised(error: Exception, which: str, method: str) -> str:
    return f"environment {which} raised {type(error).__name__} in {method}: {error}"


def call_env(env: gym.Env, row: int, name: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method, or read an attribute, of an environment or of a wrapper on the way to it.

    Raises:
        AttributeError: there is no such name.
        EnvError: the method raised.
    """
    found = env.get_wrapper_attr(name)
    if not callable(found):
        return found
    try:
        return found(*args, **kwargs)
    except AmagoError:
        raise
    except Exception as error:
        raise env_error(error, env, name, row) from error
