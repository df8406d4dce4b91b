// The table of environments x metrics: its rows, the difference of two runs, its summary.

import { mean } from "./scale.js";
import { sortRows } from "./sorting.js";

/** `{metrics, rows: [{env, cells: [{last, spark} | null]}]}` of an answer of /api/matrix. */
export function gridOf({ envs, metrics, cells }) {
  return { metrics, rows: envs.map((env, i) => ({ env, cells: cells[i] })) };
}

/**
 * Last values of `one` minus those of `other`, for all environments and metrics of either.
 *
 * A cell is null where one of the two has no value. Lines over time are left out: the two runs
 * were evaluated at different times.
 */
export function differenceGrid(one, other) {
  const metrics = union(one.metrics, other.metrics);
  const envs = union(one.rows.map(({ env }) => env), other.rows.map(({ env }) => env));
  const [first, second] = [valuesOf(one), valuesOf(other)];
  const cell = (env, metric) => {
    const [a, b] = [first.get(env)?.get(metric), second.get(env)?.get(metric)];
    const isBoth = Number.isFinite(a) && Number.isFinite(b);
    return isBoth ? { last: a - b, spark: [], of: [a, b] } : null;
  };
  return {
    metrics,
    rows: envs.map((env) => ({ env, cells: metrics.map((metric) => cell(env, metric)) })),
  };
}

function union(one, other) {
  return [...new Set([...one, ...other])];
}

function valuesOf({ metrics, rows }) {
  return new Map(rows.map(({ env, cells }) =>
    [env, new Map(metrics.map((metric, i) => [metric, cells[i]?.last]))]));
}

/** The mean over all environments of each metric: `[{last, spark}]`, `last` null without any. */
export function summaryCells({ metrics, rows }) {
  return metrics.map((_, i) => {
    const cells = rows.map(({ cells: all }) => all[i]).filter(Boolean);
    return { last: mean(cells.map(({ last }) => last)), spark: meanLine(cells) };
  });
}

/** Mean line of cells that were evaluated together; [] if their lines have different lengths. */
function meanLine(cells) {
  const lines = cells.map(({ spark }) => spark);
  const length = lines[0]?.length ?? 0;
  if (lines.some((line) => line.length !== length)) return [];
  return Array.from({ length }, (_, i) => mean(lines.map((line) => line[i])));
}

/** Rows whose environment has the text, sorted by metric number `column`; by name if it is -1. */
export function orderedRows(rows, { filter, column, isDescending }) {
  const wanted = filter.trim().toLowerCase();
  const found = rows.filter(({ env }) => env.toLowerCase().includes(wanted));
  const key = column < 0 ? ({ env }) => env : ({ cells }) => cells[column]?.last;
  return sortRows(found, key, isDescending);
}

/** Those of the run `ids` that returns are known of in two environments or more. */
export function withEnvironments(ids, metrics) {
  const returns = metrics.filter(({ title }) => title.startsWith("Average Total Return in "));
  return ids.filter((id) => returns.filter(({ runs }) => runs.includes(id)).length >= 2);
}

/** The full name of the metric in a cell. */
export function metricName(section, metric, env) {
  return `${section}/${metric} in ${env}`;
}
