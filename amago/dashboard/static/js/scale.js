// From values to positions: heat of a table, bars, lines in a cell, marks of an axis.

import { number } from "./format.js";

/** Smallest and largest finite value: `{low, high}`; null if there is none. */
export function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? { low, high } : null;
}

/**
 * The heat of a table's column: from its smallest value (0) to its largest (1).
 *
 * With `isDifference` zero is the middle (0.5), so that better and worse have a side each.
 * Returns `{low, high, fraction(value)}`; null if no value is finite. Where all are equal there is no
 * heat: `fraction` is null.
 */
export function heatScale(values, isDifference = false) {
  const range = extent(values);
  if (range === null) return null;
  const reach = Math.max(Math.abs(range.low), Math.abs(range.high));
  const { low, high } = isDifference ? { low: -reach, high: reach } : range;
  const fraction = (value) =>
    Number.isFinite(value) && high > low ? (value - low) / (high - low) : null;
  return { low, high, fraction };
}

/** Mean of the finite values; null if there is none. */
export function mean(values) {
  const finite = values.filter((value) => Number.isFinite(value));
  return finite.length ? finite.reduce((sum, value) => sum + value, 0) / finite.length : null;
}

/** The path of a line through `values` in a box; a value that is not finite breaks the line. */
export function sparkPath(values, width, height) {
  const range = extent(values);
  if (range === null) return "";
  const span = range.high - range.low;
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  let path = "";
  let isDrawing = false;
  values.forEach((value, index) => {
    if (!Number.isFinite(value)) {
      isDrawing = false;
      return;
    }
    const y = span > 0 ? height * (1 - (value - range.low) / span) : height / 2;
    path += `${isDrawing ? "L" : "M"}${round(index * step)} ${round(y)}`;
    isDrawing = true;
  });
  return path;
}

function round(value) {
  return Math.round(value * 100) / 100;
}

/**
 * Where a bar stands in a track from 0 to 1: `{start, length}`; null if the value is not finite.
 *
 * The track always holds zero, from which every bar begins: bars may be compared by length.
 */
export function barPlace(value, range) {
  if (!Number.isFinite(value) || range === null) return null;
  const low = Math.min(0, range.low);
  const high = Math.max(0, range.high);
  if (high === low) return { start: 0, length: 0 };
  const start = (Math.min(value, 0) - low) / (high - low);
  return { start, length: Math.abs(value) / (high - low) };
}

/** About `count` round numbers that span `low` to `high`, for the marks of an axis. */
export function ticks(low, high, count = 4) {
  if (!(high > low)) return [low];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const marks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) {
    marks.push(Number((i * step).toPrecision(12)));
  }
  return marks;
}

/** A value in little room: four significant digits, or as many as said. */
export function short(value, digits = 4) {
  return number(Number.isFinite(value) ? Number(value.toPrecision(digits)) : value);
}

/** A difference in little room: with its sign. */
export function signed(value) {
  return value > 0 ? `+${short(value)}` : short(value);
}
