import assert from "node:assert/strict";
import { test } from "node:test";

import { axisNote, currentAxis, matchingAxes } from "../../../amago/dashboard/static/js/axes.js";
import { assignColours, colourOf, dashOf } from "../../../amago/dashboard/static/js/colours.js";
import { groupsOf } from "../../../amago/dashboard/static/js/grouping.js";
import { firstSelection, labelsOf, listed } from "../../../amago/dashboard/static/js/run_order.js";
import { compile } from "../../../amago/dashboard/static/js/search.js";

const run = (id, more = {}) => ({
  id,
  name: id,
  group: null,
  folder: `runs/${id}`,
  status: "finished",
  started: 0,
  updated: 0,
  frames: null,
  last_return: null,
  error: null,
  ...more,
});
const ids = (runs) => runs.map(({ id }) => id);

test("the list is sorted as asked, and what has no value comes last", () => {
  const runs = [
    run("a", { started: 1, last_return: 5 }),
    run("b", { started: 3 }),
    run("c", { started: 2, last_return: 9 }),
  ];
  assert.deepEqual(ids(listed(runs, "", "newest").runs), ["b", "c", "a"]);
  assert.deepEqual(ids(listed(runs, "", "return").runs), ["c", "a", "b"]);
  assert.deepEqual(ids(listed([run("seed-10"), run("seed-2")], "", "name").runs), [
    "seed-2",
    "seed-10",
  ]);
});

test("the filter looks at name, group and folder", () => {
  const runs = [run("a", { group: "Transformer" }), run("b"), run("c", { folder: "old/c" })];
  assert.deepEqual(ids(listed(runs, "transf", "name").runs), ["a"]);
  assert.deepEqual(ids(listed(runs, "^old|^b$", "name").runs), ["b", "c"]);
});

test("an invalid pattern shows all runs and says what is wrong", () => {
  const { runs, error } = listed([run("a")], "(", "name");
  assert.deepEqual(ids(runs), ["a"]);
  assert.match(error, /not a valid pattern/);
});

test("a first visit shows what runs now, else the newest run that can be read", () => {
  const old = run("old", { started: 1 });
  const last = run("last", { started: 2 });
  const broken = run("broken", { started: 9, error: "not JSON" });
  assert.deepEqual(firstSelection([old, last, broken]), ["last"]);
  assert.deepEqual(firstSelection([old, last, run("live", { status: "running" })]), ["live"]);
  assert.deepEqual(firstSelection([]), []);
});

test("runs of the same name are told apart by their folder", () => {
  const labels = labelsOf([
    run("1", { name: "a" }),
    run("2", { name: "a" }),
    run("3", { name: "b" }),
  ]);
  assert.deepEqual([...labels.values()], ["a (runs/1)", "a (runs/2)", "b"]);
});

test("runs are grouped by name or by a setting", () => {
  const runs = [run("a", { group: "g" }), run("b"), run("c", { group: "g" })];
  assert.deepEqual(groupsOf(runs, "group", []), [
    { label: "g", runs: ["a", "c"] },
    { label: "no group", runs: ["b"] },
  ]);
  const rows = [{ key: "agent.lr", values: [0.1, { missing: true }, 0.1] }];
  assert.deepEqual(groupsOf(runs, "agent.lr", rows), [
    { label: "lr = 0.1", runs: ["a", "c"] },
    { label: "lr = not set", runs: ["b"] },
  ]);
  assert.equal(groupsOf(runs, "no.such.key", rows), null);
});

test("every selected run has its own colour, and keeps it while others come and go", () => {
  const many = Array.from({ length: 12 }, (_, i) => `run-${i}`);
  assignColours(many);
  const looks = many.map((id) => `${colourOf(id)} ${dashOf(id)}`);
  assert.equal(new Set(looks).size, 12);
  assignColours(["run-3", "new", "run-5"]);
  assert.equal(colourOf("run-3"), looks[3].split(" ")[0]);
  assert.equal(colourOf("new"), "var(--series-0)");
});

test("the runs of a group have the colour of the group", () => {
  assignColours(
    ["group:g"],
    new Map([
      ["a", "group:g"],
      ["b", "group:g"],
    ]),
  );
  assert.equal(colourOf("a"), colourOf("group:g"));
  assert.equal(colourOf("b"), colourOf("group:g"));
});

test("a typed axis is found by its words, best match first", () => {
  const axes = ["Wall Time", "total_frames", "total_frames-cart pole", "Epoch", "cart_frames"];
  assert.deepEqual(matchingAxes(axes, ""), axes);
  assert.deepEqual(matchingAxes(axes, "POLE cart"), ["total_frames-cart pole"]);
  assert.deepEqual(matchingAxes(axes, "cart"), ["cart_frames", "total_frames-cart pole"]);
  assert.deepEqual(matchingAxes(axes, "zzz"), []);
  assert.match(axisNote("Step"), /rarely useful/);
});

test("without a choice the axis is the one of the runs", () => {
  assert.equal(currentAxis("", { default_axis: "gradient_steps" }), "gradient_steps");
  assert.equal(currentAxis("Epoch", { default_axis: "gradient_steps" }), "Epoch");
  assert.equal(currentAxis("", null), "total_frames");
});

test("a search is a regular expression that ignores letter case", () => {
  assert.ok(compile("loss$").matches("train/Critic LOSS"));
  assert.ok(!compile("^loss").matches("train/Critic Loss"));
  assert.ok(compile("a]").matches("[a]"));
  assert.ok(compile("  ").matches("anything"));
  assert.equal(compile("(").matches, null);
});
