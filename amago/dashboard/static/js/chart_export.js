// A chart as a picture or as a table, and handing a file to the user.

import { el } from "./dom.js";
import { ratioOf } from "./drawing.js";
import { resolved } from "./colours.js";

const MARGIN = 12;
const TITLE_HEIGHT = 26;
const LEGEND_LINE = 18;

/**
 * The chart with its title, its x axis' name and a legend, as a PNG.
 * @param {{ctx: CanvasRenderingContext2D, width: number}} plot
 * @param {{title: string, xAxis: string, series: {label: string, colour: string}[]}} options
 * @returns {Promise<Blob>}
 */
export function pngOf(plot, { title, xAxis, series }) {
  const source = plot.ctx.canvas;
  const ratio = ratioOf(plot);
  const canvas = document.createElement("canvas");
  const below = LEGEND_LINE * (series.length + 1);
  canvas.width = source.width + 2 * MARGIN * ratio;
  canvas.height = source.height + (TITLE_HEIGHT + below + 2 * MARGIN) * ratio;
  const ctx = canvas.getContext("2d");
  ctx.fillStyle = resolved("var(--panel)");
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.drawImage(source, MARGIN * ratio, (MARGIN + TITLE_HEIGHT) * ratio);
  ctx.scale(ratio, ratio);
  writeTexts(ctx, { title, xAxis, series }, MARGIN + TITLE_HEIGHT + source.height / ratio);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function writeTexts(ctx, { title, xAxis, series }, bottom) {
  const width = ctx.canvas.width;
  ctx.textBaseline = "middle";
  ctx.fillStyle = resolved("var(--ink)");
  ctx.font = "600 14px system-ui, sans-serif";
  ctx.fillText(title, MARGIN, MARGIN + TITLE_HEIGHT / 2, width);
  ctx.font = "12px system-ui, sans-serif";
  ctx.fillText(`x: ${xAxis}`, MARGIN, bottom + LEGEND_LINE / 2);
  series.forEach(({ label, colour }, index) => {
    const y = bottom + LEGEND_LINE * (index + 1.5);
    ctx.fillStyle = resolved(colour);
    ctx.fillRect(MARGIN, y - 2, 16, 4);
    ctx.fillStyle = resolved("var(--ink)");
    ctx.fillText(label, MARGIN + 24, y, width);
  });
}

/**
 * The series as comma-separated values: one line per point, with the columns run, metric, the x
 * axis, value, and low and high where points were put together. A gap is an empty value.
 */
export function csvOf({ title, xAxis, series }) {
  const hasBand = series.some(({ low, high }) => low && high);
  const header = ["run", "metric", xAxis, "value", ...(hasBand ? ["low", "high"] : [])];
  const lines = series.flatMap(({ label, x, y, low, high }) =>
    x.map((at, index) => [
      label,
      title,
      at,
      y[index],
      ...(hasBand ? [low?.[index], high?.[index]] : []),
    ]),
  );
  return [header, ...lines].map((cells) => cells.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Hands `content` to the user as a file. */
export function download(filename, content, type = "text/csv;charset=utf-8") {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const url = URL.createObjectURL(blob);
  const link = el("a", { href: url, download: filename });
  document.body.append(link);
  link.click();
  link.remove();
  URL.revokeObjectURL(url);
}

/** A file name made from a metric's name: only letters, digits, dot, dash and underscore. */
export function filenameFor(metric, ending) {
  const stem = metric
    .normalize("NFKD")
    .replace(/[^\w.-]+/g, "_")
    .replace(/^[_.]+|_+$/g, "");
  return `${stem.slice(0, 80) || "chart"}.${ending}`;
}

/** One cell. Text that a spreadsheet would take for a formula gets an apostrophe before it. */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
