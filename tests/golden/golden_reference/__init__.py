"""Recomputes the stored cases with the package at hand. Run by `test_vectors.py`.

Each `run_<kind>` turns the arguments and arrays of a case into named outputs, by public names only.
"""

from golden_reference import agents, data, nets, rollouts, values
from golden_reference.comparison import (
    CASES,
    VECTORS,
    WAIVERS,
    compare,
    load_npz,
    run_case,
    waivers_of,
)

__all__ = [
    "CASES",
    "VECTORS",
    "WAIVERS",
    "agents",
    "compare",
    "data",
    "load_npz",
    "nets",
    "rollouts",
    "run_case",
    "values",
    "waivers_of",
]
