import assert from "node:assert/strict";
import { test } from "node:test";

import {
  countNonPositive,
  extentOfX,
  extentOfY,
  layersOf,
  nearest,
  padded,
  paddedLog,
  paddedValues,
} from "../../../amago/dashboard/static/js/layers.js";
import { smooth } from "../../../amago/dashboard/static/js/smoothing.js";

const series = (y, more = {}) => ({ label: "a", colour: "red", x: y.map((_, i) => i), y, ...more });

test("smoothing leaves a constant as it is, from the first point on", () => {
  for (const value of smooth([3, 3, 3, 3], 0.9)) assert.ok(Math.abs(value - 3) < 1e-12);
});

test("smoothing is the debiased exponential average", () => {
  const [first, second] = smooth([1, 2], 0.5);
  assert.equal(first, 1);
  assert.ok(Math.abs(second - (0.25 * 1 + 0.5 * 2) / 0.75) < 1e-12);
});

test("gaps stay gaps and do not change the average", () => {
  const [first, gap, nan, next] = smooth([1, null, NaN, 2], 0.5);
  assert.deepEqual([first, gap, nan], [1, null, null]);
  assert.equal(next, smooth([1, 2], 0.5)[1]);
});

test("no smoothing gives the values themselves", () => {
  const values = [1, null, 5];
  assert.equal(smooth(values, 0), values);
});

test("a logarithmic chart drops what is not positive, and says how much that is", () => {
  const given = [series([-1, 0, 2, null])];
  assert.deepEqual(layersOf(given, { logy: true })[0].line, [null, null, 2, null]);
  assert.equal(countNonPositive(given), 2);
});

test("a smoothed line keeps its raw values behind it", () => {
  const [layer] = layersOf([series([0, 10])], { smooth: 0.5 });
  assert.deepEqual(layer.raw, [0, 10]);
  assert.notDeepEqual(layer.line, layer.raw);
  assert.equal(layersOf([series([0, 10])], {})[0].raw, null);
});

test("the axes show what lies in the window, bands included", () => {
  const band = { low: [0, 0, -5, 0], high: [1, 9, 5, 100] };
  const layers = layersOf([series([1, 2, 3, 4], band)], {});
  assert.deepEqual(extentOfX(layers), [0, 3]);
  assert.deepEqual(extentOfY(layers, [0, 2]), [-5, 9]);
  assert.deepEqual(extentOfY(layers, [0, 3]), [-5, 100]);
  assert.equal(extentOfY(layers, [7, 9]), null);
  assert.equal(extentOfX([]), null);
});

test("one outlier does not flatten a smoothed chart", () => {
  const values = Array.from({ length: 200 }, (_, i) => (i === 100 ? 100 : 1));
  const layers = layersOf([series(values)], { smooth: 0.99 });
  assert.ok(extentOfY(layers, [0, 199])[1] < 5);
});

test("an axis is never empty", () => {
  for (const value of [0, 5, -2e9]) {
    const [low, high] = padded([value, value], 0.1);
    assert.ok(low < value && value < high);
  }
  const [low, high] = paddedLog([10, 10], 0.1);
  assert.ok(low > 0 && low < 10 && high > 10);
});

test("rounding is not drawn as if it were a change", () => {
  const [low, high] = paddedValues([1 - 1e-7, 1 + 1e-7], 0.1);
  assert.ok(high - low > 0.1);
  const [below, above] = paddedValues([0.999, 1], 0.1);
  assert.ok(above - below < 0.01);
});

test("the nearest point is one that is drawn", () => {
  const [layer] = layersOf([{ ...series([1, null, 3, 4]), x: [0, 10, 20, 30] }], {});
  assert.equal(nearest(layer, 4), 0);
  assert.equal(nearest(layer, 12), 2);
  assert.equal(nearest(layer, 99), 3);
  assert.equal(nearest(layersOf([series([])], {})[0], 1), -1);
  assert.equal(nearest(layersOf([series([null])], {})[0], 1), -1);
});
