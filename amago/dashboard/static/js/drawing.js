// Drawing a chart's layers onto the canvas of uPlot, which provides the axes, the cursor and the
// zoom. The lines are drawn here because every run has its own x values: uPlot would want all of
// them merged into one column.

import { resolved } from "./colours.js";

const LINE_WIDTH = 1.4;
const DOT_RADIUS = 3;

/**
 * @param {import("../vendor/uplot/uPlot.esm.js").default} plot
 * @param {import("./layers.js").Layer[]} layers
 */
export function drawLayers(plot, layers) {
  const { ctx, bbox } = plot;
  const place = {
    x: scaleOf(plot.scales.x, bbox.left, bbox.width, false),
    y: scaleOf(plot.scales.y, bbox.top, bbox.height, true),
    ratio: ratioOf(plot),
  };
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.lineJoin = "round";
  for (const layer of layers) drawBand(ctx, layer, place);
  for (const layer of layers) if (layer.raw) drawLine(ctx, layer, layer.raw, place, 0.22);
  for (const layer of layers) drawLine(ctx, layer, layer.line, place, 1);
  ctx.restore();
}

/** Canvas pixels of a plot for one CSS pixel. */
export function ratioOf(plot) {
  return plot.ctx.canvas.width / plot.width;
}

/** A function from a value to its position in canvas pixels. */
function scaleOf(scale, start, length, isUpwards) {
  const bend = scale.distr === 3 ? Math.log10 : (value) => value;
  const low = bend(scale.min);
  const factor = length / (bend(scale.max) - low || 1);
  if (isUpwards) return (value) => start + length - (bend(value) - low) * factor;
  return (value) => start + (bend(value) - low) * factor;
}

function drawLine(ctx, layer, values, place, opacity) {
  const { x } = layer;
  const dots = [];
  ctx.globalAlpha = opacity;
  ctx.strokeStyle = resolved(layer.colour);
  ctx.fillStyle = ctx.strokeStyle;
  ctx.lineWidth = LINE_WIDTH * place.ratio;
  ctx.setLineDash(layer.dash.map((length) => length * place.ratio));
  ctx.beginPath();
  for (let index = 0; index < x.length; index += 1) {
    if (values[index] === null) continue;
    const isStart = index === 0 || values[index - 1] === null;
    const isEnd = index === x.length - 1 || values[index + 1] === null;
    if (isStart && isEnd)
      dots.push(index); // alone between gaps: a line of no length would not be seen
    else if (isStart) ctx.moveTo(place.x(x[index]), place.y(values[index]));
    else ctx.lineTo(place.x(x[index]), place.y(values[index]));
  }
  ctx.stroke();
  ctx.setLineDash([]);
  for (const index of dots) {
    ctx.beginPath();
    ctx.arc(place.x(x[index]), place.y(values[index]), DOT_RADIUS * place.ratio, 0, 2 * Math.PI);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

function drawBand(ctx, layer, place) {
  const { x, low, high, raw } = layer;
  if (!low || !high || raw) return;
  ctx.globalAlpha = 0.18;
  ctx.fillStyle = resolved(layer.colour);
  for (const [first, last] of stretches(low, high)) {
    ctx.beginPath();
    for (let index = first; index < last; index += 1)
      ctx.lineTo(place.x(x[index]), place.y(high[index]));
    for (let index = last - 1; index >= first; index -= 1)
      ctx.lineTo(place.x(x[index]), place.y(low[index]));
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

/** The index ranges [first, last) without gaps in either bound. */
function stretches(low, high) {
  const found = [];
  let first = -1;
  for (let index = 0; index <= low.length; index += 1) {
    const isGap = index === low.length || low[index] === null || high[index] === null;
    if (isGap && first >= 0) {
      found.push([first, index]);
      first = -1;
    } else if (!isGap && first < 0) first = index;
  }
  return found;
}
