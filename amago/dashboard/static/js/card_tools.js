// The buttons of one chart: what the metric means, its own x axis, export, full screen.

import { axisOf, seriesFor, wantedFor } from "./plan.js";
import { chartAxisMenu } from "./axis_menu.js";
import { csvOf, download, filenameFor } from "./chart_export.js";
import { el } from "./dom.js";
import { icon } from "./icons.js";
import { popover } from "./popover.js";

/** More than any record has after thinning by the server's own limit: every point it will give. */
const ALL_POINTS = 1_000_000;

/**
 * @param {{context: any, lines: import("./lines.js").Lines}} shared
 * @param {{name: string, help: any}} metric
 * @param {() => any} chart the chart, for its picture
 * @returns {HTMLElement[]}
 */
export function cardTools(shared, metric, chart) {
  return [helpTool(metric), axisTool(shared.context, metric), exportTool(shared, metric, chart)];
}

/** A button with an icon only; `label` is its tool tip and its name for screen readers. */
export function iconButton(which, label, onclick = null) {
  return el(
    "button",
    { type: "button", class: "icon-button", title: label, "aria-label": label, onclick },
    icon(which),
  );
}

function helpTool(metric) {
  const label = `What is ${metric.name}?`;
  const content = () => el("div", { class: "help" }, helpText(metric));
  return popover(iconButton("help", label), content, { label }).element;
}

/** What a metric means, as its declaration says. */
function helpText({ name, help }) {
  const title = el("p", { class: "help-name" }, el("bdi", {}, name));
  if (!help)
    return [
      title,
      el("p", { class: "muted" }, "This metric comes from your own code or environment."),
    ];
  return [
    title,
    el("p", {}, help.says),
    help.unit && el("p", {}, el("span", { class: "muted" }, "Unit: "), help.unit),
    help.formula &&
      el("p", {}, el("span", { class: "muted" }, "Formula: "), el("code", {}, help.formula)),
  ];
}

function axisTool(context, metric) {
  const label = "X axis of this chart";
  const content = () =>
    el(
      "div",
      { class: "tool-axis" },
      el("p", { class: "muted" }, label),
      chartAxisMenu(context, metric.name),
    );
  return popover(iconButton("axis", label), content, { label }).element;
}

function exportTool(shared, metric, chart) {
  const label = "Download this chart";
  const button = (text, onclick) =>
    el("button", { type: "button", class: "menu-item", onclick: () => run(onclick, menu) }, text);
  const content = () => [
    button("Picture (PNG)", async () =>
      download(filenameFor(metric.name, "png"), await chart().png()),
    ),
    button("Values (CSV)", async () =>
      download(filenameFor(metric.name, "csv"), await allValues(shared, metric)),
    ),
  ];
  const menu = popover(iconButton("download", label), content, { label });
  return menu.element;
}

async function run(action, menu) {
  await action();
  menu.close();
}

/** Every stored point, and not only as many as fit the screen. */
async function allValues({ context, lines }, metric) {
  const wanted = { ...wantedFor(context, metric), points: ALL_POINTS };
  const fetched = lines.kept(wanted) ?? (await lines.fetch(wanted));
  const series = seriesFor(context, fetched);
  return csvOf({ title: metric.name, xAxis: axisOf(context, metric), series });
}
