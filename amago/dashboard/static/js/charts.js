// The charts page: the sections with their charts, below the tools that apply to all of them.

import { chartTools } from "./charts_tools.js";
import { compile } from "./search.js";
import { el, replace } from "./dom.js";
import { FullScreen } from "./full_screen.js";
import { Lines } from "./lines.js";
import { noChartsYet, noSelection } from "./empty.js";
import { selectedIds } from "./plan.js";
import { Section } from "./section.js";

/** How far from the window a chart is built, and taken down again. */
const NEAR = "300px 0px";

const FETCHING_KEYS = ["x", "axes", "zoom", "statistic", "band"];
const STYLE_KEYS = ["smooth", "logy"];

/** Shows the charts. Returns `{update(changedRunIds), select(), regroup(), destroy()}`. */
export function show(container, context) {
  return new ChartsPage(container, context);
}

class ChartsPage {
  #context;
  #shared;
  #tools;
  #full;
  #list = el("div", { class: "sections" });
  #message = el("div", { class: "charts-message" });
  #near = new IntersectionObserver((entries) => this.#onNear(entries), { rootMargin: NEAR });
  /** @type {Map<string, Section>} */
  #sections = new Map();
  #matches = () => true;
  #endSubscriptions = [];

  constructor(container, context) {
    this.#context = context;
    this.#shared = { context, lines: new Lines(context) };
    this.#tools = chartTools(context);
    this.#full = new FullScreen(this.#shared);
    replace(container, this.#tools.element, this.#message, this.#list);
    const { state } = context;
    this.#endSubscriptions = [
      state.subscribe(FETCHING_KEYS, () => this.#refreshCharts()),
      state.subscribe(STYLE_KEYS, () => this.#eachCard((card) => card.restyle())),
      state.subscribe(["search", "collapsed"], () => this.#filter()),
    ];
    this.#arrange();
  }

  /** Some runs have new rows. */
  update(changedRuns) {
    this.#arrange();
    for (const section of this.#sections.values()) section.update(changedRuns);
  }

  /** Other runs are selected, or the catalogue of metrics changed with them. */
  select() {
    this.update(this.#context.state.get("runs") ?? []);
  }

  /** The runs are grouped differently. */
  regroup() {
    this.#tools.refresh();
    this.#refreshCharts();
  }

  destroy() {
    for (const end of this.#endSubscriptions) end();
    this.#near.disconnect();
    this.#full.destroy();
    this.#tools.destroy();
    for (const section of this.#sections.values()) section.destroy();
    this.#sections.clear();
  }

  #refreshCharts() {
    this.#eachCard((card) => card.refresh());
    this.#full.refresh();
  }

  /** Brings the sections in line with the catalogue, reusing what is there. */
  #arrange() {
    const wanted = this.#context.catalogue?.sections ?? [];
    const names = new Set(wanted.map((section) => section.name));
    for (const [key, section] of this.#sections) {
      if (names.has(key)) continue;
      section.destroy();
      section.element.remove();
      this.#sections.delete(key);
    }
    wanted.forEach(({ name, metrics }, index) => {
      const section = this.#sectionOf(name);
      if (this.#list.children[index] !== section.element) {
        this.#list.insertBefore(section.element, this.#list.children[index] ?? null);
      }
      section.setMetrics(metrics);
    });
    this.#filter();
    this.#tools.refresh();
    this.#full.refresh();
  }

  #sectionOf(key) {
    if (!this.#sections.has(key))
      this.#sections.set(key, new Section(key, this.#shared, this.#near));
    return this.#sections.get(key);
  }

  #filter() {
    const { state } = this.#context;
    const pattern = state.get("search");
    const { matches, error } = compile(pattern);
    if (matches) this.#matches = matches; // an unfinished pattern leaves what was found before
    const folded = new Set(state.get("collapsed"));
    const isSearching = pattern.trim() !== "";
    for (const [key, section] of this.#sections) {
      section.filter(this.#matches, { isFolded: folded.has(key) && !isSearching, isSearching });
    }
    this.#explain(error, isSearching);
  }

  #explain(error, isSearching) {
    const { catalogue, state } = this.#context;
    this.#tools.setProblem(error);
    const isEmpty = [...this.#sections.values()].every((section) => section.element.hidden);
    const hasSelection = selectedIds(this.#context).length > 0;
    if (!isEmpty || catalogue === null) this.#message.replaceChildren();
    else if (!hasSelection) replace(this.#message, noSelection());
    else if (isSearching && this.#sections.size > 0) replace(this.#message, nothingFound(state));
    else replace(this.#message, noChartsYet());
  }

  #onNear(entries) {
    for (const { target, isIntersecting } of entries) {
      const key = target.closest("[data-section]")?.dataset.section;
      this.#sections.get(key)?.onNear(target, isIntersecting);
    }
  }

  #eachCard(fn) {
    for (const section of this.#sections.values()) section.cards.forEach(fn);
  }
}

function nothingFound(state) {
  const clear = el(
    "button",
    { type: "button", onclick: () => state.set({ search: "" }) },
    "Show all metrics",
  );
  return el(
    "div",
    { class: "empty" },
    el("h2", {}, "No metric matches"),
    el("p", {}, "No metric has a name like that."),
    clear,
  );
}
