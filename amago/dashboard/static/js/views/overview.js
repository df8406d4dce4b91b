// What each selected run is: its command, place, times, versions, sessions and gaps. One run is a
// sheet to read; several stand side by side with what differs marked.

import { el, name, replace } from "../dom.js";
import { compareFacts, facts, sessionRows, statusText } from "../facts.js";
import { date, number } from "../format.js";
import {
  brokenRuns, copyButton, noRuns, notice, panel, runName, selectedRuns, switcher,
} from "../parts.js";
import { quoteCommand } from "../quote.js";

/** Shows the overview. Returns `{update(changedRunIds), destroy()}`, as every view does. */
export function show(container, context) {
  const view = { onlyDifferences: false, open: new Set() };
  const shown = panel(
    container,
    () => load(context),
    (loaded) => replace(container, draw(loaded, view, context)),
  );
  return { update: shown.reload, destroy: shown.destroy };
}

async function load(context) {
  const ask = async (run) => ({
    run, overview: await context.api.get(`/api/runs/${encodeURIComponent(run.id)}/overview`),
  });
  const errors = brokenRuns(context).map(({ error }) => error);
  return { runs: await Promise.all(selectedRuns(context).map(ask)), errors };
}

function draw({ runs }, view, context) {
  if (runs.length === 0) return noRuns(context);
  const broken = brokenRuns(context).length > 0 ? noRuns(context) : null;
  return [broken, runs.length === 1 ? sheet(runs[0], view) : comparison(runs, view)];
}

// ------------------------------------------------------------------------------------ one run

function sheet({ run, overview }, view) {
  const groups = facts(run, overview);
  const [about, place, ...lists] = groups;
  return el("article", { class: "overview" },
    el("header", { class: "overview-head" },
      el("h2", {}, runName(run)), status(overview.status)),
    command(overview),
    el("div", { class: "overview-columns" },
      card("Run", definitions(about.rows.filter(({ label }) => label !== "Status"))),
      card("Where it ran", place && definitions(placeRows(place.rows, overview)))),
    sessions(overview, view),
    gaps(overview.gaps ?? []),
    el("div", { class: "overview-columns narrow" },
      lists.map(({ title, rows }) => card(title, definitions(rows)))),
  );
}

function status(value) {
  return el("span", { class: "status", "data-status": value }, statusText(value));
}

function command({ command: words }) {
  const text = quoteCommand(words ?? []);
  if (!text) return null;
  return el("section", { class: "command", "aria-label": "Command" },
    el("div", { class: "command-head" },
      el("h3", {}, "Command"), copyButton("Copy", () => text)),
    el("pre", { tabIndex: 0 }, el("code", {}, el("bdi", {}, text))));
}

function placeRows(rows, { git, folder }) {
  return rows
    .filter(({ label }) => label !== "Command")
    .map((row) => {
      if (row.label === "Git commit" && git?.commit) return { ...row, content: commit(git) };
      if (row.label !== "Run folder" || !folder) return row;
      return { ...row, content: [text(folder), " ", copyButton("Copy", () => folder)] };
    });
}

function commit(git) {
  return [
    el("code", { title: git.commit }, git.commit.slice(0, 10)), " ",
    git.is_dirty
      ? el("span", { class: "badge badge-warn", title: "Files were changed after this commit" },
        "with uncommitted changes")
      : null, " ",
    copyButton("Copy", () => git.commit),
  ];
}

function card(title, content, says = null) {
  if (!content) return null;
  const hint = says && el("p", { class: "hint", "aria-hidden": "true" }, says);
  return el("section", { class: "card" }, el("h3", {}, title), hint, content);
}

function definitions(rows) {
  return el("dl", { class: "facts" }, rows.filter((row) => row.text !== "").map((row) => [
    el("dt", {}, name(row.label)), el("dd", {}, row.content ?? text(row.text)),
  ]));
}

/** Text from the record, in full: wrapped and not cut. */
function text(value) {
  return el("bdi", { class: "wrap" }, value);
}

