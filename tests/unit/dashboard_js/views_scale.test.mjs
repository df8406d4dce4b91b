import assert from "node:assert/strict";
import { test } from "node:test";

import {
  binsOf, columnBorders, commonEdges, heatMap, intervalAt, rebin,
} from "../../../amago/dashboard/static/js/bins.js";
import {
  barPlace, extent, heatScale, mean, short, signed, sparkPath, ticks,
} from "../../../amago/dashboard/static/js/scale.js";

test("the extent leaves out what is not finite", () => {
  assert.deepEqual(extent([3, null, NaN, -1, Infinity]), { low: -1, high: 3 });
  assert.equal(extent([null, NaN]), null);
});

test("heat runs from the smallest to the largest value of its column", () => {
  const scale = heatScale([10, 20, null, 15]);
  assert.deepEqual([10, 15, 20, null].map(scale.fraction), [0, 0.5, 1, null]);
});

test("a column of equal values has the heat of the middle", () => {
  assert.equal(heatScale([7, 7]).fraction(7), null); // nothing to tell apart
  assert.equal(heatScale([null]), null);
});

test("no difference is the middle of a scale of differences", () => {
  const scale = heatScale([-1, 4], true);
  assert.equal(scale.fraction(0), 0.5);
  assert.equal(scale.fraction(4), 1);
  assert.equal(scale.fraction(-1), 0.375);
  assert.deepEqual([scale.low, scale.high], [-4, 4]);
});

test("the mean leaves out environments without a value", () => {
  assert.equal(mean([1, null, 3]), 2);
  assert.equal(mean([null]), null);
  assert.equal(mean([]), null);
});

test("a small line fills its box and breaks where a value is missing", () => {
  assert.equal(sparkPath([0, 1], 10, 4), "M0 4L10 0");
  assert.equal(sparkPath([0, null, 1], 10, 4), "M0 4M10 0");
  assert.equal(sparkPath([5, 5], 10, 4), "M0 2L10 2");
  assert.equal(sparkPath([null], 10, 4), "");
  assert.equal(sparkPath([3], 10, 4), "M0 2");
});

test("bars begin at zero and may be compared by length", () => {
  assert.deepEqual(barPlace(5, { low: 4, high: 10 }), { start: 0, length: 0.5 });
  assert.deepEqual(barPlace(-1, { low: -1, high: 3 }), { start: 0, length: 0.25 });
  assert.deepEqual(barPlace(3, { low: -1, high: 3 }), { start: 0.25, length: 0.75 });
  assert.deepEqual(barPlace(-2, { low: -4, high: -2 }), { start: 0.5, length: 0.5 });
  assert.deepEqual(barPlace(0, { low: 0, high: 0 }), { start: 0, length: 0 });
  assert.equal(barPlace(null, { low: 0, high: 1 }), null);
  assert.equal(barPlace(1, null), null);
});

test("marks of an axis are round and inside it", () => {
  assert.deepEqual(ticks(0, 1), [0, 0.5, 1]);
  assert.deepEqual(ticks(0, 100, 5), [0, 20, 40, 60, 80, 100]);
  assert.deepEqual(ticks(3, 3), [3]);
  for (const [low, high] of [[-3.7, 12.9], [1e-7, 3e-7], [0, 1e9], [-5, -4.9]]) {
    const marks = ticks(low, high);
    assert.ok(marks.length >= 2 && marks.length <= 6, `${marks}`);
    const slack = 1e-6 * (high - low);
    assert.ok(marks.every((mark) => mark >= low - slack && mark <= high + slack), `${marks}`);
  }
});

const HISTOGRAM = { counts: [1, 3], edges: [0, 1, 2] };

test("bins without a finite border are left out", () => {
  const bins = binsOf({ counts: [1, 2, 3], edges: [null, 0, 1, Infinity] });
  assert.deepEqual(bins, [{ low: 0, high: 1, count: 2 }]);
});

test("histograms that share their edges are drawn on them", () => {
  assert.deepEqual(commonEdges([HISTOGRAM, { ...HISTOGRAM }]), [0, 1, 2]);
  assert.deepEqual(rebin(HISTOGRAM, [0, 1, 2]), [1, 3]);
  assert.deepEqual(commonEdges([]), []);
  assert.deepEqual(commonEdges([{ counts: [1], edges: [null, null] }]), []);
});

test("histograms with edges of their own share an even grid that keeps every count", () => {
  const other = { counts: [4, 4], edges: [-2, 0, 2] };
  const edges = commonEdges([HISTOGRAM, other]);
  assert.deepEqual(edges, [-2, 0, 2]);
  assert.deepEqual(rebin(HISTOGRAM, edges), [0, 4]);
  const finer = rebin(other, [-2, -1, 0, 1, 2]);
  assert.deepEqual(finer, [2, 2, 2, 2]);
});

test("a bin of no width counts where it stands, also at the very top", () => {
  assert.deepEqual(rebin({ counts: [2], edges: [1, 1] }, [0, 1, 2]), [0, 2]);
  assert.deepEqual(rebin({ counts: [2], edges: [2, 2] }, [0, 1, 2]), [0, 2]);
  assert.equal(commonEdges([{ counts: [2], edges: [1, 1] }, HISTOGRAM]).length, 3);
});

test("a heat map has its columns in the order of x and shares of each column", () => {
  const { columns } = heatMap([
    { x: 5, value: HISTOGRAM },
    { x: 2, value: { counts: [0, 0], edges: [0, 1, 2] } },
  ]);
  assert.deepEqual(columns.map((column) => column.x), [2, 5]);
  assert.deepEqual(columns[0].shares, [0, 0]);
  assert.deepEqual(columns[1].shares, [0.25, 0.75]);
});

test("columns meet half-way between their times", () => {
  assert.deepEqual(columnBorders([0, 2, 6]), [
    { left: -1, right: 1 }, { left: 1, right: 4 }, { left: 4, right: 8 },
  ]);
  assert.deepEqual(columnBorders([3]), [{ left: 2.5, right: 3.5 }]);
});

test("a position is found in its interval, and outside there is none", () => {
  const borders = [0, 1, 4, 9];
  assert.deepEqual([0, 0.5, 1, 3.9, 9].map((at) => intervalAt(borders, at)), [0, 0, 1, 1, 2]);
  assert.deepEqual([-0.1, 9.1, NaN].map((at) => intervalAt(borders, at)), [-1, -1, -1]);
});

test("values in little room keep four digits, and differences their sign", () => {
  assert.deepEqual([3728.19, 0.621172, null, 0].map((value) => short(value)), ["3,728", "0.6212", "–", "0"]);
  assert.equal(short(0.621172, 2), "0.62");
  assert.deepEqual([1.5, -1.5, 0, null].map(signed), ["+1.5", "-1.5", "0", "–"]);
});
