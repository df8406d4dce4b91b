// One chart in the whole window, with the names of its lines below.

import { cardTools, iconButton } from "./card_tools.js";
import { createChart } from "./chart.js";
import { Disconnected } from "./api.js";
import { el, name, replace } from "./dom.js";
import { POINTS_FULL, seriesFor, styleFor, wantedFor, zoomTo } from "./plan.js";

/** Height taken by the heading, the legend and the margins, in CSS pixels. */
const AROUND = 150;

export class FullScreen {
  #shared;
  #dialog = el("dialog", { class: "full", "aria-label": "Chart in full screen" });
  #body = el("div", { class: "full-body" });
  #legend = el("ul", { class: "legend" });
  #metric = null;
  #chart = null;
  #endSubscriptions;
  #onResize = () => this.#chart?.set({ height: heightNow() });

  /** @param {{context: any, lines: import("./lines.js").Lines}} shared */
  constructor(shared) {
    this.#shared = shared;
    const { state } = shared.context;
    document.body.append(this.#dialog);
    this.#dialog.addEventListener("cancel", (event) => {
      event.preventDefault(); // the address closes it, so that "forward" opens it again
      state.set({ full: "" });
    });
    this.#endSubscriptions = [
      state.subscribe(["full"], () => this.refresh()),
      state.subscribe(["smooth", "logy"], () => this.#chart?.set(this.#style())),
    ];
    addEventListener("resize", this.#onResize);
  }

  /** Opens, closes or redraws, as the address says. */
  async refresh() {
    const metric = this.#find(this.#shared.context.state.get("full"));
    if (!metric) return this.#close();
    if (this.#metric?.name !== metric.name) this.#open(metric);
    this.#metric = metric;
    await this.#load();
  }

  destroy() {
    for (const end of this.#endSubscriptions) end();
    removeEventListener("resize", this.#onResize);
    this.#close();
    this.#dialog.remove();
  }

  #find(full) {
    const metrics = (this.#shared.context.catalogue?.sections ?? []).flatMap(
      (section) => section.metrics,
    );
    return full
      ? metrics.find((metric) => metric.name === full && metric.kind === "number")
      : undefined;
  }

  #open(metric) {
    const { state } = this.#shared.context;
    this.#close();
    this.#metric = metric;
    replace(
      this.#dialog,
      el(
        "header",
        { class: "full-head" },
        el("h2", {}, name(metric.name)),
        el(
          "div",
          { class: "card-tools" },
          cardTools(this.#shared, metric, () => this.#chart),
        ),
        iconButton("close", "Close (Esc)", () => state.set({ full: "" })),
      ),
      this.#body,
      this.#legend,
    );
    this.#dialog.showModal();
    this.#chart = createChart(this.#body, {
      title: metric.name,
      series: [],
      height: heightNow(),
      isLoading: true,
      onZoom: (range) => zoomTo(state, this.#style().xAxis, range),
      ...this.#style(),
    });
  }

  #close() {
    this.#chart?.destroy();
    this.#chart = null;
    this.#metric = null;
    if (this.#dialog.open) this.#dialog.close();
  }

  async #load() {
    const { context, lines } = this.#shared;
    const metric = this.#metric;
    const wanted = wantedFor(context, metric, POINTS_FULL);
    try {
      const fetched = lines.kept(wanted) ?? (await lines.fetch(wanted));
      if (this.#metric === metric) this.#draw(seriesFor(context, fetched));
    } catch (error) {
      if (this.#metric === metric && !(error instanceof Disconnected))
        this.#chart.set({ problem: error.message });
    }
  }

  #draw(series) {
    this.#chart.set({ ...this.#style(), series, isLoading: false, problem: "" });
    const entry = ({ label, colour }) =>
      el("li", {}, el("span", { class: "dot", style: { background: colour } }), name(label));
    replace(
      this.#legend,
      el("li", { class: "muted" }, `x: ${this.#style().xAxis}`),
      series.map(entry),
    );
  }

  #style() {
    return styleFor(this.#shared.context, this.#metric);
  }
}

function heightNow() {
  return Math.max(220, innerHeight - AROUND);
}
