// One metric in the grid. Far from the window it is only a title and an empty box of the right
// height, so that hundreds of metrics cost nothing, while scrolling and the browser's own search
// work as on any page; near it is a chart.

import { cardTools, iconButton } from "./card_tools.js";
import { createChart } from "./chart.js";
import { Disconnected } from "./api.js";
import { el, name, replace } from "./dom.js";
import { seriesFor, styleFor, wantedFor, zoomTo } from "./plan.js";
import { show as showHistogram } from "./histogram.js";

const HEIGHT = 190;

export class Card {
  #shared;
  #tools = el("div", { class: "card-tools" });
  #axisNote = el("span", { class: "card-axis muted" });
  #body = el("div", { class: "card-body" });
  /** The chart or the histogram, while it is shown. */
  #shown = null;
  #isFetching = false;
  #isOutdated = false;

  /**
   * @param {Object} metric an entry of the catalogue
   * @param {{context: any, lines: import("./lines.js").Lines}} shared
   */
  constructor(metric, shared) {
    this.metric = metric;
    this.#shared = shared;
    this.element = el(
      "article",
      { class: "chart-card", "data-metric": metric.name, "aria-label": metric.name },
      el(
        "header",
        { class: "card-head" },
        el("h3", {}, name(metric.title, { title: metric.name })),
        this.#axisNote,
        this.#tools,
      ),
      this.#body,
    );
  }

  get isActive() {
    return this.#shown !== null;
  }

  /** Builds what the card shows. Does nothing if it is there already. */
  activate() {
    if (this.isActive) return;
    const { metric } = this;
    if (metric.kind === "number") this.#activateChart();
    else if (metric.kind === "histogram")
      this.#shown = showHistogram(this.#body, this.#shared.context, { metric: metric.name });
    else this.#shown = pointer(this.#body, this.#shared.context);
  }

  /** Back to an empty box. */
  deactivate() {
    this.#shown?.destroy();
    this.#shown = null;
    this.#tools.replaceChildren();
    this.#body.replaceChildren();
  }

  /** The metric's new entry in the catalogue. */
  setMetric(metric) {
    this.metric = metric;
  }

  /**
   * Takes in changed data or another axis, zoom or grouping; what is drawn stays until the new
   * lines are there.
   */
  async refresh(changedRuns = []) {
    if (!this.isActive) return;
    if (this.metric.kind !== "number") return this.#shown.update?.(changedRuns);
    const wanted = wantedFor(this.#shared.context, this.metric);
    const kept = this.#shared.lines.kept(wanted);
    if (kept) this.#draw(kept);
    else if (this.#isFetching) this.#isOutdated = true;
    else await this.#fetch(wanted);
  }

  /** Draws again with another smoothing or scale. */
  restyle() {
    if (this.isActive && this.metric.kind === "number") this.#shown.set(this.#style());
  }

  #activateChart() {
    const { context } = this.#shared;
    const full = iconButton("expand", "Full screen (f)", () =>
      context.state.set({ full: this.metric.name }),
    );
    replace(
      this.#tools,
      cardTools(this.#shared, this.metric, () => this.#shown),
      full,
    );
    const wanted = wantedFor(context, this.metric);
    this.#shown = createChart(this.#body, {
      title: this.metric.name,
      series: seriesFor(context, this.#shared.lines.kept(wanted) ?? []),
      height: HEIGHT,
      isLoading: true,
      onZoom: (range) => zoomTo(context.state, styleFor(context, this.metric).xAxis, range),
      ...this.#style(),
    });
    this.refresh();
  }

  async #fetch(wanted) {
    this.#isFetching = true;
    try {
      const lines = await this.#shared.lines.fetch(wanted);
      if (this.isActive && !this.#isOutdated) this.#draw(lines);
    } catch (error) {
      if (this.isActive && !(error instanceof Disconnected))
        this.#shown.set({ problem: error.message });
    } finally {
      this.#isFetching = false;
    }
    if (!this.#isOutdated) return;
    this.#isOutdated = false;
    await this.refresh();
  }

  #draw(lines) {
    const series = seriesFor(this.#shared.context, lines);
    this.#shown.set({ ...this.#style(), series, isLoading: false, problem: "" });
    if (series.length > 0) markFirstChart();
  }

  #style() {
    const style = styleFor(this.#shared.context, this.metric);
    const isOwn = Boolean(this.#shared.context.state.get("axes")[this.metric.name]);
    this.#axisNote.textContent = isOwn ? style.xAxis : "";
    return style;
  }
}

/** For kinds that are looked at elsewhere. */
function pointer(container, { state }) {
  const open = el(
    "button",
    { type: "button", onclick: () => state.set({ tab: "media" }) },
    "Open Media",
  );
  replace(
    container,
    el(
      "div",
      { class: "card-pointer" },
      el("p", {}, "Pictures, videos, texts and tables are on the Media page."),
      open,
    ),
  );
  return { update: () => {}, destroy: () => container.replaceChildren() };
}

let isMarked = false;

/** The time from opening the page to the first chart, in the browser's performance timeline. */
function markFirstChart() {
  if (isMarked) return;
  isMarked = true;
  performance.mark("amago-first-chart");
}
