import assert from "node:assert/strict";
import { test } from "node:test";

import { DEFAULTS, decode, encode } from "../../../amago/dashboard/static/js/view_state.js";

const HOSTILE = 'a&b=c,d~e#f%g "<script>" ‮gnp.txt \n 100 %00';
const VIEW = {
  runs: ["08c8afa34d5e", HOSTILE],
  tab: "overview",
  x: HOSTILE,
  smooth: 0.65,
  logy: true,
  search: "val/.*[",
  groupby: "experiment.seed",
  statistic: "iqm",
  band: "bootstrap",
  collapsed: ["train", HOSTILE],
  axes: { [HOSTILE]: "Epoch", "val/Return": HOSTILE },
  full: HOSTILE,
  theme: "dark",
  zoom: { [HOSTILE]: [-1.5, 2e9] },
};

test("a view comes back from its address as it was, whatever the names", () => {
  assert.deepEqual(decode(`#${encode(VIEW)}`), VIEW);
});

test("an address holds only what differs from the defaults", () => {
  assert.equal(encode(DEFAULTS), "");
  assert.equal(encode({ ...DEFAULTS, tab: "log", logy: true }), "tab=log&logy=1");
});

test("no selection and the selection of nothing are two things", () => {
  assert.equal(decode("").runs, null);
  assert.deepEqual(decode("#runs=").runs, []);
});

test("what an address says wrongly is left at its default", () => {
  const wrong =
    "#tab=nowhere&smooth=7&band=x&theme=&zoom=a~2:1,b~x:3&unknown=1&&=&axes=a~b~c&runs=%E0%A4";
  const view = decode(wrong);
  assert.equal(view.tab, "charts");
  assert.equal(view.smooth, 0);
  assert.equal(view.band, "std");
  assert.deepEqual(view.zoom, {});
  assert.deepEqual(view.axes, {});
  assert.deepEqual(view.runs, ["%E0%A4"]);
  assert.deepEqual(Object.keys(view), Object.keys(DEFAULTS));
});

test("a name that is no valid text does not break the address", () => {
  assert.equal(decode(encode({ ...DEFAULTS, search: "\ud800x" })).search, "\ufffdx");
});
