// What a chart draws, worked out from its series: the lines, the faint raw values behind smoothed
// ones, the bands, and the range of each axis. Pure: nothing here knows about the page.

import { smooth } from "./smoothing.js";

/** Relative difference of two numbers that a float32 can hardly tell apart. */
const FLOAT32_ROUNDING = 1e-6;

/**
 * One line as the callers give it. `x` ascends; `null` is a gap.
 * @typedef {{label: string, colour: string, dash?: number[], x: number[], y: (number|null)[],
 *            low?: (number|null)[]|null, high?: (number|null)[]|null}} Series
 */

/**
 * One line ready to be drawn. `raw`: what the smoothed `line` was made from.
 * @typedef {{label: string, colour: string, dash: number[], x: number[], line: (number|null)[],
 *            raw: (number|null)[]|null, low: (number|null)[]|null, high: (number|null)[]|null}}
 * Layer
 */

/**
 * @param {Series[]} series
 * @param {{smooth?: number, logy?: boolean}} options
 * @returns {Layer[]}
 */
export function layersOf(series, { smooth: weight = 0, logy = false }) {
  const usable = logy ? onlyPositive : (values) => values;
  return series.map(({ label, colour, dash = [], x, y, low = null, high = null }) => {
    const raw = usable(y);
    const isSmooth = weight > 0;
    return {
      label,
      colour,
      dash,
      x,
      line: isSmooth ? smooth(raw, weight) : raw,
      raw: isSmooth ? raw : null,
      low: low && usable(low),
      high: high && usable(high),
    };
  });
}

/** The smallest and largest x of all layers, or null if there is no point. */
export function extentOfX(layers) {
  const filled = layers.filter(({ x }) => x.length > 0);
  if (filled.length === 0) return null;
  return [
    Math.min(...filled.map(({ x }) => x[0])),
    Math.max(...filled.map(({ x }) => x[x.length - 1])),
  ];
}

/**
 * The smallest and largest value to be seen between two x positions, or null if there is none. A
 * smoothed chart is scaled to its lines and the middle 96 % of the raw values: an outlier that the
 * line ignores must not flatten it.
 */
export function extentOfY(layers, [low, high]) {
  let extent = null;
  for (const layer of layers) {
    const first = lowerBound(layer.x, low);
    const last = lowerBound(layer.x, high, true);
    extent = widened(extent, layer.line, first, last);
    if (layer.raw) extent = widened(extent, middle(layer.raw.slice(first, last)), 0, 2);
    else if (layer.low && layer.high) {
      extent = widened(extent, layer.low, first, last);
      extent = widened(extent, layer.high, first, last);
    }
  }
  return extent;
}

/**
 * `extent` with room on both sides: `fraction` of its size, or `alone` where it is a single value.
 * Never empty.
 */
export function padded([low, high], fraction, alone = Math.abs(low) * 0.1 || 1) {
  const room = high > low ? (high - low) * fraction : alone;
  return [low - room, high + room];
}

/** As `padded`, for measured values: what differs by rounding alone is drawn as one value. */
export function paddedValues([low, high], fraction) {
  const rounding = Math.max(Math.abs(low), Math.abs(high)) * FLOAT32_ROUNDING;
  const middle = (low + high) / 2;
  return padded(high - low > rounding ? [low, high] : [middle, middle], fraction);
}

/** As `padded`, for a logarithmic axis. */
export function paddedLog([low, high], fraction) {
  return padded([Math.log10(low), Math.log10(high)], fraction, 1).map((power) => 10 ** power);
}

/**
 * The index of the drawn point nearest to position `at`, or -1 if the layer has none or lies wholly
 * elsewhere.
 */
export function nearest(layer, at) {
  const { x, line } = layer;
  if (x.length === 0) return -1;
  const right = lowerBound(x, at);
  let before = right - 1;
  let after = right;
  while (before >= 0 && line[before] === null) before -= 1;
  while (after < x.length && line[after] === null) after += 1;
  if (before < 0) return after < x.length ? after : -1;
  if (after >= x.length) return before;
  return at - x[before] <= x[after] - at ? before : after;
}

/** How many values of the series a logarithmic axis cannot show. */
export function countNonPositive(series) {
  let found = 0;
  for (const { y } of series) for (const value of y) if (value !== null && value <= 0) found += 1;
  return found;
}

/** The first index whose x is >= `at` (or > `at` if `after`). */
function lowerBound(x, at, after = false) {
  let low = 0;
  let high = x.length;
  while (low < high) {
    const middleIndex = (low + high) >> 1;
    if (after ? x[middleIndex] <= at : x[middleIndex] < at) low = middleIndex + 1;
    else high = middleIndex;
  }
  return low;
}

function onlyPositive(values) {
  return values.map((value) => (value !== null && value > 0 ? value : null));
}

function widened(extent, values, first, last) {
  let [low, high] = extent ?? [Infinity, -Infinity];
  for (let index = first; index < last; index += 1) {
    const value = values[index];
    if (value === null || value === undefined) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}

function middle(values) {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  if (sorted.length === 0) return [null, null];
  const cut = Math.floor(sorted.length * 0.02);
  return [sorted[cut], sorted[sorted.length - 1 - cut]];
}
