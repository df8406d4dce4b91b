// A menu that can be typed into: the list below the field shows what matches; arrows choose, Enter
// takes, Esc gives up.

import { el, name, replace } from "./dom.js";

/** @typedef {{value: string, label: string, note?: string}} Choice */

let created = 0;

export class Combobox {
  #input;
  #list;
  #choicesFor;
  #onChoose;
  #current = "";
  /** @type {Choice[]} */
  #choices = [];
  #active = 0;

  /**
   * @param {string} label for screen readers
   * @param {{choicesFor: (typed: string) => Choice[], onChoose: (value: string) => void}} options
   */
  constructor(label, { choicesFor, onChoose }) {
    this.#choicesFor = choicesFor;
    this.#onChoose = onChoose;
    created += 1;
    const id = `choices-${created}`;
    const list = { class: "combobox-list", role: "listbox", id, "aria-label": label, hidden: true };
    this.#list = el("ul", list);
    this.#input = el("input", {
      class: "combobox-field",
      type: "text",
      role: "combobox",
      autocomplete: "off",
      spellcheck: "false",
      "aria-label": label,
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": id,
      onfocus: () => this.#onFocus(),
      onclick: () => this.#list.hidden && this.#open(""),
      oninput: () => this.#open(this.#input.value),
      onkeydown: (event) => this.#onKey(event),
      onblur: () => this.#close(),
    });
    this.element = el("div", { class: "combobox" }, this.#input, this.#list);
  }

  focus() {
    this.#input.focus();
  }

  /** Writes the current choice, unless the user is typing. */
  show(label) {
    this.#current = label;
    if (document.activeElement !== this.#input) this.#input.value = label;
    this.#input.title = label;
  }

  #onFocus() {
    this.#input.select();
    this.#open("");
  }

  #open(typed) {
    this.#choices = this.#choicesFor(typed);
    const items = this.#choices.map((choice, index) => this.#option(choice, index));
    const none = el("li", { class: "combobox-none" }, "Nothing matches.");
    replace(this.#list, items.length > 0 ? items : none);
    this.#list.hidden = false;
    this.#input.setAttribute("aria-expanded", "true");
    const current = this.#choices.findIndex(({ label }) => label === this.#current);
    this.#mark(typed === "" ? Math.max(0, current) : 0);
  }

  #option({ label, note }, index) {
    const isCurrent = label === this.#current;
    return el(
      "li",
      {
        role: "option",
        id: `${this.#list.id}-${index}`,
        class: isCurrent ? "is-current" : null,
        "aria-selected": String(isCurrent),
        // Pressing the mouse must not take the focus from the field: that would close the list.
        onmousedown: (event) => event.preventDefault(),
        onclick: () => this.#take(index),
      },
      name(label),
      note && el("span", { class: "muted" }, note),
    );
  }

  #mark(index) {
    this.#active = index;
    [...this.#list.children].forEach((item, at) => {
      item.classList.toggle("is-active", at === index && this.#choices.length > 0);
    });
    const item = this.#list.children[index];
    this.#input.setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
  }

  #take(index) {
    const choice = this.#choices[index];
    if (!choice) return;
    this.show(choice.label);
    this.#input.blur();
    this.#onChoose(choice.value);
  }

  #close() {
    this.#list.hidden = true;
    this.#input.value = this.#current;
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
  }

  #onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const { length } = this.#choices;
    if (step && this.#list.hidden) this.#open("");
    else if (step && length > 0) this.#mark((this.#active + step + length) % length);
    else if (event.key === "Enter") this.#take(this.#active);
    else if (event.key === "Escape") this.#input.blur();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