function sessions({ sessions: list, status: runStatus }, view) {
  if (!list?.length) return null;
  const rows = sessionRows(list, runStatus).map((session) => el("tr", {},
    el("th", { scope: "row" }, session.number),
    el("td", { class: "nowrap" }, date(session.started)),
    el("td", { class: "num" }, number(session.step)),
    el("td", {}, session.status),
    el("td", {}, text(session.writer)),
    el("td", {}, changes(session, view)),
  ));
  const says = "Every start of this run. One that begins at a later row was resumed.";
  return card("Sessions", el("div", { class: "scroller" }, el("table", { class: "plain" },
    el("caption", { class: "off-screen" }, says),
    el("thead", {}, el("tr", {}, heading("No."), heading("Began"), heading("From row", "num"),
      heading("Ended as"), heading("Written by"), heading("Changed settings"))),
    el("tbody", {}, rows))), says);
}

function changes(session, view) {
  if (session.changes.length === 0) return session.number === 1 ? "" : "none";
  const list = el("ul", { class: "changes" }, session.changes.map(({ key, before, after }) =>
    el("li", {}, text(key), ": ", el("del", {}, text(before)), " → ", el("ins", {}, text(after)))));
  if (session.changes.length <= 3) return list;
  const key = `${session.writer}/${session.number}`;
  const details = el("details", { open: view.open.has(key), ontoggle: () => {
    if (details.open) view.open.add(key);
    else view.open.delete(key);
  } }, el("summary", {}, `${session.changes.length} settings`), list);
  return details;
}

function gaps(list) {
  if (list.length === 0) return null;
  const says = "Rows that could not be written. Training went on meanwhile.";
  return card("Gaps in the record", el("div", { class: "scroller" }, el("table", { class: "plain" },
    el("caption", { class: "off-screen" }, says),
    el("thead", {}, el("tr", {}, heading("When"), heading("Missing rows", "num"),
      heading("Written by"), heading("Reason"))),
    el("tbody", {}, list.map((gap) => el("tr", {},
      el("th", { scope: "row", class: "nowrap" }, date(gap.t)),
      el("td", { class: "num" }, number(gap.rows)),
      el("td", {}, text(gap.writer ?? "")),
      el("td", {}, text(gap.reason ?? ""))))))), says);
}

function heading(title, className = null) {
  return el("th", { scope: "col", class: className }, title);
}

// ------------------------------------------------------------------------------- several runs

function comparison(loaded, view) {
  const groups = compareFacts(loaded.map(({ run, overview }) => facts(run, overview)));
  const body = el("div");
  const redraw = () => replace(body, compared(loaded, groups, view.onlyDifferences));
  const choose = switcher("What to show", [
    { value: "all", text: "Everything" }, { value: "differences", text: "Differences" },
  ], view.onlyDifferences ? "differences" : "all", (value) => {
    view.onlyDifferences = value === "differences";
    redraw();
  });
  redraw();
  return el("article", { class: "overview" },
    el("div", { class: "view-bar" }, choose,
      el("span", { class: "hint" }, el("span", { class: "mark-sample" }), "differs between the runs")),
    body);
}

function compared(loaded, groups, onlyDifferences) {
  const parts = groups.map(({ title, rows }) => {
    const shown = rows.filter(({ texts, differs }) =>
      onlyDifferences ? differs : texts.some((value) => value !== ""));
    if (shown.length === 0) return null;
    return el("tbody", {},
      el("tr", { class: "group" },
        el("th", { scope: "rowgroup", colspan: loaded.length + 1 }, el("span", {}, title))),
      shown.map((row) => el("tr", { class: row.differs ? "differs" : "" },
        el("th", { scope: "row" }, name(row.label)),
        row.texts.map((value) => el("td", {}, value === "" ? absent() : text(value))))));
  });
  if (parts.every((part) => part === null)) {
    return notice("No differences", "These runs have the same command, place and versions.");
  }
  return el("div", { class: "scroller tall" }, el("table", { class: "compare" },
    el("caption", { class: "off-screen" }, "Facts about the selected runs, side by side"),
    el("thead", {}, el("tr", {}, el("td", {}),
      loaded.map(({ run }) => el("th", { scope: "col" }, runName(run))))),
    parts));
}

function absent() {
  return el("span", { class: "absent" }, "–");
}
