"""Where a run is, so that it can be left anywhere and nothing is done twice."""

from dataclasses import dataclass

PHASES = ("evaluate", "collect", "train", "save", "publish")
"""The phases of an epoch, in order."""


@dataclass
class Cursor:
    """The phase of the present epoch that is running, or is next to run.

    Attributes:
        step: steps of the phase that are done: environment steps of each actor, or batches.
    """

    phase: str = PHASES[0]
    step: int = 0

    def enter(self, phase: str) -> bool:
        """Go on to `phase`; False if the epoch is already past it."""
        if PHASES.index(phase) < PHASES.index(self.phase):
            return False
        if phase != self.phase:
            self.phase, self.step = phase, 0
        return True

    def restart(self) -> None:
        """Go back to the first phase, for another epoch."""
        self.phase, self.step = PHASES[0], 0

    def advance(self, phase: str) -> None:
        """Count a step, if `phase` is running: a hook called on its own moves nothing."""
        if self.phase == phase:
            self.step += 1

    def done(self, phase: str) -> int:
        """Steps of `phase` that this epoch has already done."""
        return self.step if self.phase == phase else 0
