"""Which window of a long trajectory is trained on. Integers only.

A window is `[start, stop)` in transitions; it covers the timesteps `[start, stop]`. With `T`
transitions and a wanted `length < T`:

| mode | start, uniform over | window |
|---|---|---|
| none | `0 .. T - length` | `length` long |
| left | `1 - length .. T - length` | cut off at the beginning: shorter there |
| right | `0 .. T - 2` | cut off at the end |
| both | `1 - length .. T - 2` | cut off at either |
| center | centre over `0 .. T - 1` | moved inside: `length` long |

"none" sees timesteps near the ends of a trajectory less often than those in the middle; "both"
sees all of them equally often, at the price of short sequences.
"""

import numpy as np

from amago.core.errors import ConfigError
from amago.core.names import nearest

MODES = ("none", "left", "right", "both", "center")


def start_range(num_transitions: int, length: int, mode: str) -> tuple[int, int]:
    """First and last value (inclusive) that a start is drawn from, before it is clamped.

    Raises:
        ConfigError: no such mode.
    """
    last_full = num_transitions - length
    ranges = {
        "none": (0, last_full),
        "left": (1 - length, last_full),
        "right": (0, num_transitions - 2),
        "both": (1 - length, num_transitions - 2),
        "center": (-(length // 2), num_transitions - 1 - length // 2),
    }
    if mode not in ranges:
        raise ConfigError(
            f"padded_sampling is '{mode}'{nearest(str(mode), MODES)} "
            f"Choose from: {', '.join(MODES)}"
        )
    low, high = ranges[mode]
    return low, max(low, high)


def window_at(start: int, num_transitions: int, length: int, mode: str) -> tuple[int, int]:
    """The window `[start, stop)` of a start drawn from `start_range`, inside the trajectory."""
    if mode == "center":
        start = min(max(start, 0), num_transitions - length)
    return max(start, 0), min(start + length, num_transitions)


def random_window(
    num_transitions: int, length: int | None, mode: str, rng: np.random.Generator
) -> tuple[int, int]:
    """A random window; the whole trajectory when `length` is None or it is not longer than that."""
    if length is None or num_transitions <= length:
        return 0, num_transitions
    low, high = start_range(num_transitions, length, mode)
    return window_at(int(rng.integers(low, high + 1)), num_transitions, length, mode)
