// The box beside the cursor: every run's value there. The box appears in the chart under the mouse;
// the other charts of the same axis show the cursor line and a dot on each of their lines.

import { axisValue, number } from "./format.js";
import { el, name, replace } from "./dom.js";
import { nearest } from "./layers.js";

/** So many lines fit; the ones nearest to the mouse are listed. */
const MOST_LINES = 14;
const DISTANCE = 16;

export class Tooltip {
  #axis;
  #layers = [];
  #box = el("div", { class: "chart-tip", role: "status", hidden: true });
  #dots = [];

  /**
   * @param {HTMLElement} container of the chart
   * @param {string} axis the name of the x axis
   */
  constructor(container, axis) {
    this.#axis = axis;
    const layer = container.closest("dialog") ?? document.body; // an open dialog covers all else
    layer.append(this.#box);
  }

  setLayers(layers) {
    this.#layers = layers;
    for (const dot of this.#dots) dot.remove();
    this.#dots = [];
  }

  destroy() {
    this.#box.remove();
    for (const dot of this.#dots) dot.remove();
  }

  /** Shows the values at the cursor of `plot`, or nothing if the cursor has left it. */
  follow(plot) {
    const { left, top } = plot.cursor;
    const isInside = left >= 0 && this.#layers.length > 0;
    const points = isInside ? this.#pointsAt(plot, plot.posToVal(left, "x")) : [];
    this.#placeDots(plot, points);
    const isOwn = plot.over.matches(":hover");
    this.#box.hidden = points.length === 0 || !isOwn;
    if (!this.#box.hidden) this.#write(plot, points, left, top);
  }

  #pointsAt(plot, at) {
    const { min, max } = plot.scales.x;
    return this.#layers
      .map((layer) => ({ layer, index: nearest(layer, at) }))
      .filter(({ layer, index }) => index >= 0 && layer.x[index] >= min && layer.x[index] <= max)
      .map(({ layer, index }) => ({ layer, index, x: layer.x[index], y: layer.line[index] }));
  }

  #placeDots(plot, points) {
    while (this.#dots.length < points.length) {
      this.#dots.push(plot.over.appendChild(el("div", { class: "chart-dot", hidden: true })));
    }
    this.#dots.forEach((dot, slot) => {
      const point = points[slot];
      dot.hidden = point === undefined;
      if (!point) return;
      const [left, top] = [plot.valToPos(point.x, "x"), plot.valToPos(point.y, "y")];
      dot.style.transform = `translate(${left}px, ${top}px)`;
      dot.style.background = point.layer.colour;
    });
  }

  #write(plot, points, left, top) {
    const distance = (point) => Math.abs(plot.valToPos(point.y, "y") - top);
    const close = [...points].sort((one, other) => distance(one) - distance(other));
    const listed = close.slice(0, MOST_LINES).sort((one, other) => other.y - one.y);
    const rest = points.length - listed.length;
    replace(
      this.#box,
      el("div", { class: "chart-tip-x" }, `${this.#axis}: ${axisValue(this.#axis, close[0].x)}`),
      listed.map((point) => line(point, point === close[0])),
      rest > 0 && el("div", { class: "muted" }, `and ${rest} more`),
    );
    this.#place(plot.over.getBoundingClientRect(), left, top);
  }

  #place(over, left, top) {
    const box = this.#box.getBoundingClientRect();
    const x = over.left + left;
    const goesLeft = x + DISTANCE + box.width > innerWidth - 8;
    const at = goesLeft ? Math.max(8, x - DISTANCE - box.width) : x + DISTANCE;
    const y = Math.max(8, Math.min(over.top + top - box.height / 2, innerHeight - box.height - 8));
    this.#box.style.transform = `translate(${Math.round(at)}px, ${Math.round(y)}px)`;
  }
}

function line({ layer, index, y }, isClosest) {
  const raw = layer.raw?.[index];
  const band = !layer.raw && layer.low?.[index] !== null && layer.high ? layer : null;
  const note = layer.raw ? `raw ${number(raw)}` : band && spread(band.low[index], band.high[index]);
  return el(
    "div",
    { class: isClosest ? "chart-tip-line is-closest" : "chart-tip-line" },
    el("span", { class: "dot", style: { background: layer.colour } }),
    name(layer.label),
    el("span", { class: "num" }, number(y)),
    note && el("span", { class: "num muted" }, note),
  );
}

function spread(low, high) {
  return low === high ? null : `${number(low)} to ${number(high)}`;
}
