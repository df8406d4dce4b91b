import assert from "node:assert/strict";
import { test } from "node:test";

import {
  compareAll, differs, flatten, highlight, isGroup, isMissing, searchRows, searchTree, valueText,
} from "../../../amago/dashboard/static/js/settings.js";

const CONFIG = {
  experiment: { batch_size: 24, run_name: "Cart Pole", wandb: { project: "p", entity: null } },
  gin: { "Agent.tau": 0.003, layers: [256, 256], empty: {} },
  device: "cpu",
};

test("a config is flattened to dotted names in its own order", () => {
  assert.deepEqual(flatten(CONFIG).map(({ key }) => key), [
    "experiment.batch_size", "experiment.run_name", "experiment.wandb.project",
    "experiment.wandb.entity", "gin.Agent.tau", "gin.layers", "gin.empty", "device",
  ]);
  assert.equal(isGroup([1]), false);
  assert.equal(isGroup(null), false);
});

test("values are shown as text or as JSON", () => {
  assert.equal(valueText("<b>"), "<b>");
  assert.equal(valueText(null), "null");
  assert.equal(valueText([1, { a: 2 }]), '[1,{"a":2}]');
  assert.equal(valueText(undefined), "");
});

test("a search finds keys and values, whatever their case, with the groups around them", () => {
  const paths = (nodes) =>
    nodes.flatMap((node) => (node.children ? paths(node.children) : [node.path]));
  assert.deepEqual(paths(searchTree(CONFIG, "BATCH")), ["experiment.batch_size"]);
  assert.deepEqual(paths(searchTree(CONFIG, "cart pole")), ["experiment.run_name"]);
  assert.deepEqual(paths(searchTree(CONFIG, "0.003")), ["gin.Agent.tau"]);
  assert.deepEqual(paths(searchTree(CONFIG, "nowhere")), []);
  assert.equal(paths(searchTree(CONFIG)).length, flatten(CONFIG).length);
});

test("a group whose name is found keeps everything in it", () => {
  const [experiment] = searchTree(CONFIG, "wandb");
  assert.equal(experiment.count, 2);
  assert.deepEqual(experiment.children[0].children.map((n) => n.name), ["project", "entity"]);
});

test("a comparison has every key, marks what differs, and says what is missing", () => {
  const rows = compareAll([{ a: 1, b: { c: [1] } }, { a: 1, b: { c: [2] }, d: null }]);
  assert.deepEqual(rows.map(({ key, differs: d }) => [key, d]), [
    ["a", false], ["b.c", true], ["d", true],
  ]);
  assert.ok(isMissing(rows[2].values[0]));
  assert.equal(rows[2].values[1], null);
  assert.equal(isMissing(null), false);
});

test("1 and true and '1' differ", () => {
  assert.ok(differs([1, "1"]));
  assert.ok(differs([1, true]));
  assert.ok(!differs([[1, 2], [1, 2]]));
});

test("a search of a comparison looks at the name and at every run's value", () => {
  const rows = compareAll([{ a: "left" }, { a: "right", b: 1 }]);
  assert.deepEqual(searchRows(rows, "RIGHT").map(({ key }) => key), ["a"]);
  assert.deepEqual(searchRows(rows, "missing"), []);
  assert.equal(searchRows(rows, "").length, 2);
});

test("every occurrence of a search is a piece of its own and nothing is lost", () => {
  const pieces = highlight("Aba aB", "ab");
  assert.deepEqual(pieces.filter((p) => p.hit).map((p) => p.text), ["Ab", "aB"]);
  for (const text of ["", "x", "İab", "aaaa", "<b>ab</b>"]) {
    assert.equal(highlight(text, "a").map((p) => p.text).join(""), text);
  }
  assert.deepEqual(highlight("abc", " "), [{ text: "abc", hit: false }]);
});
