import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ago,
  axisValue,
  bytes,
  count,
  date,
  duration,
  logTicks,
  number,
  ticks,
  timeTicks,
} from "../../../amago/dashboard/static/js/format.js";

const NOON = new Date(2025, 2, 1, 12, 0, 0).getTime() / 1000;

test("numbers keep five digits and go over to powers of ten when they have to", () => {
  const written = [0, 1234567, 0.123456789, -3.5, 1.5e-7, 123456789, null, NaN, Infinity, "text"];
  assert.deepEqual(written.map(number), [
    "0",
    "1,234,567",
    "0.12346",
    "-3.5",
    "1.5e-7",
    "1.235e+8",
    "–",
    "–",
    "∞",
    "text",
  ]);
});

test("counts are short", () => {
  assert.deepEqual([0, 950, 1200, 3_456_789, 2e9, null].map(count), [
    "0",
    "950",
    "1.2k",
    "3.46M",
    "2G",
    "–",
  ]);
});

test("sizes are in binary units", () => {
  assert.deepEqual([0, 512, 1536, 20 * 1024 ** 2, null].map(bytes), [
    "0 B",
    "512 B",
    "1.5 KiB",
    "20 MiB",
    "–",
  ]);
});

test("lengths of time have two units", () => {
  assert.deepEqual([0, 0.25, 59, 90, 3600, 12_000, 190_000, null].map(duration), [
    "0 s",
    "0.25 s",
    "59 s",
    "1 min 30 s",
    "1 h",
    "3 h 20 min",
    "2 d 4 h",
    "–",
  ]);
});

test("ages are counted from the given clock", () => {
  assert.deepEqual(
    [NOON, NOON - 40, NOON - 400, NOON - 9000, NOON - 4e5].map((time) => ago(time, NOON)),
    ["just now", "40 s ago", "6 min ago", "2 h ago", "4 d ago"],
  );
});

test("positions are written as their axis means them", () => {
  assert.equal(axisValue("Wall Time", NOON), "2025-03-01 12:00:00");
  assert.equal(axisValue("Process Time", 90), "1 min 30 s");
  assert.equal(axisValue("total_frames", 1_200_000), "1,200,000");
  assert.equal(date(null), "–");
});

test("ticks are told apart and written in units", () => {
  assert.deepEqual(ticks([0, 0.25, 0.5], 0.25), ["0", "0.25", "0.5"]);
  assert.deepEqual(ticks([0, 500_000, 1_000_000, 1_500_000], 500_000), ["0", "500k", "1M", "1.5M"]);
  assert.deepEqual(ticks([0, 2e-5, null], 2e-5), ["0", "2e-5", null]);
});

test("a logarithmic axis names its powers of ten, and all ticks if there is only one", () => {
  assert.deepEqual(logTicks([5e-4, 1e-3, 2e-3, 0.01]), [null, "0.001", null, "0.01"]);
  assert.deepEqual(logTicks([200, 500, null]), ["200", "500", null]);
});

test("a time axis says the day where it begins", () => {
  const hour = 3600;
  const midnight = NOON + 12 * hour;
  assert.deepEqual(timeTicks([midnight - hour, midnight, midnight + hour], hour), [
    "23:00\nMar 1",
    "00:00\nMar 2",
    "01:00",
  ]);
});
