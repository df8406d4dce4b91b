// Histograms over training time on one grid: columns are times, rows are bins of the value.

import { extent } from "./scale.js";

const MOST_ROWS = 96;

/** `[{low, high, count}]` of a recorded histogram, without bins whose edges are not finite. */
export function binsOf({ counts, edges }) {
  const bins = counts.map((count, i) => ({
    low: edges[i], high: edges[i + 1], count: Number.isFinite(count) ? count : 0,
  }));
  return bins.filter(({ low, high }) => Number.isFinite(low) && Number.isFinite(high));
}

/**
 * Edges that all histograms can be drawn on: their own where they share them, else an even grid
 * from the lowest to the highest. Empty without a bin.
 */
export function commonEdges(histograms) {
  const [first, ...others] = histograms;
  if (!first) return [];
  const own = JSON.stringify(first.edges);
  const isFinite = first.edges.every((edge) => Number.isFinite(edge));
  if (isFinite && others.every(({ edges }) => JSON.stringify(edges) === own)) return first.edges;
  const range = extent(histograms.flatMap(({ edges }) => edges));
  if (range === null) return [];
  const rows = Math.min(MOST_ROWS, Math.max(...histograms.map(({ counts }) => counts.length)));
  const width = (range.high - range.low || 1) / rows;
  return Array.from({ length: rows + 1 }, (_, i) => range.low + i * width);
}

/** The counts of `histogram` on `edges`; a bin across several is shared out by its overlap. */
export function rebin(histogram, edges) {
  if (JSON.stringify(histogram.edges) === JSON.stringify(edges)) {
    return histogram.counts.map((count) => (Number.isFinite(count) ? count : 0));
  }
  const counts = new Array(Math.max(0, edges.length - 1)).fill(0);
  for (const { low, high, count } of binsOf(histogram)) {
    for (let i = 0; i < counts.length; i += 1) {
      counts[i] += count * overlap(low, high, edges[i], edges[i + 1], i === counts.length - 1);
    }
  }
  return counts;
}

function overlap(low, high, from, to, isLast) {
  if (high <= low) return low >= from && (low < to || (isLast && low <= to)) ? 1 : 0;
  return Math.max(0, Math.min(high, to) - Math.max(low, from)) / (high - low);
}

/**
 * What a heat map of `values = [{x, value: {counts, edges}}]` draws.
 *
 * Returns `{edges, columns: [{x, counts, shares}]}`, ordered by x; `shares` are of the column's
 * sum, so that a step with few samples looks like one with many.
 */
export function heatMap(values, edges = commonEdges(values.map(({ value }) => value))) {
  const columns = [...values]
    .sort((a, b) => a.x - b.x)
    .map(({ x, value }) => {
      const counts = rebin(value, edges);
      const sum = counts.reduce((total, count) => total + count, 0);
      return { x, counts, shares: counts.map((count) => (sum > 0 ? count / sum : 0)) };
    });
  return { edges, columns };
}

/** Left and right border of each column: half-way to its neighbours. `[{left, right}]` */
export function columnBorders(xs) {
  if (xs.length === 1) return [{ left: xs[0] - 0.5, right: xs[0] + 0.5 }];
  const middle = (i) => (xs[i] + xs[i + 1]) / 2;
  return xs.map((x, i) => ({
    left: i > 0 ? middle(i - 1) : x - (middle(0) - x),
    right: i < xs.length - 1 ? middle(i) : x + (x - middle(i - 1)),
  }));
}

/** Index of the interval `borders[i] <= at <= borders[i + 1]`; -1 outside. */
export function intervalAt(borders, at) {
  if (!(at >= borders[0] && at <= borders[borders.length - 1])) return -1;
  let low = 0;
  let high = borders.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (borders[middle] <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}
