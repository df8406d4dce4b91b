import assert from "node:assert/strict";
import { test } from "node:test";

import {
  chosenFamily, choices, labelled, panelsOf, titleText, valueAxis,
} from "../../../amago/dashboard/static/js/attempt_lines.js";
import {
  differenceGrid, gridOf, metricName, orderedRows, summaryCells, withEnvironments,
} from "../../../amago/dashboard/static/js/matrix_rows.js";
import { familyOf, lastFinite } from "../../../amago/dashboard/static/js/single_values.js";
import { positions, valueAt } from "../../../amago/dashboard/static/js/steps.js";

const cell = (last, spark = []) => ({ last, spark });
const GRID = gridOf({
  envs: ["task-10", "task-2", "<b>"],
  metrics: ["Average Total Return", "Average Trial 0 Success"],
  cells: [
    [cell(5, [1, 5]), cell(0.5)],
    [cell(9, [3, 9]), null],
    [cell(null, [2, null]), cell(1)],
  ],
});
const DEFAULT = { filter: "", column: -1, isDescending: false };

test("the matrix is sorted by name first, numbers in names by size", () => {
  const names = orderedRows(GRID.rows, DEFAULT).map(({ env }) => env);
  assert.deepEqual(names, ["<b>", "task-2", "task-10"]);
});

test("the matrix is sorted by any column; environments without a value come last", () => {
  const by = (column, isDescending) =>
    orderedRows(GRID.rows, { ...DEFAULT, column, isDescending }).map(({ env }) => env);
  assert.deepEqual(by(0, true), ["task-2", "task-10", "<b>"]);
  assert.deepEqual(by(0, false), ["task-10", "task-2", "<b>"]);
  assert.deepEqual(by(1, true), ["<b>", "task-10", "task-2"]);
});

test("the filter of the matrix looks for plain text in the name", () => {
  const found = (filter) => orderedRows(GRID.rows, { ...DEFAULT, filter }).map(({ env }) => env);
  assert.deepEqual(found("TASK-1"), ["task-10"]);
  assert.deepEqual(found("<B>"), ["<b>"]);
  assert.deepEqual(found(".*"), []);
});

test("the summary is the mean over environments with a value", () => {
  const [returns, successes] = summaryCells(GRID);
  assert.equal(returns.last, 7);
  assert.deepEqual(returns.spark, [2, 7]);
  assert.equal(successes.last, 0.75);
});

test("lines of different lengths have no mean line", () => {
  const grid = { metrics: ["m"], rows: [{ cells: [cell(1, [1, 2])] }, { cells: [cell(2, [1])] }] };
  assert.deepEqual(summaryCells(grid), [{ last: 1.5, spark: [] }]);
  assert.deepEqual(summaryCells({ metrics: ["m"], rows: [] }), [{ last: null, spark: [] }]);
});

test("a difference has a value only where both runs have one", () => {
  const other = gridOf({
    envs: ["task-2", "new"], metrics: ["Average Total Return"], cells: [[cell(4)], [cell(1)]],
  });
  const { metrics, rows } = differenceGrid(GRID, other);
  assert.deepEqual(metrics, GRID.metrics);
  assert.deepEqual(rows.map(({ env }) => env), ["task-10", "task-2", "<b>", "new"]);
  assert.deepEqual(rows.map(({ cells }) => cells[0]?.last ?? null), [null, 5, null, null]);
  assert.deepEqual(rows[1].cells[0].of, [9, 4]);
  assert.equal(rows[1].cells[1], null);
});

test("names such as __proto__ are names like any other", () => {
  const grid = gridOf({ envs: ["__proto__"], metrics: ["constructor"], cells: [[cell(1)]] });
  assert.deepEqual(differenceGrid(grid, grid).rows[0].cells[0].last, 0);
  assert.equal(metricName("val", "Average Total Return", "a in b"), "val/Average Total Return in a in b");
});

test("only runs with returns in several environments have a matrix", () => {
  const metrics = [
    { title: "Average Total Return in a", runs: ["many", "one"] },
    { title: "Average Total Return in b", runs: ["many"] },
    { title: "Average Total Return (Across All Env Names)", runs: ["many", "one", "none"] },
  ];
  assert.deepEqual(withEnvironments(["one", "many", "none"], metrics), ["many"]);
});

