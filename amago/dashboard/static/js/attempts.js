// Results by attempt: the picture of an agent that gets better within one task. One panel a run,
// one line a moment of training, early pale and late strong.

import { chosenFamily, choices, labelled, panelsOf, titleText, valueAxis } from "./attempt_lines.js";
import { currentAxis } from "./axes.js";
import { colourOf } from "./colours.js";
import { el, name, replace, svg } from "./dom.js";
import { axisValue, count, number } from "./format.js";
import { menu, panel, runName, runOf, selectedRuns } from "./parts.js";
import { keepingPlace } from "./redraw.js";
import { short } from "./scale.js";

const SIZE = { width: 380, height: 220, left: 44, right: 56, top: 12, bottom: 36 };
const MEAN = "";
const PALEST = 22;

/**
 * Shows the section's results by attempt; nothing where it has none.
 * @param {HTMLElement} container
 * @param {Object} context
 * @param {{section: string}} options
 */
export function show(container, context, { section }) {
  const view = { title: null, env: null };
  const body = el("div");
  const frame = el("details", { class: "block", open: true },
    el("summary", {}, el("h3", {}, "By attempt")), explanation(), body);
  replace(container, frame);
  const shown = panel(body, () => load(context, section), (loaded) => {
    container.hidden = loaded.families.length === 0;
    const redraw = () => keepingPlace(body, () =>
      replace(body, draw(loaded, context, view, redraw)));
    if (!container.hidden) redraw();
  });
  const stop = context.state.subscribe(["x"], shown.reload);
  return { update: shown.reload, destroy: () => { stop(); shown.destroy(); } };
}

async function load(context, section) {
  const { api, catalogue } = context;
  const runs = selectedRuns(context).map(({ id }) => id);
  const axis = currentAxis(context.state.get("x"), catalogue);
  if (runs.length === 0) return { families: [], axis };
  const { families } = await api.post("/api/attempts", { runs, section, x: axis });
  return { families, axis };
}

function explanation() {
  return el("p", { class: "hint" },
    "The agent tries the same task several times in a row. Each line is one moment of training: ",
    "pale lines are early, the strongest is the latest. A line that rises to the right shows an ",
    "agent that uses what it saw in its earlier attempts. Lines that move up show one that gets ",
    "better with training.");
}

function draw({ families, axis }, context, view, redraw) {
  const family = chosenFamily(families, view.title, view.env);
  const panels = panelsOf(family);
  const scale = valueAxis(family);
  return [
    el("div", { class: "view-bar" }, menus(families, family, view, redraw)),
    el("div", { class: "attempt-panels" }, panels.map((each) =>
      onePanel(each, family, scale, axis, runOf(context, each.run)))),
    el("details", { class: "values" }, el("summary", {}, "The values as a table"),
      valueTable(panels, family, axis, context)),
  ];
}

function menus(families, family, view, redraw) {
  const all = choices(families);
  const { envs } = all.find(({ title }) => title === family.title);
  const titles = all.map(({ title }) => ({ value: title, text: titleText(title) }));
  const names = envs.map((env) =>
    (env === null ? { value: MEAN, text: "Mean of all environments" } : { value: env, text: env }));
  return [
    menu("What", titles, family.title, (title) => {
      view.title = title;
      redraw();
    }),
    menu("Environment", names, family.env ?? MEAN, (env) => {
      view.env = env === MEAN ? null : env;
      redraw();
    }),
  ];
}

// -------------------------------------------------------------------------------------- panel

function onePanel({ run: id, lines }, family, scale, axis, run) {
  const latest = lines[lines.length - 1];
  const says = `${titleText(family.title)} by attempt. Latest: ` +
    latest.y.map((value, i) => `attempt ${i + 1} ${number(value)}`).join(", ");
  const place = placing(family.attempts.length, scale);
  return el("figure", { class: "attempt-panel", style: { "--run": colourOf(id) } },
    el("figcaption", {}, runName(run)),
    svg("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": says },
      axes(family.attempts.length, scale, place),
      lines.map((line) => curve(line, place, axis))),
    el("ol", { class: "attempt-times", "aria-label": `Lines: ${axis}` },
      el("li", { class: "hint" }, name(axis)),
      lines.map(({ x, strength }) => el("li", {},
        el("span", { class: "swatch", style: { background: tint(strength) }, "aria-hidden": "true" }),
        timeText(axis, x)))));
}

