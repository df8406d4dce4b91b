"""Run a case, and say where its numbers are off."""

import json

import numpy as np

from amago.core import config as amago_config
from golden_reference.common import RUNNERS, apply_config
from golden_reference.waivers import VECTORS, clip01, not_as_decided, waived

CASES = json.loads((VECTORS / "manifest.json").read_text())["cases"]


def run_case(entry, inp):
    """The `out/...` arrays of a case, computed by the package at hand."""
    a = dict(entry["args"])
    a["config"] = entry.get("config", {})
    apply_config(a["config"])
    try:
        return RUNNERS[entry["kind"]](a, inp)
    finally:
        amago_config.clear()


def tol_for(entry, name):
    """`(rtol, atol)`: those of the longest prefix that matches."""
    matching = [prefix for prefix in entry["tolerance"] if name.startswith(prefix)]
    return entry["tolerance"][max(matching, key=len, default="default")]


def compare(entry, got, npz):
    """What is wrong with the arrays computed for a case, one line each; [] when nothing is."""
    want = {k for k in npz if k.startswith("out/")}
    bad = [f"{k}: not produced" for k in sorted(want - set(got))]
    bad += [f"{k}: not stored" for k in sorted(set(got) - want)]
    for k in sorted(want & set(got)):
        found, stored = np.asarray(got[k]), np.asarray(npz[k])
        if found.shape != stored.shape:
            bad.append(f"{k}: shape {found.shape} != {stored.shape}")
        elif stored.dtype.kind in "USbiu":
            if not _same(k, found, stored):
                bad.append(f"{k}: values or dtype differ ({found.dtype} vs {stored.dtype})")
        else:
            bad += _differences(entry, k, found, npz) + not_as_decided(entry, k, got, npz)
    return bad


def _same(k, found, stored):
    same = bool((found == stored).all()) and found.dtype.kind == stored.dtype.kind
    if same and stored.dtype.kind in "biu" and k.startswith("out/disk/"):
        return found.dtype == stored.dtype
    return same


def _differences(entry, k, found, npz):
    stored = npz[k]
    selected = np.ones(stored.shape, dtype=bool)
    where = entry.get("compare_where", {}).get(k)
    if where:
        selected = np.broadcast_to(npz[where].astype(bool), stored.shape)
    selected = selected & ~waived(entry, k, npz)
    if clip01(entry, k):
        stored = np.clip(stored, 0.0, 1.0)
    rtol, atol = tol_for(entry, k)
    g, w = found[selected].astype(np.float64), stored[selected].astype(np.float64)
    close = np.isclose(g, w, rtol=rtol, atol=atol, equal_nan=True)
    if close.all():
        return []
    return [
        f"{k}: {int((~close).sum())}/{close.size} off, "
        f"max abs {np.nanmax(np.abs(g - w)):.3g} (rtol {rtol}, atol {atol})"
    ]


def load_npz(path):
    """Every array of a file."""
    with np.load(path, allow_pickle=False) as z:
        return {k: z[k] for k in z.files}
