// Every setting: of one run as a tree, of several as a table of what differs.

import { el, replace } from "../dom.js";
import {
  copyButton, menu, noRuns, notice, panel, runName, searchField, selectedRuns, switcher,
} from "../parts.js";
import { keepingPlace } from "../redraw.js";
import {
  compareAll, differs, highlight, isMissing, searchRows, searchTree, valueText,
} from "../settings.js";

/** Shows the settings. Returns `{update(changedRunIds), destroy()}`, as every view does. */
export function show(container, context) {
  const view = { search: "", mode: "differences", runId: null, closed: new Set() };
  const shown = panel(
    container,
    () => load(context),
    (loaded) => replace(container, draw(loaded, view, context)),
  );
  return { update: shown.reload, destroy: shown.destroy };
}

async function load(context) {
  const { api } = context;
  const runs = selectedRuns(context).map(({ id, label }) => ({ id, label }));
  const get = (run) => api.get(`/api/runs/${encodeURIComponent(run.id)}/config`);
  const configs = await Promise.all(runs.map(get));
  const ids = runs.map((run) => run.id);
  const diff = runs.length > 1 ? await api.post("/api/diff", { runs: ids }) : { rows: [] };
  return { runs, configs, diff: diff.rows };
}

function draw(loaded, view, context) {
  if (loaded.runs.length === 0) return noRuns(context);
  if (loaded.runs.length === 1) view.mode = "one";
  const body = el("div");
  const tools = el("span", { class: "fields" });
  const article = el("article", { class: "config" });
  const redraw = () => keepingPlace(article, () => {
    replace(tools);
    replace(body, bodyOf(loaded, view, tools, redraw));
  });
  const search = searchField("Search settings and values", view.search, (value) => {
    view.search = value;
    redraw();
  });
  const modes = switcher("What to show", [
    { value: "differences", text: "Differences" },
    { value: "all", text: "All settings" },
    { value: "one", text: "One run" },
  ], view.mode, (mode) => {
    view.mode = mode;
    redraw();
  });
  redraw();
  return replace(article,
    el("div", { class: "view-bar" }, loaded.runs.length > 1 ? modes : null, search, tools), body);
}

function bodyOf(loaded, view, tools, redraw) {
  if (view.mode === "one") return oneRun(loaded, view, tools, redraw);
  if (view.mode === "all") {
    const rows = compareAll(loaded.configs.map(({ config }) => config ?? {}));
    return table(loaded.runs, rows, view, "No run has a setting or value with this text.");
  }
  const rows = loaded.diff.map((row) => ({ ...row, differs: differs(row.values) }));
  if (rows.length === 0) {
    return notice("No differences", "All settings of these runs are the same.");
  }
  return table(loaded.runs, rows, view, "No setting that differs has this text.");
}

// ------------------------------------------------------------------------------- several runs

function table(runs, rows, view, none) {
  const found = searchRows(rows, view.search);
  if (found.length === 0) return notice("Nothing found", none);
  return el("div", { class: "scroller tall" }, el("table", { class: "compare" },
    el("caption", { class: "off-screen" }, "Settings of the selected runs, side by side"),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Setting"),
      runs.map((run) => el("th", { scope: "col" }, runName(run))))),
    el("tbody", {}, found.map((row) => el("tr", { class: row.differs ? "differs" : "" },
      el("th", { scope: "row" }, keyText(row.key, view.search)),
      row.values.map((value) => el("td", {}, cell(value, view.search))))))));
}

function cell(value, search) {
  if (isMissing(value)) return el("span", { class: "absent" }, "not set");
  return el("code", { class: kindOf(value) }, marked(valueText(value), search));
}

/** Text with the search in it marked; isolated, and wrapped where it is long. */
function marked(text, search) {
  const pieces = highlight(text, search).map((piece) =>
    piece.hit ? el("mark", {}, piece.text) : piece.text);
  return el("bdi", { class: "wrap" }, pieces);
}

/** A dotted name, which may be broken after its dots and underscores. */
function keyText(key, search) {
  const text = marked(key, search);
  for (const node of [...text.childNodes].filter(({ nodeType }) => nodeType === Node.TEXT_NODE)) {
    const parts = node.data.split(/(?<=[._/])(?=.)/);
    node.replaceWith(...parts.flatMap((part, i) => (i ? [el("wbr"), part] : [part])));
  }
  return text;
}

function kindOf(value) {
  return `value value-${value === null ? "null" : Array.isArray(value) ? "list" : typeof value}`;
}

// ------------------------------------------------------------------------------------ one run

/** The settings of one run; what can be done with them goes into `tools`. */
function oneRun({ runs, configs }, view, tools, redraw) {
  const index = Math.max(0, runs.findIndex((run) => run.id === view.runId));
  const { config, gin } = configs[index];
  const choose = runs.length < 2 ? null : menu("Run",
    runs.map((run) => ({ value: run.id, text: run.label })), runs[index].id, (id) => {
      view.runId = id;
      redraw();
    });
  if (!config || Object.keys(config).length === 0) {
    replace(tools, choose);
    return notice("No settings recorded",
      "The run records its settings when it trains or evaluates for the first time.");
  }
  const nodes = searchTree(config, view.search);
  replace(tools, choose,
    copyButton("Copy as JSON", () => JSON.stringify(config, null, 2)),
    button("Open all", () => { view.closed.clear(); redraw(); }),
    button("Close all", () => { closeAll(nodes, view.closed); redraw(); }));
  return [
    nodes.length
      ? el("div", { class: "card tree" }, nodes.map((node) => branch(node, view)))
      : notice("Nothing found", "No setting and no value of this run has this text."),
    gin && !view.search ? ginText(gin) : null,
  ];
}

function button(label, onclick) {
  return el("button", { type: "button", onclick }, label);
}

function closeAll(nodes, closed) {
  for (const node of nodes.filter(({ children }) => children)) {
    closed.add(node.path);
    closeAll(node.children, closed);
  }
}

function branch(node, view) {
  if (!node.children) {
    return el("div", { class: "leaf" },
      el("span", { class: "leaf-name", title: node.path }, keyText(node.name, view.search)),
      el("code", { class: kindOf(node.value) }, marked(valueText(node.value), view.search)));
  }
  const isOpen = view.search !== "" || !view.closed.has(node.path);
  const details = el("details", { open: isOpen, ontoggle: () => {
    if (view.search) return; // a search opens what it finds; that is not the reader's choice
    if (details.open) view.closed.delete(node.path);
    else view.closed.add(node.path);
  } },
  el("summary", {}, marked(node.name, view.search), " ",
    el("span", { class: "count" }, node.count)),
  el("div", { class: "branch" }, node.children.map((child) => branch(child, view))));
  return details;
}

function ginText(gin) {
  return el("details", { class: "card gin" },
    el("summary", {}, "As gin text: put it in a file to start a run with the same settings"),
    el("div", { class: "view-bar" }, copyButton("Copy gin text", () => gin)),
    el("pre", { tabIndex: 0 }, el("code", {}, gin)));
}
