// The folder of each selected run: sizes, dates, and every file to download.

import { isExported } from "../api.js";
import { el, name, replace } from "../dom.js";
import { fileAddress, folderTree, sortedEntries } from "../folder_tree.js";
import { ago, bytes, count, date } from "../format.js";
import { noRuns, notice, panel, runName, searchField, selectedRuns } from "../parts.js";
import { keepingPlace } from "../redraw.js";

const MOST_IN_A_FOLDER = 200;
const COLUMNS = [
  { key: "name", title: "Name" }, { key: "size", title: "Size" },
  { key: "modified", title: "Changed" },
];

/** Shows the files. Returns `{update(changedRunIds), destroy()}`, as every view does. */
export function show(container, context) {
  const view = { search: "", column: "name", isDescending: false, open: new Set(), whole: new Set() };
  const body = el("div");
  let redraw = () => {};
  const search = searchField("Search files", "", (value) => {
    view.search = value;
    redraw();
  });
  replace(container, el("article", { class: "files" }, el("div", { class: "view-bar" }, search), body));
  const shown = panel(body, () => load(context), (loaded) => {
    redraw = () => keepingPlace(body, () => replace(body, draw(loaded, view, redraw, context)));
    redraw();
  });
  return { update: shown.reload, destroy: shown.destroy };
}

async function load(context) {
  const ask = async ({ id, label, folder }) => {
    const { files } = await context.api.get(`/api/runs/${encodeURIComponent(id)}/files`);
    return { run: { id, label, folder }, files };
  };
  return Promise.all(selectedRuns(context).map(ask));
}

function draw(loaded, view, redraw, context) {
  if (loaded.length === 0) return noRuns(context);
  return loaded.map(({ run, files }) => folderOfRun(run, files, view, redraw));
}

function folderOfRun(run, files, view, redraw) {
  const wanted = view.search.trim().toLowerCase();
  const found = files.filter(({ path }) => path.toLowerCase().includes(wanted));
  const root = folderTree(found);
  const sum = `${count(root.count)} ${root.count === 1 ? "file" : "files"}, ${bytes(root.size)}`;
  const says = wanted ? `${sum} found of ${count(files.length)}` : sum;
  return el("section", { class: "card" },
    el("h3", {}, runName(run), " ", el("span", { class: "hint" }, says)),
    found.length ? table(run, root, view, redraw) : none(files, run));
}

function none(files, run) {
  if (files.length) return notice("Nothing found", "No file of this run has this text in its path.");
  if (isExported) {
    return notice("No files in an exported page",
      "Only the record is exported. The files are in the run's folder on the computer it ran on.");
  }
  return notice("No files", "The folder ", name(run.folder ?? ""), " is empty or was moved.");
}

function table(run, root, view, redraw) {
  return el("div", { class: "scroller" }, el("table", { class: "plain file-table" },
    el("caption", { class: "off-screen" }, "Files of the run, by folder"),
    el("thead", {}, el("tr", {}, COLUMNS.map((column) => heading(column, view, redraw)))),
    el("tbody", {}, rowsOf(run, root, view, redraw, 0))));
}

function heading({ key, title }, view, redraw) {
  const isSorted = view.column === key;
  const order = isSorted ? (view.isDescending ? "descending" : "ascending") : "none";
  const sort = () => {
    view.isDescending = isSorted ? !view.isDescending : key !== "name";
    view.column = key;
    redraw();
  };
  return el("th", { scope: "col", "aria-sort": order, class: key === "size" ? "num" : null },
    el("button", { type: "button", class: "sort", onclick: sort }, title));
}

function rowsOf(run, folder, view, redraw, depth) {
  const { folders, files } = sortedEntries(folder, view.column, view.isDescending);
  const isWhole = view.whole.has(`${run.id}/${folder.path}`);
  const shown = isWhole ? files : files.slice(0, MOST_IN_A_FOLDER);
  const rows = folders.flatMap((inner) => {
    const key = `${run.id}/${inner.path}`;
    const isOpen = view.search.trim() !== "" || view.open.has(key);
    const row = folderRow(inner, isOpen, depth, () => {
      if (!view.open.delete(key)) view.open.add(key);
      redraw();
    });
    return isOpen ? [row, ...rowsOf(run, inner, view, redraw, depth + 1)] : [row];
  });
  rows.push(...shown.map((file) => fileRow(run, file, depth)));
  if (shown.length < files.length) {
    rows.push(restRow(files.length - shown.length, depth, () => {
      view.whole.add(`${run.id}/${folder.path}`);
      redraw();
    }));
  }
  return rows;
}

function folderRow(folder, isOpen, depth, toggle) {
  const button = el("button", {
    type: "button", class: "folder", "aria-expanded": String(isOpen), onclick: toggle,
  }, name(folder.name));
  return entry(depth, [button, " ", el("span", { class: "count" }, count(folder.count))], folder);
}

function fileRow(run, file, depth) {
  if (isExported) return entry(depth, name(file.name), file);
  const link = el("a", { href: fileAddress(run.id, file.path), download: file.name },
    name(file.name, { title: file.path }));
  return entry(depth, link, file);
}

function entry(depth, content, { size, modified }) {
  return el("tr", {},
    el("th", { scope: "row", style: { "--depth": depth } }, content),
    el("td", { class: "num" }, bytes(size)),
    el("td", { title: ago(modified) }, date(modified)));
}

function restRow(rest, depth, onclick) {
  return el("tr", {}, el("th", { scope: "row", colspan: 3, style: { "--depth": depth } },
    el("button", { type: "button", onclick }, `Show ${count(rest)} more files`)));
}
