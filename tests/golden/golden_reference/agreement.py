"""How far the package agrees with the stored numbers, as a table."""

from golden_reference.comparison import CASES, compare, load_npz, run_case
from golden_reference.waivers import VECTORS, WAIVERS, touches


def check_all(cases=CASES):
    """`{case: complaints}`, for every case; an exception is a complaint."""
    found = {}
    for entry in cases:
        npz = load_npz(VECTORS / entry["file"])
        try:
            found[entry["name"]] = compare(entry, run_case(entry, npz), npz)
        except Exception as error:
            found[entry["name"]] = [f"raised {type(error).__name__}: {error}"]
    return found


def report(found, cases=CASES):
    """The lines of the table: every exception with its item, every failure, and `N of N`."""
    lines = ["Exceptions that were decided on (item: what stands instead; cases, arrays):"]
    for w in WAIVERS:
        arrays = _arrays_touched(w, cases)
        where = f"{len({case for case, _ in arrays})} cases, {len(arrays)} arrays"
        lines.append(f"  {w['spec']}: {w['instead']}; {where}")
    failed = {case: bad for case, bad in found.items() if bad}
    for case, bad in failed.items():
        lines += [f"FAIL {case}", *(f"  {line}" for line in bad)]
    return [*lines, f"{len(found) - len(failed)} of {len(cases)} cases agree"]


def _arrays_touched(w, cases):
    touched = []
    for entry in cases:
        npz = load_npz(VECTORS / entry["file"])
        arrays = [k for k in npz if k.startswith("out/") and touches(w, entry, k, npz)]
        touched += [(entry["name"], k) for k in arrays]
    return touched
