// One section of the charts page ("val", "train", ...): a heading that folds it, and its metrics
// below.

import { Card } from "./card.js";
import { el, name, replace } from "./dom.js";
import { icon } from "./icons.js";
import { show as showAttempts } from "./attempts.js";
import { show as showBars } from "./bars.js";
import { show as showMatrix } from "./matrix.js";

const NOTES = {
  test: "the final test of the finished run",
  dataset: "the data that was collected and is trained on",
  Charts: "what the x axes count",
  train: "how learning goes; mostly of use when it does not go well",
  val: "how well the policy performs",
  System: "the machine",
};
/** With fewer environment names the single charts say it better than a matrix. */
const FEWEST_FOR_MATRIX = 3;
const PER_ENVIRONMENT = /^Average Total Return in /;
const PER_ATTEMPT = /\b(attempt|trial|episode|ep|rollout|try|round)s?[ _.#-]*\d/i;

export class Section {
  #shared;
  #near;
  #count = el("span", { class: "section-count" });
  #blocks = el("div", { class: "section-blocks" });
  #grid = el("div", { class: "chart-grid" });
  #body;
  #button;
  /** @type {Map<string, Card>} */
  #cards = new Map();
  /** @type {Map<string, {element: HTMLElement, shown: any, show: Function}>} */
  #extras = new Map();
  #isOpen = false;
  #metrics = [];

  /**
   * @param {string} section its name
   * @param {{context: any, lines: any}} shared
   * @param {IntersectionObserver} near tells which of the section's parts are near the window
   */
  constructor(section, shared, near) {
    this.name = section;
    this.#shared = shared;
    this.#near = near;
    this.#body = el("div", { class: "section-body" }, this.#blocks, this.#grid);
    this.#button = el(
      "button",
      {
        type: "button",
        class: "section-button",
        "aria-expanded": "true",
        onclick: () => this.#toggle(),
      },
      icon("down"),
      name(section),
      this.#count,
    );
    const note = NOTES[section];
    const head = el(
      "h2",
      { class: "section-head" },
      this.#button,
      note && el("span", { class: "section-note" }, note),
    );
    this.element = el(
      "section",
      { class: "section", "data-section": section, "aria-label": section },
      head,
      this.#body,
    );
  }

  get cards() {
    return [...this.#cards.values()];
  }

  /**
   * The section's metrics as the catalogue now lists them. Cards that are there already stay as
   * they are.
   */
  setMetrics(metrics) {
    this.#metrics = metrics;
    if (this.#isOpen) this.#fill();
  }

  /**
   * Shows the metrics whose name passes the test; a section without any is hidden.
   * @param {(name: string) => boolean} matches
   * @param {{isFolded: boolean, isSearching: boolean}} how
   */
  filter(matches, { isFolded, isSearching }) {
    const found = this.#metrics.filter((metric) => matches(metric.name));
    this.element.hidden = found.length === 0;
    this.#count.textContent = isSearching
      ? `${found.length} of ${this.#metrics.length}`
      : String(found.length);
    this.#setOpen(!isFolded);
    if (!this.#isOpen) return;
    const shown = new Set(found.map((metric) => metric.name));
    for (const card of this.cards) card.element.hidden = !shown.has(card.metric.name);
    // A section that is nothing but a table is shown whole: the search found something in it.
    this.#blocks.hidden = isSearching && this.#grid.children.length > 0;
  }

  /** One of the section's parts came near the window, or is far from it now. */
  onNear(element, isNear) {
    const card = this.#cards.get(element.dataset.metric);
    if (card?.element === element) return isNear ? card.activate() : card.deactivate();
    const extra = [...this.#extras.values()].find((candidate) => candidate.element === element);
    if (extra && isNear && !extra.shown)
      extra.shown = extra.show(element, this.#shared.context, { section: this.name });
  }

  /** Some runs have new rows, or others are selected: takes that into what is shown. */
  update(changedRuns) {
    for (const card of this.cards) card.refresh(changedRuns);
    for (const { shown } of this.#extras.values()) shown?.update(changedRuns);
  }

  destroy() {
    for (const card of this.cards) this.#removeCard(card);
    for (const key of [...this.#extras.keys()]) this.#removeExtra(key);
  }

  #toggle() {
    const { state } = this.#shared.context;
    const others = state.get("collapsed").filter((section) => section !== this.name);
    state.set({ collapsed: this.#isOpen ? [...others, this.name] : others });
  }

  #setOpen(isOpen) {
    if (isOpen === this.#isOpen) return;
    this.#isOpen = isOpen;
    this.#button.setAttribute("aria-expanded", String(isOpen));
    this.#body.hidden = !isOpen;
    if (isOpen) this.#fill();
  }

  #fill() {
    const isTable = this.#metrics.every(({ single, kind }) => single && kind === "number");
    const cards = isTable ? [] : this.#metrics.map((metric) => this.#cardOf(metric));
    const kept = new Set(cards);
    for (const card of this.cards) if (!kept.has(card)) this.#removeCard(card);
    if (
      !isSameList(
        [...this.#grid.children],
        cards.map((card) => card.element),
      )
    ) {
      replace(
        this.#grid,
        cards.map((card) => card.element),
      );
    }
    const titles = this.#metrics.map(({ title }) => title);
    const isWide =
      titles.filter((title) => PER_ENVIRONMENT.test(title)).length >= FEWEST_FOR_MATRIX;
    this.#setExtra("bars", isTable, showBars);
    this.#setExtra("matrix", !isTable && isWide, showMatrix);
    this.#setExtra(
      "attempts",
      !isTable && titles.some((title) => PER_ATTEMPT.test(title)),
      showAttempts,
    );
  }

  #cardOf(metric) {
    let card = this.#cards.get(metric.name);
    if (!card) {
      card = new Card(metric, this.#shared);
      this.#cards.set(metric.name, card);
      this.#near.observe(card.element);
    }
    card.setMetric(metric);
    return card;
  }

  #removeCard(card) {
    this.#near.unobserve(card.element);
    card.deactivate();
    card.element.remove();
    this.#cards.delete(card.metric.name);
  }

  /** Puts a block above the charts, or takes it away. It is built when it comes near the window. */
  #setExtra(key, isWanted, show) {
    if (isWanted === this.#extras.has(key)) return;
    if (!isWanted) return this.#removeExtra(key);
    const element = el("div", { class: `section-extra section-${key}` });
    this.#extras.set(key, { element, shown: null, show });
    this.#blocks.append(element);
    this.#near.observe(element);
  }

  #removeExtra(key) {
    const { element, shown } = this.#extras.get(key);
    this.#near.unobserve(element);
    shown?.destroy();
    element.remove();
    this.#extras.delete(key);
  }
}

function isSameList(one, other) {
  return one.length === other.length && one.every((item, index) => item === other[index]);
}
