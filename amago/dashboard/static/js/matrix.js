// Environment x metric: the last value of each as a shade and in writing, with its course as a
// small line. A cell opens its chart.

import { currentAxis } from "./axes.js";
import { heat } from "./colours.js";
import { el, name, replace, svg } from "./dom.js";
import { number } from "./format.js";
import {
  differenceGrid, gridOf, metricName, orderedRows, summaryCells, withEnvironments,
} from "./matrix_rows.js";
import { menu, panel, searchField, selectedRuns } from "./parts.js";
import { heatScale, short, signed, sparkPath } from "./scale.js";

const POINTS = 40;
const LINE = { width: 48, height: 16 };
const NO_OTHER = "";

/**
 * Shows the matrix of a section; nothing where it has fewer than two environments.
 * @param {HTMLElement} container
 * @param {Object} context
 * @param {{section: string}} options
 */
export function show(container, context, { section }) {
  const view = { run: null, other: NO_OTHER, filter: "", column: -1, isDescending: false };
  const parts = build(view, () => shown.reload());
  const open = (metric, env) => context.state.set({ full: metricName(section, metric, env) });
  parts.scroller.addEventListener("click", (event) => {
    const cell = event.target.closest("button.cell");
    if (cell) open(cell.dataset.metric, cell.dataset.env);
  });
  const shown = panel(parts.body, () => load(context, section, view), (loaded) => {
    container.hidden = loaded === null || loaded.grid.rows.length < 2;
    if (container.hidden) return;
    showMenus(parts, loaded, view);
    if (!parts.body.contains(parts.scroller)) replace(parts.body, parts.scroller);
    parts.redraw = () => drawTable(parts, loaded, view);
    parts.redraw();
  });
  replace(container, parts.frame);
  const stop = context.state.subscribe(["x"], shown.reload);
  return { update: shown.reload, destroy: () => { stop(); shown.destroy(); } };
}

async function load(context, section, view) {
  const { api, catalogue } = context;
  const metrics = catalogue?.sections.find((each) => each.name === section)?.metrics ?? [];
  const selected = selectedRuns(context).map(({ id, label }) => ({ id, label }));
  const ids = withEnvironments(selected.map(({ id }) => id), metrics);
  const runs = selected.filter(({ id }) => ids.includes(id));
  if (runs.length === 0) return null;
  const x = currentAxis(context.state.get("x"), catalogue);
  const find = (id) => runs.find((run) => run.id === id);
  const run = find(view.run) ?? runs[0];
  const other = find(view.other) ?? null;
  const ask = async ({ id }) =>
    gridOf(await api.post("/api/matrix", { run: id, section, x, points: POINTS }));
  const [one, two] = await Promise.all([ask(run), other && ask(other)]);
  return { runs, run, other, grid: two ? differenceGrid(one, two) : one };
}

/** The elements that stay while values change: a filter keeps its text, a table its place. */
function build(view, reload) {
  const parts = { redraw: () => {}, reload };
  parts.menus = el("span", { class: "fields" });
  parts.count = el("span", { class: "hint", role: "status" });
  parts.table = el("table", { class: "matrix" });
  parts.scroller = el("div", { class: "scroller tall" }, parts.table);
  parts.scroller.addEventListener("keydown", (event) => moveFocus(event, parts.table));
  parts.body = el("div");
  const filter = searchField("Filter environments", "", (text) => {
    view.filter = text;
    parts.redraw();
  });
  parts.frame = el("details", { class: "block", open: true },
    el("summary", {}, el("h3", {}, "All environments at a glance")),
    el("div", { class: "view-bar" }, parts.menus, filter, parts.count), parts.body,
    el("p", { class: "hint" }, "The number is the last value, the small line its course so far. ",
      "The shade compares the values of one column. Choose a cell to see its chart."));
  return parts;
}

/** Builds the menus when the runs change: an open one is not closed by new values. */
function showMenus(parts, { runs, run, other }, view) {
  const key = JSON.stringify([runs, run, other]);
  if (key === parts.menusKey) return;
  parts.menusKey = key;
  replace(parts.menus, runs.length < 2 ? null : menusOf(runs, run, other, view, parts.reload));
}

function menusOf(runs, run, other, view, reload) {
  const options = runs.map(({ id, label }) => ({ value: id, text: label }));
  const others = options.filter(({ value }) => value !== run.id);
  return [
    menu("Run", options, run.id, (id) => {
      view.run = id;
      if (view.other === id) view.other = NO_OTHER;
      reload();
    }),
    menu("minus", [{ value: NO_OTHER, text: "nothing" }, ...others], other?.id ?? NO_OTHER, (id) => {
      view.other = id;
      reload();
    }),
  ];
}

// -------------------------------------------------------------------------------------- table