/** A moment of training in little room. */
function timeText(axis, x) {
  return axis.endsWith(" Time") ? axisValue(axis, x) : count(x);
}

function placing(attempts, { low, high }) {
  const { width, height, left, right, top, bottom } = SIZE;
  const step = attempts > 1 ? (width - left - right) / (attempts - 1) : 0;
  return {
    x: (i) => left + i * step,
    y: (value) => top + (height - top - bottom) * (1 - (value - low) / (high - low)),
  };
}

function axes(attempts, { marks }, place) {
  const { width, height, left, right, bottom } = SIZE;
  const base = height - bottom;
  return [
    marks.map((mark) => [
      svg("line", { class: "grid", x1: left, x2: width - right, y1: place.y(mark), y2: place.y(mark) }),
      svg("text", { x: left - 8, y: place.y(mark) + 4, "text-anchor": "end" }, number(mark)),
    ]),
    labelled(attempts).map((i) =>
      svg("text", { x: place.x(i), y: base + 16, "text-anchor": "middle" }, i + 1)),
    svg("text", { class: "axis-name", x: (left + width - right) / 2, y: height - 4,
      "text-anchor": "middle" }, "attempt"),
  ];
}

/** One moment of training. A point says its values; the latest also has its end in writing. */
function curve({ x, y, strength }, place, axis) {
  const stroke = tint(strength);
  const isLatest = strength === 1;
  const points = y.map((value, i) => ({ value, i })).filter(({ value }) => Number.isFinite(value));
  const last = points[points.length - 1];
  return svg("g", {},
    svg("path", { class: "curve", d: pathOf(y, place), style: { stroke },
      "stroke-width": isLatest ? 2.5 : 1.5 }),
    points.map(({ value, i }) => svg("circle", {
      cx: place.x(i), cy: place.y(value), r: isLatest ? 3.5 : 2.5, style: { fill: stroke },
    }, svg("title", {}, `attempt ${i + 1}: ${number(value)} (${axis} ${axisValue(axis, x)})`))),
    isLatest && last
      ? svg("text", { class: "end", x: place.x(last.i) + 7, y: place.y(last.value) + 4 },
        short(last.value))
      : null);
}

/** A line through the attempts; one without a value breaks it. */
function pathOf(y, place) {
  let path = "";
  let isDrawing = false;
  y.forEach((value, i) => {
    if (Number.isFinite(value)) path += `${isDrawing ? "L" : "M"}${place.x(i)} ${place.y(value)}`;
    isDrawing = Number.isFinite(value);
  });
  return path;
}

function tint(strength) {
  const share = Math.round(PALEST + (100 - PALEST) * strength);
  return `color-mix(in srgb, var(--run) ${share}%, var(--panel))`;
}

// -------------------------------------------------------------------------------------- table

function valueTable(panels, { attempts, title }, axis, context) {
  const heading = (text) => el("th", { scope: "col" }, text);
  const rows = panels.flatMap(({ run: id, lines }) => lines.map(({ x, y }) => el("tr", {},
    el("th", { scope: "row" }, runName(runOf(context, id))),
    el("td", { class: "num" }, axisValue(axis, x)),
    y.map((value) => el("td", { class: "num" }, number(value))))));
  return el("div", { class: "scroller" }, el("table", { class: "plain" },
    el("caption", { class: "off-screen" }, `${titleText(title)} by attempt`),
    el("thead", {}, el("tr", {}, heading("Run"), heading(name(axis)),
      attempts.map((_, i) => heading(`Attempt ${i + 1}`)))),
    el("tbody", {}, rows)));
}