const FAMILIES = [
  { title: "Trial {i} Success", env: null, attempts: [0, 1], lines: [] },
  { title: "Trial {i} Success", env: "push", attempts: [0, 1], lines: [] },
  { title: "Total Return {i}", env: "push", attempts: [0, 1], lines: [] },
];

test("the choices by attempt are the titles, each with its environments", () => {
  assert.deepEqual(choices(FAMILIES), [
    { title: "Trial {i} Success", envs: [null, "push"] },
    { title: "Total Return {i}", envs: ["push"] },
  ]);
  assert.equal(titleText("Trial {i} Success"), "Trial Success");
  assert.equal(titleText("{i}"), "Value");
});

test("the mean is chosen first, and the nearest family if the chosen one is gone", () => {
  assert.equal(chosenFamily(FAMILIES, null, null), FAMILIES[0]);
  assert.equal(chosenFamily(FAMILIES, "Trial {i} Success", "push"), FAMILIES[1]);
  assert.equal(chosenFamily(FAMILIES, "Trial {i} Success", "gone"), FAMILIES[0]);
  assert.equal(chosenFamily(FAMILIES, "Total Return {i}", null), FAMILIES[2]);
  assert.equal(chosenFamily(FAMILIES, "gone", "push"), FAMILIES[1]);
  assert.equal(chosenFamily([], null, null), null);
});

test("lines are as strong as they are late, for each run on its own", () => {
  const lines = [
    { run: "a", x: 20, y: [1] }, { run: "a", x: 0, y: [0] }, { run: "a", x: 10, y: [0] },
    { run: "b", x: 5, y: [3] },
  ];
  const [a, b] = panelsOf({ lines });
  assert.deepEqual(a.lines.map(({ x, strength }) => [x, strength]), [[0, 0], [10, 0.5], [20, 1]]);
  assert.deepEqual(b.lines.map(({ strength }) => strength), [1]);
});

test("shares are drawn from 0 to 1, other values from zero to a round number", () => {
  const of = (...y) => valueAxis({ lines: [{ y }] });
  assert.deepEqual([of(0.2, 0.4).low, of(0.2, 0.4).high], [0, 1]);
  const returns = of(120, 980, null);
  assert.deepEqual([returns.low, returns.high], [0, 1000]);
  const losses = of(-47, -3);
  assert.ok(losses.low <= -47 && losses.high === 0);
  assert.ok(of(0, 0).high > of(0, 0).low);
  assert.equal(of(null).high, 1);
});

test("all of a few attempts are labelled, and some of many", () => {
  assert.deepEqual(labelled(3), [0, 1, 2]);
  assert.deepEqual(labelled(20), [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
  assert.ok(labelled(100_000).length <= 12);
});

test("metrics that differ in the environment are of one family", () => {
  assert.equal(familyOf("Average Total Return in push"), "Average Total Return");
  assert.equal(familyOf("Average Total Return (Across All Env Names)"), "Average Total Return");
  assert.equal(familyOf("Env FPS"), "Env FPS");
});

test("the value of a run is its last finite one", () => {
  assert.equal(lastFinite([1, 2, null]), 2);
  assert.equal(lastFinite([null, NaN]), null);
  assert.equal(lastFinite([]), null);
});

test("a slider stops at every time of any run, once", () => {
  const runs = [{ values: [{ x: 1 }, { x: 5 }] }, { values: [{ x: 0 }, { x: 5 }, { x: null }] }];
  assert.deepEqual(positions(runs), [0, 1, 5]);
  assert.deepEqual(positions([]), []);
});

test("a slider shows the last value up to its place", () => {
  const values = [{ x: 1, value: "a" }, { x: 5, value: "b" }, { x: 5, value: "c" }];
  assert.equal(valueAt(values, 0), null);
  assert.equal(valueAt(values, 4).value, "a");
  assert.equal(valueAt(values, 5).value, "c");
});