function drawTable(parts, { grid, run, other }, view) {
  const rows = orderedRows(grid.rows, view);
  const scales = grid.metrics.map((_, i) =>
    heatScale(grid.rows.map(({ cells }) => cells[i]?.last), other !== null));
  const focused = keyOf(document.activeElement);
  replace(parts.count, rows.length === grid.rows.length
    ? `${rows.length} environments` : `${rows.length} of ${grid.rows.length} environments`);
  replace(parts.table,
    caption(run, other),
    head(grid, scales, view, other !== null, parts),
    el("tbody", { class: "summary" }, summary(grid, other !== null)),
    el("tbody", {}, rows.map((row) => bodyRow(row, grid.metrics, scales, other !== null))));
  if (rows.length === 0) {
    parts.table.append(el("tbody", {}, el("tr", {}, el("td", { colspan: grid.metrics.length + 1 },
      "No environment has this text in its name."))));
  }
  restoreFocus(parts.table, focused);
}

function caption(run, other) {
  const says = other ? [name(run.label), " minus ", name(other.label)] : name(run.label);
  return el("caption", { class: "off-screen" }, "Last values by environment: ", says);
}

function head(grid, scales, view, isDifference, parts) {
  const sortBy = (column) => {
    view.isDescending = view.column === column ? !view.isDescending : column >= 0;
    view.column = column;
    parts.redraw();
    parts.table.querySelectorAll("thead button")[column + 1].focus();
  };
  const heading = (column, title, scale) => el("th", {
    scope: "col",
    "aria-sort": view.column !== column ? "none" : view.isDescending ? "descending" : "ascending",
  },
  el("button", { type: "button", class: "sort", onclick: () => sortBy(column) }, name(title)),
  scale ? legend(scale, isDifference) : null);
  return el("thead", {}, el("tr", {}, heading(-1, "Environment", null),
    grid.metrics.map((metric, i) => heading(i, metric, scales[i]))));
}

/** What the shades of a column stand for. */
function legend({ low, high }, isDifference) {
  const says = `Shades from ${number(low)} to ${number(high)}`;
  return el("span", { class: "heat-legend", title: says }, short(low, 3),
    el("span", { class: `ramp ${isDifference ? "ramp-difference" : ""}`, "aria-hidden": "true" }),
    short(high, 3));
}

function summary(grid, isDifference) {
  return el("tr", {}, el("th", { scope: "row" }, "Mean of all environments"),
    summaryCells(grid).map((cell) => el("td", {}, inside(cell, isDifference))));
}

function bodyRow({ env, cells }, metrics, scales, isDifference) {
  return el("tr", {}, el("th", { scope: "row" }, name(env)), cells.map((cell, i) => {
    if (!cell) return el("td", { class: "absent" }, "–");
    const fraction = scales[i]?.fraction(cell.last) ?? null;
    const background = fraction === null ? null : shade(fraction, isDifference);
    return el("td", { style: background ? { background } : {} }, el("button", {
      type: "button", class: "cell", tabIndex: -1, title: titleOf(cell),
      "aria-label": `${metrics[i]} in ${env}: ${number(cell.last)}. Open the chart.`,
      "data-metric": metrics[i], "data-env": env,
    }, inside(cell, isDifference)));
  }));
}

function titleOf(cell) {
  return cell.of ? `${number(cell.of[0])} minus ${number(cell.of[1])}` : number(cell.last);
}

/** Two hues that colour-blind people tell apart, for more and for less. */
function shade(fraction, isDifference) {
  if (!isDifference) return heat(fraction);
  const share = Math.round(Math.abs(fraction - 0.5) * 2 * 50);
  const hue = fraction < 0.5 ? "--below" : "--above";
  return `color-mix(in srgb, var(${hue}) ${share}%, var(--panel))`;
}

function inside({ last, spark }, isDifference) {
  const { width, height } = LINE;
  const path = sparkPath(spark, width, height - 2);
  const line = path ? svg("svg", {
    class: "spark", viewBox: `0 -1 ${width} ${height}`, width, height, "aria-hidden": "true",
  }, svg("path", { d: path })) : null;
  return [line, el("span", { class: "value" }, isDifference ? signed(last) : short(last))];
}

// ----------------------------------------------------------------------------------- keyboard

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** Arrow keys go from cell to cell; Tab goes past all of them. */
function moveFocus(event, table) {
  const move = MOVES[event.key];
  const cell = event.target.closest("td");
  if (!move || !cell) return;
  const body = cell.closest("tbody");
  const row = body.rows[cell.parentElement.rowIndex - body.rows[0].rowIndex + move[0]];
  const next = row?.cells[cell.cellIndex + move[1]]?.querySelector("button.cell");
  if (!next) return;
  event.preventDefault();
  setStop(table, next);
  next.focus();
}

function setStop(table, button) {
  for (const old of table.querySelectorAll("button.cell[tabindex='0']")) old.tabIndex = -1;
  button.tabIndex = 0;
}

function keyOf(element) {
  const { env, metric } = element?.dataset ?? {};
  return env === undefined ? null : { env, metric };
}

function restoreFocus(table, focused) {
  const buttons = [...table.querySelectorAll("button.cell")];
  const same = focused && buttons.find(({ dataset }) =>
    dataset.env === focused.env && dataset.metric === focused.metric);
  if (buttons.length) setStop(table, same ?? buttons[0]);
  same?.focus();
}
