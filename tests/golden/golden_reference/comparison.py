"""Run a case, and say where its numbers are off."""

import fnmatch
import json
from pathlib import Path

import numpy as np

from amago.core import config as amago_config
from golden_reference.common import RUNNERS, apply_config

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = json.loads((VECTORS / "manifest.json").read_text())["cases"]
WAIVERS = json.loads((VECTORS / "waivers.json").read_text())
"""Differences that were decided on: which arrays, and what stands there instead."""


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


def waivers_of(entry, k):
    """The waivers that touch an array of a case."""
    return [
        w
        for w in WAIVERS
        if fnmatch.fnmatch(entry["name"], w["case"]) and fnmatch.fnmatch(k, w["array"])
    ]


def clip01(entry, k):
    """Whether the stored array is to be clipped to [0, 1] first."""
    return any(w["mode"] == "clip01" for w in waivers_of(entry, k))


def waived(entry, k, npz):
    """Boolean array like the stored one: true where a waiver says not to compare."""
    want = npz[k]
    out = np.zeros(want.shape, dtype=bool)
    for w in waivers_of(entry, k):
        if w["mode"] == "nan":
            out |= np.isnan(want)
        elif w["mode"] == "zero_rows" and want.ndim:
            out |= (want == 0).all(-1, keepdims=True)
        elif w["mode"] == "ignore" and "entry" in w:
            out |= npz[k[: -len("values")] + "names"] == w["entry"]
        elif w["mode"] == "ignore":
            out[...] = True
    return out


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
            bad += _differences(entry, k, found, npz)
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
