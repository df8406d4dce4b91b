// Histograms over training time: one heat map for each run, all on the same values, with the last
// histogram as bars beside it.

import { currentAxis } from "./axes.js";
import { commonEdges, heatMap } from "./bins.js";
import { el, name, replace } from "./dom.js";
import { axisValue, number } from "./format.js";
import { HeatPlot } from "./histogram_plot.js";
import { noRuns, notice, panel, runName, runOf, selectedRuns } from "./parts.js";
import { short } from "./scale.js";

/**
 * Shows the histograms of a metric.
 * @param {HTMLElement} container
 * @param {Object} context
 * @param {{metric: string, runs?: string[]}} options runs: ids; the selected ones that have it
 */
export function show(container, context, { metric, runs = null }) {
  let plots = [];
  const clear = () => {
    plots.forEach((plot) => plot.destroy());
    plots = [];
  };
  const body = el("div", { class: "histogram" });
  replace(container, body);
  const shown = panel(body, () => load(context, metric, runs), (loaded) => {
    clear();
    plots = draw(body, loaded, context, metric);
  });
  const stop = context.state.subscribe(["x"], shown.reload);
  return { update: shown.reload, destroy: () => { stop(); clear(); shown.destroy(); } };
}

async function load(context, metric, wanted) {
  const { api, catalogue } = context;
  const axis = currentAxis(context.state.get("axes")?.[metric] || context.state.get("x"), catalogue);
  const selected = wanted ?? selectedRuns(context).map(({ id }) => id);
  const entry = catalogue?.sections.flatMap(({ metrics }) => metrics)
    .find((each) => each.name === metric);
  const ids = entry ? selected.filter((id) => entry.runs.includes(id)) : selected;
  const answers = await Promise.all(ids.map((run) =>
    api.post("/api/values", { run, metric, x: axis })));
  const runs = ids.map((id, i) => ({ id, values: usable(answers[i].values) }));
  return { runs, axis, isSelected: selected.length > 0 };
}

function usable(values) {
  return values.filter(({ x, value }) => Number.isFinite(x) && value?.counts && value.edges);
}

/** Fills `body`; returns the plots, which the caller destroys. */
function draw(body, { runs, axis, isSelected }, context, metric) {
  const some = runs.filter(({ values }) => values.length > 0);
  if (some.length === 0) {
    replace(body, isSelected ? notice("No histogram yet",
      "It appears here with the first one that a selected run records.") : noRuns(context));
    return [];
  }
  const edges = commonEdges(some.flatMap(({ values }) => values.map(({ value }) => value)));
  const maps = some.map(({ id, values }) => ({ id, map: heatMap(values, edges) }));
  const most = Math.max(...maps.flatMap(({ map }) => map.columns.flatMap(({ shares }) => shares)));
  const plots = [];
  replace(body, maps.map(({ id, map }) => {
    const canvas = el("canvas", { tabIndex: 0, role: "img",
      "aria-label": `${metric}: share of values in each range over ${axis}; arrow keys read it` });
    const says = el("p", { class: "hint histogram-says", role: "status" });
    plots.push(new HeatPlot(canvas, map, { axis, most, onpoint: (point) =>
      replace(says, pointText(point, map, axis)) }));
    return el("figure", {}, el("figcaption", {}, runName(runOf(context, id))),
      canvas, says);
  }), legend(most, axis));
  plots.forEach((plot) => plot.draw());
  return plots;
}

function pointText(point, { edges, columns }, axis) {
  if (point === null) return "Point at the picture to read it.";
  const { x, counts, shares } = columns[point.column];
  const [low, high] = [edges[point.row], edges[point.row + 1]];
  const many = counts[point.row];
  return `${axisValue(axis, x)}: ${number(many >= 10 ? Math.round(many) : many)} values ` +
    `(${percent(shares[point.row])}) from ${short(low)} to ${short(high)}`;
}

function legend(most, axis) {
  return el("p", { class: "hint heat-line" }, el("span", { class: "heat-legend" }, "0 %",
    el("span", { class: "ramp ramp-root", "aria-hidden": "true" }), percent(most)),
  " of the values, over ", name(axis));
}

function percent(share) {
  return `${Number((100 * share).toPrecision(3))} %`;
}
