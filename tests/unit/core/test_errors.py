"""Warnings point at the user's line, through however many frames of this package."""

import warnings
from pathlib import Path

from amago.core.errors import amago_warning
from amago.envs.pool.supervision import Fault, FaultLog


def test_a_warning_points_at_the_first_line_outside_the_package():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        amago_warning("directly")
        FaultLog().report([Fault("kind", "what", "consequence")])
    assert len(caught) == 2
    assert all(Path(warning.filename).name == "test_errors.py" for warning in caught)
