"""Recomputes the stored cases with the package at hand. Run by `test_vectors.py`.

Each `run_<kind>` turns the arguments and arrays of a case into named outputs, by public names only.
"""

from golden_reference import agents, data, nets, rollouts, values
from golden_reference.agreement import check_all, report
from golden_reference.comparison import CASES, compare, load_npz, run_case
from golden_reference.waivers import VECTORS, WAIVERS, touches, waivers_of

__all__ = [
    "CASES",
    "VECTORS",
    "WAIVERS",
    "agents",
    "check_all",
    "compare",
    "data",
    "load_npz",
    "nets",
    "report",
    "rollouts",
    "run_case",
    "touches",
    "values",
    "waivers_of",
]
