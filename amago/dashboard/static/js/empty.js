// What the page says where there is nothing to show: why, and what to do.

import { el } from "./dom.js";

/**
 * No run was found at all.
 * @param {string[]} roots the folders that were searched
 */
export function noRunsYet(roots) {
  const places = roots.map((root) => el("li", {}, el("code", {}, el("bdi", {}, root))));
  return el(
    "div",
    { class: "empty" },
    el("h2", {}, "No runs yet"),
    el("p", {}, "A run appears here by itself as soon as it starts. Train one with"),
    el("pre", { tabIndex: 0 }, el("code", {}, "amago train")),
    el(
      "p",
      {},
      "or with a script of your own that calls ",
      el("code", {}, "experiment.learn()"),
      ".",
    ),
    places.length > 0 &&
      el("p", {}, places.length === 1 ? "Folder looked at:" : "Folders looked at:"),
    places.length > 0 && el("ul", { class: "empty-places" }, places),
    el(
      "p",
      { class: "muted" },
      "Runs elsewhere? Start the page with ",
      el("code", {}, "amago dashboard FOLDER"),
      ".",
    ),
  );
}

/** Runs were found, but none is ticked. */
export function noSelection() {
  return el(
    "div",
    { class: "empty" },
    el("h2", {}, "No run selected"),
    el("p", {}, "Tick one or more runs in the list."),
  );
}

/** The ticked runs recorded nothing so far. */
export function noChartsYet() {
  return el(
    "div",
    { class: "empty" },
    el("h2", {}, "Nothing recorded yet"),
    el(
      "p",
      {},
      "The charts appear with the first values of the run. This page looks for them every second.",
    ),
  );
}
