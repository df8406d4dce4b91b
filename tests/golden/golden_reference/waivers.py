"""Differences from the stored numbers that were decided on: which, and what stands there instead.

`vectors/waivers.json` names them, each with the item of the list of behaviours that differ
(`tests/contract/test_corrected_behaviour.py`). Nothing else may differ, and where a difference is
allowed the number that replaces the stored one is checked.
"""

import fnmatch
import json
from pathlib import Path

import numpy as np

VECTORS = Path(__file__).parents[1] / "vectors"
WAIVERS = json.loads((VECTORS / "waivers.json").read_text())

TRAINABLE_TWIN = ("clip_norm_all_parameters", "clip_norm_trainable_params")


def waivers_of(entry, k):
    """The waivers that touch an array of a case."""
    return [
        w
        for w in WAIVERS
        if fnmatch.fnmatch(entry["name"], w["case"]) and fnmatch.fnmatch(k, w["array"])
    ]


def places(w, k, npz):
    """Boolean array like the stored one: true where this waiver says not to compare."""
    want = npz[k]
    if w["mode"] == "nan":
        return np.isnan(want)
    if w["mode"] == "zero_rows" and want.ndim:
        return np.broadcast_to((want == 0).all(-1, keepdims=True), want.shape)
    if w["mode"] == "ignore" and "entry" in w:
        return npz[k[: -len("values")] + "names"] == w["entry"]
    return np.full(want.shape, w["mode"] == "ignore")


def waived(entry, k, npz):
    """The same for all waivers together."""
    out = np.zeros(npz[k].shape, dtype=bool)
    for w in waivers_of(entry, k):
        out |= places(w, k, npz)
    return out


def clip01(entry, k):
    """Whether the stored array is to be clipped to [0, 1] first."""
    return any(w["mode"] == "clip01" for w in waivers_of(entry, k))


def touches(w, entry, k, npz):
    """Whether a number of an array is read otherwise because of this waiver."""
    if w not in waivers_of(entry, k):
        return False
    stored = npz[k]
    if w["mode"] == "clip01":
        return bool(((stored < 0.0) | (stored > 1.0)).any())
    return bool(places(w, k, npz).any())


def not_as_decided(entry, k, got, npz):
    """Complaints about what stands in place of the waived numbers of an array, one line each."""
    return [
        f"{k}: waived (item {w['spec']}), but not as decided: {w['instead']}"
        for w in waivers_of(entry, k)
        if not _stands_instead(w, k, got, places(w, k, npz))
    ]


def _stands_instead(w, k, got, where):
    found = np.asarray(got[k])
    if w["mode"] == "zero_rows" and where.any():
        rows = found[where[..., 0]]  # labels of targets outside the support
        return bool((rows[:, [0, -1]].max(axis=-1) == 1.0).all() and (rows.sum(axis=-1) == 1).all())
    if w["mode"] == "nan" or "entry" in w:
        return bool((found[where] == 0.0).all())
    if w["mode"] == "ignore":
        twin = got.get(k.replace(*TRAINABLE_TWIN))
        return twin is None or bool(np.isclose(found, twin, rtol=1e-6))
    return True  # clip01: the stored number is compared, clipped
