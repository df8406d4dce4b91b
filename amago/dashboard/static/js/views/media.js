// Pictures, videos, tables and texts of the selected runs, one card for each metric, with a slider
// over the x-axis.

import { isExported } from "../api.js";
import { currentAxis } from "../axes.js";
import { el, name, replace } from "../dom.js";
import { fileAddress } from "../folder_tree.js";
import { axisValue, number } from "../format.js";
import { noRuns, notice, panel, runName, runOf, searchField, selectedRuns } from "../parts.js";
import { positions, valueAt } from "../steps.js";

const KINDS = { image: "Picture", video: "Video", table: "Table", text: "Text" };
const MOST_TABLE_ROWS = 200;

/** Shows the media. Returns `{update(changedRunIds), destroy()}`, as every view does. */
export function show(container, context) {
  const view = { search: "", at: new Map() };
  const body = el("div");
  let redraw = () => {};
  const search = searchField("Search media", "", (value) => {
    view.search = value;
    redraw();
  });
  replace(container, el("article", { class: "media" }, el("div", { class: "view-bar" }, search), body));
  const shown = panel(body, () => load(context), ({ metrics, axis }) => {
    redraw = () => replace(body, draw(metrics, axis, context, view));
    redraw();
  });
  const stop = context.state.subscribe(["x"], shown.reload);
  return { update: shown.reload, destroy: () => { stop(); shown.destroy(); } };
}

/** Metrics that are no numbers, with the values of every run that has them. */
async function load(context) {
  const { api, catalogue } = context;
  const axis = currentAxis(context.state.get("x"), catalogue);
  const runs = selectedRuns(context);
  const known = (catalogue?.sections ?? []).flatMap(({ metrics }) => metrics);
  const ask = async (metric) => {
    const having = runs.filter((run) => metric.runs.includes(run.id));
    const answers = await Promise.all(having.map((run) =>
      api.post("/api/values", { run: run.id, metric: metric.name, x: axis })));
    const values = having.map((run, i) => ({ run: run.id, values: answers[i].values }));
    return { name: metric.name, kind: metric.kind, values };
  };
  const metrics = await Promise.all(known.filter(({ kind }) => kind in KINDS).map(ask));
  return { metrics, axis };
}

function draw(metrics, axis, context, view) {
  if (selectedRuns(context).length === 0) return noRuns(context);
  if (metrics.length === 0) return noMedia();
  const wanted = view.search.trim().toLowerCase();
  const found = metrics.filter((metric) => metric.name.toLowerCase().includes(wanted));
  if (found.length === 0) return notice("Nothing found", "No metric here has this text in its name.");
  return el("div", { class: "media-cards" },
    found.map((metric) => card(metric, axis, context, view)));
}

function noMedia() {
  return notice("No pictures, videos, tables or texts",
    "The selected runs recorded numbers only. An environment or agent that reports an ",
    el("code", {}, "Image"), ", ", el("code", {}, "Video"), " or ", el("code", {}, "Table"), " of ",
    el("code", {}, "amago.core.values"), ", or a text, shows up here.");
}

function card(metric, axis, context, view) {
  const steps = positions(metric.values);
  const start = Math.min(view.at.get(metric.name) ?? steps.length - 1, steps.length - 1);
  const place = el("output", {});
  const cells = metric.values.map(({ run, values }) => ({ run: runOf(context, run), values, slot: el("div") }));
  const move = (index) => {
    const x = steps[index];
    replace(place, axisValue(axis, x));
    for (const { run, values, slot } of cells) {
      replace(slot, valueNode(metric, run, valueAt(values, x), axis, x));
    }
  };
  const slider = el("input", {
    type: "range", min: 0, max: steps.length - 1, step: 1, "aria-label": `${axis} of ${metric.name}`,
    oninput: () => {
      const index = Number(slider.value);
      // At the end it stays at the end, whatever comes.
      if (index === steps.length - 1) view.at.delete(metric.name);
      else view.at.set(metric.name, index);
      move(index);
    },
  });
  const title = el("h3", {}, name(metric.name), " ",
    el("span", { class: "badge" }, KINDS[metric.kind]));
  if (steps.length === 0) {
    return el("section", { class: "card" }, title, el("p", { class: "hint" },
      isExported ? "Left out of this exported page." : "Nothing recorded yet."));
  }
  slider.value = start;
  move(start);
  return el("section", { class: "card" }, title,
    steps.length > 1 ? el("label", { class: "slider" }, name(axis), slider, place)
      : el("p", { class: "hint" }, name(axis), " ", place),
    el("div", { class: `media-runs media-${metric.kind}` }, cells.map(({ run, slot }) =>
      el("figure", {}, el("figcaption", {}, runName(run)), slot))));
}

function valueNode(metric, run, point, axis, x) {
  if (!point) return el("p", { class: "hint" }, "Nothing recorded up to here.");
  const late = point.x === x ? null : el("p", { class: "hint" }, `from ${axisValue(axis, point.x)}`);
  return [content(metric, run, point.value), late];
}

function content(metric, run, value) {
  if (metric.kind === "text") return el("p", { class: "media-words", dir: "auto" }, String(value));
  if (!value?.file) {
    return el("p", { class: "hint" }, "The file was not kept. Install ",
      el("code", {}, "pip install 'amago[media]'"), " where the run trains.");
  }
  const address = fileAddress(run.id, value.file);
  if (isExported) return el("p", { class: "hint" }, "Not in an exported page: ", name(value.file));
  if (metric.kind === "table") return tableNode(address);
  return pictureNode(metric, value, address);
}

function pictureNode(metric, value, address) {
  const holder = el("div", { class: "picture" });
  const onerror = () => replace(holder, el("p", { class: "hint" }, "This file cannot be shown here. ",
    el("a", { href: address, download: value.file.split("/").pop() }, "Download")));
  const isFilm = /\.(mp4|webm)$/i.test(value.file);
  const media = isFilm
    ? el("video", { src: address, controls: true, loop: true, onerror })
    : el("img", { src: address, alt: `${metric.name}, recorded ${KINDS[metric.kind].toLowerCase()}`,
      onerror });
  const title = "Open in full size";
  return replace(holder, isFilm ? media : el("a", { href: address, target: "_blank", title }, media));
}

function tableNode(address) {
  const holder = el("div", { class: "scroller" });
  panel(holder, async () => {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`The table could not be read: ${answer.status}.`);
    return answer.json();
  }, ({ columns = [], rows = [] }) => {
    const head = el("tr", {}, columns.map((title) => el("th", { scope: "col" }, name(String(title)))));
    const cells = rows.slice(0, MOST_TABLE_ROWS).map((row) =>
      el("tr", {}, row.map((value) => el("td", {}, el("bdi", { class: "wrap" }, shown(value))))));
    const rest = rows.length - MOST_TABLE_ROWS;
    replace(holder,
      el("table", { class: "plain" }, el("thead", {}, head), el("tbody", {}, cells)),
      rest > 0 ? el("p", { class: "hint" }, `${rest} more rows. `, el("a", { href: address },
        "Download the whole table")) : null);
  });
  return holder;
}

function shown(value) {
  return typeof value === "number" ? number(value) : value === null ? "–" : String(value);
}
