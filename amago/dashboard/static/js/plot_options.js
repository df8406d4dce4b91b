// The settings of uPlot for a chart: scales, axes, cursor and the events that become zoom and tool
// tip.

import { duration, logTicks, ticks, timeTicks } from "./format.js";
import { resolved } from "./colours.js";

/** Steps between ticks on a time-of-running axis, in seconds. */
const DURATION_STEPS = [
  1e-3, 1e-2, 0.1, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600,
  43200, 86400,
];
for (let days = 2; days <= 4096; days *= 2) DURATION_STEPS.push(days * 86400);

const FONT = "11px system-ui, sans-serif";
/** A drag shorter than this (CSS pixels) is a click, not a zoom. */
const SHORTEST_DRAG = 6;

/**
 * @param {{width: number, height: number, xAxis: string, logy: boolean, syncKey: string,
 *          rangeX: () => [number, number], rangeY: () => [number, number], onDraw: (plot: any) =>
 * void,
 *          onCursor: (plot: any) => void, onZoom: (range: [number, number] | null) => void}} chart
 */
export function plotOptions(chart) {
  return {
    width: chart.width,
    height: chart.height,
    padding: [8, 12, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: chart.xAxis === "Wall Time", range: chart.rangeX },
      y: { distr: chart.logy ? 3 : 1, range: chart.rangeY },
    },
    series: [{}, { paths: () => null, points: { show: false } }],
    axes: [xAxis(chart.xAxis), yAxis(chart.logy)],
    cursor: cursorOf(chart),
    hooks: {
      draw: [chart.onDraw],
      setCursor: [chart.onCursor],
      setSelect: [(plot) => zoomToSelection(plot, chart.onZoom)],
    },
  };
}

function cursorOf({ syncKey, onZoom }) {
  return {
    y: false,
    points: { show: false },
    drag: { x: true, y: false, setScale: false },
    bind: { dblclick: () => () => onZoom(null) },
    sync: {
      key: syncKey,
      scales: ["x", null],
      // Only the position is shared: a drag in one chart must not select in all the others.
      filters: { pub: (type) => type === "mousemove" || type === "mouseleave" },
    },
  };
}

function zoomToSelection(plot, onZoom) {
  const { left, width } = plot.select;
  if (width >= SHORTEST_DRAG) onZoom([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
  if (width > 0) plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
}

function xAxis(axis) {
  const common = { ...look(), size: 28, space: 64 };
  if (axis === "Wall Time") {
    return {
      ...common,
      size: 42,
      values: (_plot, splits, _index, _space, increment) => timeTicks(splits, increment),
    };
  }
  if (axis === "Process Time") {
    return {
      ...common,
      incrs: DURATION_STEPS,
      values: (_plot, splits) => splits.map((value) => duration(value)),
    };
  }
  return {
    ...common,
    values: (_plot, splits, _index, _space, increment) => ticks(splits, increment),
  };
}

function yAxis(logy) {
  return {
    ...look(),
    size: 52,
    space: 28,
    values: (_plot, splits, _index, _space, increment) =>
      logy ? logTicks(splits) : ticks(splits, increment),
  };
}

function look() {
  const stroke = () => resolved("var(--muted)");
  const line = () => resolved("var(--line)");
  return {
    font: FONT,
    stroke,
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line, width: 1, size: 4 },
  };
}
