// One run in the list: a tick box with its colour and name, how it stands, and its latest numbers.

import { ago, count, date, number } from "./format.js";
import { colourOf } from "./colours.js";
import { el, name } from "./dom.js";

const STATUS = { running: "running", finished: "finished", crashed: "crashed", stopped: "stopped" };

export class RunRow {
  #box;
  #dot = el("span", { class: "dot run-row-dot" });
  #status = el("span", { class: "status" });
  #return = el("span", { class: "run-return num" });
  #facts = el("span", { class: "run-facts muted" });
  #name = name("");
  #group = name("", { class: "run-group" });

  /**
   * @param {string} id
   * @param {{onTick: (id: string, isTicked: boolean) => void, onOnly: (id: string) => void}}
   *   actions
   */
  constructor(id, { onTick, onOnly }) {
    this.id = id;
    this.#box = el("input", { type: "checkbox", onchange: () => onTick(id, this.#box.checked) });
    const only = el(
      "button",
      { type: "button", class: "run-only", onclick: () => onOnly(id) },
      "only",
    );
    const label = el("label", { class: "run-label" }, this.#box, this.#dot, this.#name);
    this.element = el(
      "li",
      { class: "run-row", "data-run": id },
      label,
      only,
      el("div", { class: "run-details" }, this.#status, this.#group),
      el("div", { class: "run-details" }, this.#facts, this.#return),
    );
    this.only = only;
  }

  /**
   * @param {Object} run as /api/runs gives it
   * @param {{isSelected: boolean, now: number}} how `now`: the server's clock, unix seconds
   */
  update(run, { isSelected, now }) {
    const status = run.error ? "unreadable" : (STATUS[run.status] ?? run.status);
    this.#box.checked = isSelected;
    this.#box.disabled = Boolean(run.error);
    this.element.classList.toggle("is-selected", isSelected);
    this.#dot.style.background = isSelected ? colourOf(run.id) : "";
    write(this.#name, run.name, `${run.name}\n${run.folder}`);
    this.only.setAttribute("aria-label", `Show only ${run.name}`);
    this.#status.textContent = status;
    this.#status.dataset.status = status;
    this.#status.title = run.error ?? "";
    write(this.#group, run.group ?? "", `Group: ${run.group}`);
    this.#group.hidden = !run.group;
    this.#return.textContent = run.last_return === null ? "" : number(run.last_return);
    this.#return.title = "Last average return in evaluation";
    this.#facts.textContent = run.error ? run.error : factsOf(run, now);
    this.#facts.title = run.error ?? `Started ${date(run.started)}\nLast row ${date(run.updated)}`;
  }
}

function factsOf(run, now) {
  const when = ago(run.status === "running" ? run.started : (run.ended ?? run.updated), now);
  const progress =
    run.frames > 0 ? `${count(run.frames)} frames` : `${count(run.gradient_steps ?? 0)} updates`;
  return `${when} · ${progress}`;
}

function write(node, text, title) {
  if (node.textContent !== text) node.textContent = text;
  if (node.title !== title) node.title = title;
}
