"""The package computes the numbers that the published implementation computes.

`vectors/` holds inputs, parameters and outputs (measurements: no source); its absence is a failure.
"""

import pytest
import torch
from golden_reference import CASES, VECTORS, WAIVERS, compare, load_npz, run_case, waivers_of

# The cases were made with the default bounds of value bins and the like, which the package
# advises against when it is constructed.
pytestmark = pytest.mark.filterwarnings("ignore::amago.core.errors.AmagoWarning")


@pytest.fixture(autouse=True)
def torch_as_it_was():
    """The default type and the argument checks of distributions are global; cases change them."""
    checks = torch.distributions.Distribution._validate_args
    yield
    torch.distributions.Distribution.set_default_validate_args(checks)


def test_no_case_is_missing():
    assert len(CASES) == 163
    assert all((VECTORS / entry["file"]).is_file() for entry in CASES)


@pytest.mark.parametrize("entry", CASES, ids=[entry["name"] for entry in CASES])
def test_vector(entry):
    npz = load_npz(VECTORS / entry["file"])
    assert compare(entry, run_case(entry, npz), npz) == []


@pytest.mark.parametrize("waiver", WAIVERS, ids=[waiver["instead"] for waiver in WAIVERS])
def test_every_waiver_still_applies_to_some_array(waiver):
    touched = [
        (entry["name"], array)
        for entry in CASES
        for array in entry["arrays"]
        if waiver in waivers_of(entry, array)
    ]
    assert touched


def test_a_wrong_number_is_noticed():
    entry = next(entry for entry in CASES if entry["name"] == "symlog")
    npz = load_npz(VECTORS / entry["file"])
    outputs = {name: array.copy() for name, array in npz.items() if name.startswith("out/")}
    assert compare(entry, outputs, npz) == []
    outputs["out/symlog"][0] += 0.01
    assert len(compare(entry, outputs, npz)) == 1
