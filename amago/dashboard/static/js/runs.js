// The list of runs on the left: filter, sort, and tick those to be shown.

import { el, replace } from "./dom.js";
import { listed, SORTS } from "./run_order.js";
import { RunRow } from "./run_row.js";

export class RunList {
  #context;
  #rows = new Map();
  #shown = [];
  #list = el("ul", { class: "run-list", "aria-label": "Runs" });
  #title = el("h2", { class: "runs-title" }, "Runs");
  #problem = el("p", { class: "problem", role: "alert", hidden: true });
  #filter = el("input", {
    type: "search",
    id: "run-filter",
    placeholder: "Filter runs",
    "aria-label": "Filter runs by name, group or folder; a regular expression may be used",
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => this.refresh(),
  });
  #sort = el(
    "select",
    { "aria-label": "Sort runs", onchange: () => this.refresh() },
    Object.entries(SORTS).map(([key, [text]]) => el("option", { value: key }, text)),
  );

  /** @param {any} context */
  constructor(context) {
    this.#context = context;
    const all = el(
      "button",
      { type: "button", class: "link", onclick: () => this.#select(this.#readable()) },
      "all",
    );
    const none = el(
      "button",
      { type: "button", class: "link", onclick: () => this.#select([]) },
      "none",
    );
    this.element = el(
      "div",
      { class: "runs-inner" },
      el(
        "div",
        { class: "runs-head" },
        this.#title,
        el("span", { class: "runs-select" }, "Select ", all, " ", none),
      ),
      this.#filter,
      this.#sort,
      this.#problem,
      this.#list,
    );
  }

  /**
   * Brings the list in line with the runs and the selection. Rows stay where they are if their
   * order is the same.
   */
  refresh() {
    const { runs, state } = this.#context;
    const found = listed([...runs.values()], this.#filter.value, this.#sort.value);
    this.#shown = found.runs;
    this.#problem.textContent = found.error;
    this.#problem.hidden = found.error === "";
    this.#title.textContent =
      found.runs.length === runs.size
        ? `Runs (${runs.size})`
        : `Runs (${found.runs.length} of ${runs.size})`;
    const selected = new Set(state.get("runs") ?? []);
    const elements = found.runs.map((run) => {
      const row = this.#rowOf(run.id);
      row.update(run, { isSelected: selected.has(run.id), now: this.#context.now() });
      return row.element;
    });
    const isSame =
      elements.length === this.#list.children.length &&
      elements.every((row, i) => row === this.#list.children[i]);
    if (!isSame) replace(this.#list, elements);
  }

  #rowOf(id) {
    if (!this.#rows.has(id)) {
      const onTick = (run, isTicked) => this.#tick(run, isTicked);
      this.#rows.set(id, new RunRow(id, { onTick, onOnly: (run) => this.#select([run]) }));
    }
    return this.#rows.get(id);
  }

  #readable() {
    return this.#shown.filter((run) => !run.error).map((run) => run.id);
  }

  #tick(id, isTicked) {
    const others = (this.#context.state.get("runs") ?? []).filter((run) => run !== id);
    this.#select(isTicked ? [...others, id] : others);
  }

  #select(ids) {
    this.#context.state.set({ runs: ids });
  }
}
