// The canvas of a histogram over time.

import { columnBorders, intervalAt } from "./bins.js";
import { resolved } from "./colours.js";
import { axisValue, number } from "./format.js";
import { ticks } from "./scale.js";
import { onThemeChange } from "./theme.js";

const HEIGHT = 200;
const MARGIN = { left: 52, right: 8, top: 8, bottom: 24 };
const LAST = { width: 72, gap: 12 };
const FONT = "11px system-ui, sans-serif";
/** Rare values stay visible: the shade follows the square root of the share. */
const SHADE = (share, most) => (most > 0 ? Math.sqrt(share / most) : 0);

export class HeatPlot {
  #observer;
  #forgetTheme;
  #point = null;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Object} map of `heatMap` (bins.js)
   * @param {{axis: string, most: number, onpoint: (point: {column: number, row: number} | null) => void}} options
   */
  constructor(canvas, map, { axis, most, onpoint }) {
    Object.assign(this, { canvas, map, axis, most, onpoint });
    const borders = columnBorders(map.columns.map(({ x }) => x));
    this.xs = [borders[0].left, ...borders.map(({ right }) => right)];
    this.#observer = new ResizeObserver(() => this.draw());
    this.#observer.observe(canvas);
    this.#forgetTheme = onThemeChange(() => this.draw());
    canvas.addEventListener("pointermove", (event) => this.#show(this.#at(event)));
    canvas.addEventListener("pointerleave", () => this.#show(null));
    canvas.addEventListener("keydown", (event) => this.#move(event));
    onpoint(null);
  }

  destroy() {
    this.#observer.disconnect();
    this.#forgetTheme();
  }

  draw() {
    const { canvas } = this;
    const width = canvas.clientWidth;
    const scale = devicePixelRatio || 1;
    if (width === 0) return;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(HEIGHT * scale);
    const paint = canvas.getContext("2d");
    paint.scale(scale, scale);
    paint.font = FONT;
    this.#drawMap(paint);
    this.#drawLast(paint);
    this.#drawAxes(paint);
    this.#drawPoint(paint);
  }

  // ----------------------------------------------------------------------------------- places

  get #box() {
    const right = this.canvas.clientWidth - MARGIN.right - LAST.width - LAST.gap;
    return { left: MARGIN.left, right, top: MARGIN.top, bottom: HEIGHT - MARGIN.bottom };
  }

  #placeX(x) {
    const { left, right } = this.#box;
    const [first, last] = [this.xs[0], this.xs[this.xs.length - 1]];
    return left + ((x - first) / (last - first || 1)) * (right - left);
  }

  #placeY(value) {
    const { top, bottom } = this.#box;
    const { edges } = this.map;
    const [low, high] = [edges[0], edges[edges.length - 1]];
    return bottom - ((value - low) / (high - low || 1)) * (bottom - top);
  }

  // ---------------------------------------------------------------------------------- drawing

  #drawMap(paint) {
    const { edges, columns } = this.map;
    paint.fillStyle = resolved("var(--accent)");
    columns.forEach(({ shares }, i) => {
      const left = Math.round(this.#placeX(this.xs[i]));
      const right = Math.round(this.#placeX(this.xs[i + 1]));
      shares.forEach((share, row) => {
        if (share === 0) return;
        const top = Math.round(this.#placeY(edges[row + 1]));
        const bottom = Math.round(this.#placeY(edges[row]));
        paint.globalAlpha = SHADE(share, this.most);
        paint.fillRect(left, top, right - left, bottom - top); // whole pixels: cells do not overlap
      });
    });
    paint.globalAlpha = 1;
  }

  #drawLast(paint) {
    const { edges, columns } = this.map;
    const { shares } = columns[columns.length - 1];
    const most = Math.max(...shares);
    const left = this.#box.right + LAST.gap;
    paint.fillStyle = resolved("var(--muted)");
    shares.forEach((share, row) => {
      const [top, bottom] = [this.#placeY(edges[row + 1]), this.#placeY(edges[row])];
      const length = most > 0 ? (share / most) * LAST.width : 0;
      paint.fillRect(left, top, length, Math.max(1, bottom - top - 0.5));
    });
  }

  #drawAxes(paint) {
    const { left, right, top, bottom } = this.#box;
    const { edges, columns } = this.map;
    paint.strokeStyle = resolved("var(--line)");
    paint.strokeRect(left - 0.5, top - 0.5, right - left + 1, bottom - top + 1);
    paint.fillStyle = resolved("var(--muted)");
    paint.textBaseline = "middle";
    paint.textAlign = "right";
    for (const mark of ticks(edges[0], edges[edges.length - 1])) {
      paint.fillText(number(mark), left - 6, this.#placeY(mark));
    }
    paint.textBaseline = "top";
    paint.textAlign = "left";
    paint.fillText(axisValue(this.axis, columns[0].x), left, bottom + 8);
    paint.fillText("last", right + LAST.gap, bottom + 8);
    if (columns.length > 1) {
      paint.textAlign = "right";
      paint.fillText(axisValue(this.axis, columns[columns.length - 1].x), right, bottom + 8);
    }
  }

  #drawPoint(paint) {
    if (this.#point === null) return;
    const { column, row } = this.#point;
    const { edges } = this.map;
    const [left, right] = [this.#placeX(this.xs[column]), this.#placeX(this.xs[column + 1])];
    const [top, bottom] = [this.#placeY(edges[row + 1]), this.#placeY(edges[row])];
    paint.strokeStyle = resolved("var(--ink)");
    paint.strokeRect(left, top, Math.max(2, right - left), Math.max(2, bottom - top));
  }

  // ----------------------------------------------------------------------------------- reading

  #at(event) {
    const place = this.canvas.getBoundingClientRect();
    const { edges } = this.map;
    const column = intervalAt(this.xs.map((x) => this.#placeX(x)), event.clientX - place.left);
    const fromBelow = edges.map((edge) => -this.#placeY(edge));
    const row = intervalAt(fromBelow, -(event.clientY - place.top));
    return column < 0 || row < 0 ? null : { column, row };
  }

  #move(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const [across, up] = step[event.key] ?? [0, 0];
    if (!across && !up) return;
    event.preventDefault();
    const { columns, edges } = this.map;
    const from = this.#point ?? { column: columns.length - 1, row: 0 };
    this.#show({
      column: limited(from.column + across, columns.length - 1),
      row: limited(from.row + up, edges.length - 2),
    });
  }

  #show(point) {
    if (JSON.stringify(point) === JSON.stringify(this.#point)) return;
    this.#point = point;
    this.onpoint(point);
    this.draw();
  }
}

function limited(value, most) {
  return Math.max(0, Math.min(most, value));
}
