// One line chart: the lines of all runs, with zoom, a cursor shared by all charts of the same axis,
// and a tool tip.

import { default as uPlot } from "../vendor/uplot/uPlot.esm.js";
import { csvOf, pngOf } from "./chart_export.js";
import { onThemeChange } from "./theme.js";
import {
  countNonPositive, extentOfX, extentOfY, layersOf, padded, paddedLog, paddedValues,
} from "./layers.js";
import { drawLayers } from "./drawing.js";
import { el } from "./dom.js";
import { plotOptions } from "./plot_options.js";
import { Tooltip } from "./tooltip.js";

const DEFAULT_HEIGHT = 190;
/** Shares of a range left free beside the lines. */
const ROOM_X = 0.01;
const ROOM_Y = 0.06;
/** Seconds shown on both sides of a single point in time. */
const ALONE_S = 60;

/**
 * @typedef {Object} ChartOptions
 * @property {string} title
 * @property {string} [help] what the metric means, for exports
 * @property {string} xAxis the name of the x axis; decides how positions are written
 * @property {import("./layers.js").Series[]} series
 * @property {boolean} [logy]
 * @property {number} [smooth]
 * @property {number} [height] CSS pixels
 * @property {[number, number] | null} [zoom] the part of the x axis to show; null: all
 * @property {(range: [number, number] | null) => void} [onZoom] the user chose a part, or (null)
 *   all of it again
 * @property {string} [syncKey] charts with the same key share a cursor; default: the axis name
 * @property {boolean} [isLoading] the lines are on their way: an empty chart says nothing yet
 * @property {string} [problem] why there are no lines, or not the newest
 */

/**
 * @param {HTMLElement} container
 * @param {ChartOptions} options
 * @returns {{set: (patch: Partial<ChartOptions>) => void, png: () => Promise<Blob>, csv: () =>
 *   string,
 *            destroy: () => void}}
 */
export function createChart(container, options) {
  const chart = new Chart(container, options);
  return {
    set: (patch) => chart.set(patch),
    png: () => pngOf(chart.plot, chart.options),
    csv: () => csvOf(chart.options),
    destroy: () => chart.destroy(),
  };
}

class Chart {
  #container;
  #note = el("p", { class: "chart-note", hidden: true });
  #layers = [];
  #structure = "";
  #tooltip = null;
  #observer;
  #forgetTheme;
  /** @type {uPlot | null} */
  plot = null;

  constructor(container, options) {
    this.#container = container;
    this.options = { logy: false, smooth: 0, zoom: null, height: DEFAULT_HEIGHT, ...options };
    container.classList.add("chart");
    container.append(this.#note);
    this.#observer = new ResizeObserver(() => this.#fit());
    this.#observer.observe(container);
    this.#forgetTheme = onThemeChange(() => this.#show(true));
    this.#show();
  }

  set(patch) {
    this.options = { ...this.options, ...patch };
    this.#show();
  }

  destroy() {
    this.#observer.disconnect();
    this.#forgetTheme();
    this.#tooltip?.destroy();
    this.plot?.destroy();
    this.plot = null;
    this.#container.replaceChildren();
  }

  #show(isNew = false) {
    const { series, logy, smooth, xAxis, height, syncKey } = this.options;
    this.#layers = layersOf(series, { logy, smooth });
    const structure = JSON.stringify([xAxis, logy, height, syncKey]);
    if (isNew || structure !== this.#structure || !this.plot) this.#build(structure);
    else this.#refresh();
    this.#tooltip.setLayers(this.#layers);
    this.#explain();
    this.#describe();
  }

  /** A new plot: uPlot fixes the kind of its scales when it is made. */
  #build(structure) {
    this.#tooltip?.destroy();
    this.plot?.destroy();
    this.#structure = structure;
    this.#tooltip = new Tooltip(this.#container, this.options.xAxis);
    const { xAxis, logy, height, syncKey } = this.options;
    const plotted = plotOptions({
      width: this.#width(),
      height,
      xAxis,
      logy,
      syncKey: syncKey ?? xAxis,
      rangeX: () => this.#rangeX(),
      rangeY: () => this.#rangeY(),
      onDraw: (plot) => drawLayers(plot, this.#layers),
      onCursor: (plot) => this.#tooltip.follow(plot),
      onZoom: (range) => this.options.onZoom?.(range),
    });
    this.plot = new uPlot(plotted, this.#rows(), this.#container);
    this.plot.root.setAttribute("role", "img");
    this.plot.root.setAttribute("aria-label", `${this.options.title} over ${xAxis}`);
  }

  #refresh() {
    this.plot.setData(this.#rows());
  }

  /** uPlot gets the corners only, for its scales; `drawLayers` draws the lines themselves. */
  #rows() {
    return [this.#rangeX(), this.#rangeY()];
  }

  #rangeX() {
    const { zoom, xAxis } = this.options;
    const alone = xAxis === "Wall Time" ? ALONE_S : undefined;
    return zoom ?? padded(extentOfX(this.#layers) ?? [0, 1], ROOM_X, alone);
  }

  #rangeY() {
    const { logy } = this.options;
    const extent = extentOfY(this.#layers, this.#rangeX());
    return logy ? paddedLog(extent ?? [1, 10], ROOM_Y) : paddedValues(extent ?? [0, 1], ROOM_Y);
  }

  #explain() {
    const note = noteFor(this.options, this.#layers);
    this.#container.classList.toggle("is-loading", Boolean(this.options.isLoading));
    this.#note.textContent = note;
    this.#note.hidden = note === "";
  }

  /** What is drawn on the canvas, for those who cannot look at it: tests. */
  #describe() {
    const { xAxis, isLoading = false } = this.options;
    const [low, high] = extentOfX(this.#layers) ?? ["", ""];
    Object.assign(this.#container.dataset, {
      axis: xAxis,
      from: low,
      to: high,
      lines: this.#layers.length,
    });
    this.#container.setAttribute("aria-busy", String(isLoading));
  }

  #fit() {
    const width = this.#width();
    if (this.plot && width > 0 && width !== this.plot.width)
      this.plot.setSize({ width, height: this.options.height });
  }

  #width() {
    return Math.max(120, Math.floor(this.#container.clientWidth));
  }
}

/** What the reader has to know about a chart that shows less than there is; "" if it shows all. */
function noteFor({ series, logy, zoom, isLoading, problem }, layers) {
  if (problem) return problem;
  if (isLoading) return "";
  if (series.every(({ x }) => x.length === 0))
    return zoom ? "No values in this part of the axis." : "No values yet.";
  const hasLine = layers.some(({ line }) => line.some((value) => value !== null));
  if (!logy) return hasLine ? "" : "No finite values (they are NaN or infinite).";
  if (!hasLine) return "No positive values: a logarithmic scale cannot show them.";
  const hidden = countNonPositive(series);
  return hidden === 0
    ? ""
    : `${hidden} value${hidden === 1 ? "" : "s"} ≤ 0 not shown (logarithmic scale)`;
}
