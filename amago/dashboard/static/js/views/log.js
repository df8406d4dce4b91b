// The end of what a run printed. Follows while the run goes on, until one scrolls up.

import { isExported } from "../api.js";
import { findLines, plainLines } from "../console_text.js";
import { el, name, replace } from "../dom.js";
import { fileAddress } from "../folder_tree.js";
import { bytes, count } from "../format.js";
import { menu, noRuns, notice, panel, searchField, selectedRuns } from "../parts.js";
import { highlight } from "../settings.js";

const FIRST_BYTES = 64 * 1024;
const MOST_BYTES = 4_000_000;
const POLL_MS = 1500;
const NEAR_END_PX = 24;

/** Shows the log. Returns `{update(changedRunIds), destroy()}`, as every view does. */
export function show(container, context) {
  const view = { runId: null, bytes: FIRST_BYTES, search: "", onlyFound: false, follows: true };
  const chosen = () => {
    const runs = selectedRuns(context);
    return runs.find((run) => run.id === view.runId) ?? runs[0];
  };
  const load = async () => {
    const run = chosen();
    if (!run) return null;
    const path = `/api/runs/${encodeURIComponent(run.id)}/log?bytes=${view.bytes}`;
    return { run: { id: run.id }, log: await context.api.get(path) };
  };

  const parts = build(view, () => shown.reload());
  const body = el("div");
  replace(container, el("article", { class: "log" }, parts.bar, body));
  const shown = panel(body, load, (loaded) => {
    parts.bar.hidden = loaded === null;
    const content = loaded === null ? noRuns(context) : take(loaded, selectedRuns(context), parts, view);
    if (body.firstChild !== content) replace(body, content);
    parts.settle();
  });
  // The text grows between the rows of the record, which are what the page is told about.
  const timer = setInterval(() => {
    if (chosen()?.status === "running" && !document.hidden && !isExported) update();
  }, POLL_MS);
  const update = () => {
    const isOther = chosen()?.id !== parts.runId;
    if (view.follows || isOther) shown.reload(); // what is being read does not move
  };
  return {
    update,
    destroy: () => { clearInterval(timer); shown.destroy(); },
  };
}

/** The elements that stay while the text changes: a search is not lost when a line is printed. */
function build(view, reload) {
  const text = el("pre", {
    class: "log-text", tabIndex: 0, role: "log", "aria-label": "Console output", "aria-live": "off",
  });
  const found = el("span", { class: "hint", role: "status" });
  const runSlot = el("span");
  const fileSlot = el("span");
  const moreSlot = el("p", { class: "hint" });
  const content = el("div", {}, moreSlot, text);
  const parts = { text, content, moreSlot, runSlot, fileSlot, reload, runId: null, lines: [] };
  parts.refill = () => fill(text, found, parts.lines, view);
  const search = searchField("Search the log", view.search, (value) => {
    view.search = value;
    parts.refill();
  });
  const follow = el("button", { type: "button", onclick: () => {
    view.follows = true;
    parts.settle();
    reload();
  } }, "Follow the end");
  const tell = () => { follow.hidden = view.follows; };
  parts.settle = () => {
    text.scrollTop = view.follows ? text.scrollHeight : text.scrollHeight - view.fromEnd;
    tell();
  };
  text.addEventListener("scroll", () => {
    view.fromEnd = text.scrollHeight - text.scrollTop;
    view.follows = view.fromEnd - text.clientHeight <= NEAR_END_PX;
    tell();
  });
  parts.tools = el("span", { class: "fields" }, search, onlyFound(view, parts), found,
    el("span", { class: "push" }), follow, fileSlot);
  parts.bar = el("div", { class: "view-bar" }, runSlot, parts.tools);
  return parts;
}

/** Takes a new answer; returns the element that stands below the bar. */
function take({ run, log }, runs, parts, view) {
  const isOther = parts.runId !== run.id;
  parts.runId = run.id;
  if (isOther) replace(parts.runSlot, runs.length < 2 ? null : menu("Run",
    runs.map(({ id, label }) => ({ value: id, text: label })), run.id, (id) => {
      Object.assign(view, { runId: id, bytes: FIRST_BYTES, follows: true });
      parts.reload();
    }));
  parts.tools.hidden = !log.text;
  replace(parts.fileSlot, log.text ? download(run, log) : null);
  if (!log.text) return noLog();
  const isCut = log.size > view.bytes;
  parts.lines = plainLines(log.text);
  parts.refill();
  parts.moreSlot.hidden = !isCut;
  replace(parts.moreSlot, isCut ? more(log, view, parts.reload) : null);
  return parts.content;
}

function noLog() {
  return notice("No console output",
    "What a run prints is kept in ", el("code", {}, "tracking/learner.log"), " of its folder, from ",
    "the moment it trains or evaluates. This run has no such file: it was recorded without one, or ",
    "has printed nothing yet. What went wrong in a run that never began is in the terminal where ",
    "it was started.");
}

function fill(text, found, lines, view) {
  const hits = findLines(lines, view.search);
  const shown = view.onlyFound ? hits : lines.map((line, index) => ({ line, index }));
  const pieces = shown.flatMap(({ line }) => [...highlight(line, view.search), { text: "\n" }]);
  replace(text, joinPlain(pieces).map((p) => (p.hit ? el("mark", {}, p.text) : p.text)));
  replace(found, view.search.trim() ? `${count(hits.length)} of ${count(lines.length)} lines` : "");
}

/** Neighbouring pieces without a hit as one text: a log of 4 MiB is then one node. */
function joinPlain(pieces) {
  const joined = [];
  let plain = [];
  const close = () => {
    if (plain.length) joined.push({ text: plain.join(""), hit: false });
    plain = [];
  };
  for (const piece of pieces) {
    if (!piece.hit) {
      plain.push(piece.text);
      continue;
    }
    close();
    joined.push(piece);
  }
  close();
  return joined;
}

function onlyFound(view, parts) {
  const box = el("input", { type: "checkbox", checked: view.onlyFound, onchange: () => {
    view.onlyFound = box.checked;
    parts.refill();
  } });
  return el("label", { class: "check" }, box, "only lines found");
}

function more(log, view, reload) {
  const says = `The last ${bytes(view.bytes)} of ${bytes(log.size)}. `;
  if (view.bytes >= MOST_BYTES) {
    return [says, "Download the file to see all of it."];
  }
  const button = el("button", { type: "button", onclick: () => {
    view.bytes = Math.min(MOST_BYTES, view.bytes * 8);
    reload();
  } }, "Show more");
  return [says, button];
}

function download(run, log) {
  if (isExported || !log.file) return null; // all there is of it is on the page
  const file = log.file.split("/").pop();
  return el("a", { class: "button", href: fileAddress(run.id, log.file), download: file },
    "Download ", name(file));
}
