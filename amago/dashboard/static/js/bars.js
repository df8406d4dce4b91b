// A section in which every metric has one value, as a test at the end of a run has: a table with
// a bar for each value.

import { currentAxis } from "./axes.js";
import { colourOf } from "./colours.js";
import { el, name, replace } from "./dom.js";
import { number } from "./format.js";
import { noRuns, notice, panel, runName, runOf, searchField, selectedRuns } from "./parts.js";
import { keepingPlace } from "./redraw.js";
import { barPlace, extent } from "./scale.js";
import { familyOf, lastFinite } from "./single_values.js";
import { sortRows } from "./sorting.js";

const FILTER_FROM = 12;
const BY_RECORD = -2;
const BY_NAME = -1;

/**
 * Shows the table of a section.
 * @param {HTMLElement} container
 * @param {Object} context
 * @param {{section: string}} options
 */
export function show(container, context, { section }) {
  const view = { filter: "", column: BY_RECORD, isDescending: false };
  let redraw = () => {};
  const filter = searchField("Filter metrics", "", (text) => {
    view.filter = text;
    redraw();
  });
  const bar = el("div", { class: "view-bar" }, filter);
  const body = el("div");
  replace(container, bar, body);
  const shown = panel(body, () => load(context, section), (loaded) => {
    bar.hidden = loaded.rows.length < FILTER_FROM;
    redraw = () => keepingPlace(body, () =>
      replace(body, draw(loaded, context, section, view, redraw)));
    redraw();
  });
  return { update: shown.reload, destroy: shown.destroy };
}

/**
 * `{selected, runs: [id], rows: [{name, title, says, values: [number | null]}]}`: `runs` are those
 * with any value here, and each row has a value for each of them.
 */
async function load(context, section) {
  const { api, catalogue } = context;
  const selected = selectedRuns(context).map(({ id }) => id);
  const found = catalogue?.sections.find((each) => each.name === section)?.metrics ?? [];
  const metrics = found.filter(({ kind }) => kind === "number");
  const runs = selected.filter((id) => metrics.some((metric) => metric.runs.includes(id)));
  if (runs.length === 0) return { selected, runs, rows: [] };
  const names = metrics.map((metric) => metric.name);
  const { series } = await api.post("/api/series", {
    runs, metrics: names, x: currentAxis("", catalogue), points: 2, range: null,
  });
  const values = new Map(series.map(({ run, metric, y }) => [keyOf(run, metric), lastFinite(y)]));
  const rows = metrics.map((metric) => ({
    name: metric.name, title: metric.title, says: metric.help?.says ?? null,
    values: runs.map((run) => values.get(keyOf(run, metric.name)) ?? null),
  }));
  return { selected, runs, rows };
}

function keyOf(run, metric) {
  return JSON.stringify([run, metric]);
}

function draw({ selected, runs, rows }, context, section, view, redraw) {
  if (selected.length === 0) return noRuns(context);
  if (rows.length === 0) return notice("No values", "The selected runs have no number here.");
  const wanted = view.filter.trim().toLowerCase();
  const found = rows.filter(({ title }) => title.toLowerCase().includes(wanted));
  if (found.length === 0) return notice("Nothing found", "No metric here has this text in its name.");
  const scales = scalesOf(rows);
  return el("div", { class: "scroller tall" }, el("table", { class: "bars" },
    el("caption", { class: "off-screen" }, "Values of section ", name(section)),
    head(runs, context, view, redraw),
    el("tbody", {}, ordered(found, view).map((row) => el("tr", {},
      el("th", { scope: "row" }, name(row.title, { title: row.says ?? row.name })),
      row.values.map((value, i) => cell(value, scales.get(familyOf(row.title)), runs[i])))))));
}

/** One scale for all metrics that differ in the environment only. */
function scalesOf(rows) {
  const values = new Map();
  for (const row of rows) {
    const family = familyOf(row.title);
    values.set(family, [...(values.get(family) ?? []), ...row.values]);
  }
  return new Map([...values].map(([family, all]) => [family, extent(all)]));
}

function ordered(rows, { column, isDescending }) {
  if (column === BY_RECORD) return rows;
  const key = column === BY_NAME ? ({ title }) => title : ({ values }) => values[column];
  return sortRows(rows, key, isDescending);
}

function head(runs, context, view, redraw) {
  const heading = (column, content) => el("th", {
    scope: "col",
    "aria-sort": view.column !== column ? "none" : view.isDescending ? "descending" : "ascending",
  }, el("button", { type: "button", class: "sort", onclick: () => {
    view.isDescending = view.column === column ? !view.isDescending : column >= 0;
    view.column = column;
    redraw();
  } }, content));
  return el("thead", {}, el("tr", {}, heading(BY_NAME, "Metric"),
    runs.map((id, i) => heading(i, runName(runOf(context, id))))));
}

function cell(value, range, run) {
  const place = barPlace(value, range);
  const track = place === null ? null : el("span", { class: "track", "aria-hidden": "true" },
    el("span", { class: "bar", style: {
      left: `${100 * place.start}%`, width: `${100 * place.length}%`, background: colourOf(run),
    } }));
  return el("td", {}, el("div", { class: "bar-cell" },
    el("span", { class: track ? "value" : "value absent" }, number(value)), track));
}
