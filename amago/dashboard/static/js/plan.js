// From what is selected to what a chart asks for and draws.

import { currentAxis } from "./axes.js";
import { colourOf, dashOf } from "./colours.js";

/** A chart in the grid, and one that fills the window: points asked for of each line. */
export const POINTS = 500;
export const POINTS_FULL = 2000;

/** The name under which a group of runs has its colour. */
export const groupKey = (label) => `group:${label}`;

/** The ids of the selected runs that are there and can be read. */
export function selectedIds({ state, runs }) {
  return (state.get("runs") ?? []).filter((id) => runs.has(id) && !runs.get(id).error);
}

/** The axis of a metric's chart: its own if one was chosen for it, else the page's. */
export function axisOf({ state, catalogue }, metric) {
  return currentAxis(state.get("axes")[metric.name] || state.get("x"), catalogue);
}

/**
 * What the chart of a metric has to fetch (see `Wanted` in lines.js).
 * @param {{state: any, runs: Map, catalogue: any, groups: any[] | null}} context
 * @param {{name: string, runs: string[]}} metric
 */
export function wantedFor(context, metric, points = POINTS) {
  const { state } = context;
  const axis = axisOf(context, metric);
  const has = new Set(metric.runs);
  const groups = context.groups
    ?.map(({ label, runs }) => ({ label, runs: runs.filter((id) => has.has(id)) }))
    .filter(({ runs }) => runs.length > 0);
  return {
    metric: metric.name,
    runs: selectedIds(context).filter((id) => has.has(id)),
    groups: groups ?? null,
    statistic: state.get("statistic"),
    band: state.get("band"),
    axis,
    range: state.get("zoom")[axis] ?? null,
    points,
  };
}

/**
 * The fetched lines as a chart's series: with the name, colour and dashes of their run or group.
 */
export function seriesFor({ labels, groups }, lines) {
  return lines.map(({ run, group, x, y, low, high }) => {
    const id = group === undefined ? run : groupKey(group);
    const size = groups?.find(({ label }) => label === group)?.runs.length;
    const label = group === undefined ? (labels.get(run) ?? run) : `${group} (${size ?? 0} runs)`;
    return { label, colour: colourOf(id), dash: dashOf(id), x, y, low, high };
  });
}

/** The chart settings that follow from the view alone. */
export function styleFor(context, metric) {
  const { state } = context;
  const xAxis = axisOf(context, metric);
  return {
    xAxis,
    smooth: state.get("smooth"),
    logy: state.get("logy"),
    zoom: state.get("zoom")[xAxis] ?? null,
  };
}

/** Shows a part of an axis in all charts of that axis; all of it for `null`. */
export function zoomTo(state, axis, range) {
  const { [axis]: _replaced, ...others } = state.get("zoom");
  state.set({ zoom: range ? { ...others, [axis]: range } : others });
}
