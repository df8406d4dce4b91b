"""The package computes the numbers that the published implementation computes.

`vectors/` holds inputs, parameters and outputs (measurements: no source); its absence is a failure.
`cd tests/golden && python -m golden_reference` prints a table: N of N cases, and every exception.
"""

import numpy as np
import pytest
import torch
from golden_reference import (
    CASES,
    VECTORS,
    WAIVERS,
    check_all,
    compare,
    load_npz,
    report,
    run_case,
    touches,
)

# The cases were made with the default bounds of value bins and the like, which the package
# advises against when it is constructed.
pytestmark = pytest.mark.filterwarnings("ignore::amago.core.errors.AmagoWarning")

NAMES = [entry["name"] for entry in CASES]


def case(name):
    entry = CASES[NAMES.index(name)]
    return entry, load_npz(VECTORS / entry["file"])


def outputs(npz):
    """What was stored, as if it had been computed."""
    return {name: array.copy() for name, array in npz.items() if name.startswith("out/")}


def described(array):
    """As in the manifest: `float32[2,3]`."""
    return f"{array.dtype}[{','.join(str(n) for n in array.shape)}]"


@pytest.fixture(autouse=True)
def torch_as_it_was():
    """The default type and the argument checks of distributions are global; cases change them."""
    checks = torch.distributions.Distribution._validate_args
    yield
    torch.distributions.Distribution.set_default_validate_args(checks)


def test_no_case_is_missing():
    assert len(set(NAMES)) == len(CASES) == 163
    assert {entry["file"] for entry in CASES} == {path.name for path in VECTORS.glob("*.npz")}


def test_every_file_holds_the_arrays_that_the_manifest_lists():
    for entry in CASES:
        assert (VECTORS / entry["file"]).stat().st_size == entry["bytes"]
        found = load_npz(VECTORS / entry["file"])
        assert {name: described(array) for name, array in found.items()} == entry["arrays"]


@pytest.mark.parametrize("entry", CASES, ids=NAMES)
def test_vector(entry):
    npz = load_npz(VECTORS / entry["file"])
    assert compare(entry, run_case(entry, npz), npz) == []


@pytest.mark.parametrize("waiver", WAIVERS, ids=[waiver["instead"] for waiver in WAIVERS])
def test_every_waiver_still_applies_to_some_number(waiver):
    assert any(
        touches(waiver, entry, array, npz)
        for entry in CASES
        for npz in [load_npz(VECTORS / entry["file"])]
        for array in entry["arrays"]
        if array.startswith("out/")
    )


def test_a_wrong_number_is_noticed():
    entry, npz = case("symlog")
    found = outputs(npz)
    assert compare(entry, found, npz) == []
    found["out/symlog"][0] += 0.01
    assert len(compare(entry, found, npz)) == 1


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("bins_hlgauss_linear", "out/labels"),  # the stored rows of zeros
        ("values_agent_continuous_nonoise", "out/q_sa_std"),  # the stored nan
        ("loss_agent_discrete_tformer", "out/grad_norm/values"),  # of the maximised copy
        ("eps_bilevel", "out/eps"),  # beyond [0, 1]
    ],
)
def test_a_waived_number_must_be_what_was_decided(name, array):
    entry, npz = case(name)
    complaints = compare(entry, outputs(npz), npz)
    assert any(line.startswith(array) for line in complaints)


def test_the_report_names_every_exception_and_counts_the_cases():
    few = [case(name)[0] for name in ("symlog", "eps_bilevel", "bins_hlgauss_linear")]
    lines = report(check_all(few), few)
    assert lines[-1] == "3 of 3 cases agree"
    for waiver in WAIVERS:
        assert sum(f"{waiver['spec']}: {waiver['instead']}" in line for line in lines) == 1


def test_the_report_says_what_failed():
    entry, npz = case("symlog")
    found = outputs(npz)
    found["out/symlog"] = np.zeros(1)
    lines = report({"symlog": compare(entry, found, npz)}, [entry])
    assert "FAIL symlog" in lines
    assert lines[-1] == "0 of 1 cases agree"


def test_a_case_without_its_file_fails():
    with pytest.raises(FileNotFoundError, match="absent"):
        check_all([{**CASES[0], "file": "absent.npz"}])
