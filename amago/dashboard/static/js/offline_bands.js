// Several runs as one line with a band, in an exported page: what amago/dashboard/bands.py does on the server.

const RESAMPLES = 500;

/**
 * The curves as one line with a band over their own x, or over `points` even ones if those are more.
 * @param {{x: number[], y: (number|null)[]}[]} curves
 * @param {{points: number, statistic: "mean"|"iqm", band: "std"|"minmax"|"bootstrap"}} options
 * @returns {{x: number[], y: number[], low: number[], high: number[], counts: number[]}}
 */
export function bandOverRuns(curves, { points, statistic, band }) {
  const usable = curves.map(withoutGaps).filter(({ x }) => x.length > 0);
  const centre = statistic === "iqm" ? interquartileMean : mean;
  const line = { x: [], y: [], low: [], high: [], counts: [] };
  const grid = commonGrid(usable.map(({ x }) => x), points);
  const atGrid = usable.map((curve) => onto(curve, grid));
  grid.forEach((x, i) => {
    const values = atGrid.map((each) => each[i]).filter((value) => value !== null);
    if (values.length === 0) return;
    const y = centre(values);
    const [low, high] = interval(values, y, centre, band);
    line.x.push(x);
    line.y.push(y);
    line.low.push(low);
    line.high.push(high);
    line.counts.push(values.length);
  });
  return line;
}

export function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The mean without the lowest and the highest quarter; a quarter may cut a run in two. */
export function interquartileMean(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const from = 0.25 * sorted.length;
  const to = 0.75 * sorted.length;
  const sum = sorted.reduce((total, value, i) =>
    total + value * Math.max(0, Math.min(i + 1, to) - Math.max(i, from)), 0);
  return sum / (to - from);
}

function interval(values, y, centre, band) {
  if (band === "minmax") return [Math.min(...values), Math.max(...values)];
  if (values.length === 1) return [y, y];
  if (band === "bootstrap") return bootstrap(values, centre);
  const middle = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  const spread = Math.sqrt(squares / (values.length - 1));
  return [y - spread, y + spread];
}

/** The interval that holds 95 % of the statistic over resampled runs; the same draws every time. */
function bootstrap(values, centre) {
  const random = generator(values.length);
  const samples = Array.from({ length: RESAMPLES }, () =>
    centre(values.map(() => values[Math.floor(random() * values.length)]))).sort((a, b) => a - b);
  return [quantile(samples, 0.025), quantile(samples, 0.975)];
}

function quantile(sorted, q) {
  const place = q * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

/** Numbers in [0, 1) that look random (mulberry32). */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function withoutGaps({ x, y }) {
  const kept = [...x.keys()].filter((i) => x[i] !== null && y[i] !== null);
  return { x: kept.map((i) => x[i]), y: kept.map((i) => y[i]) };
}

function commonGrid(xs, points) {
  const union = [...new Set(xs.flat())].sort((a, b) => a - b);
  if (union.length <= points) return union;
  const [first, last] = [union[0], union.at(-1)];
  return Array.from({ length: points }, (_, i) => first + ((last - first) * i) / (points - 1));
}

/** A curve at each point of the ascending `grid`; null outside of its own first and last x. */
function onto({ x, y }, grid) {
  let i = 0;
  return grid.map((at) => {
    if (at < x[0] || at > x.at(-1)) return null;
    while (i < x.length - 1 && x[i + 1] <= at) i += 1;
    if (x[i] === at || i === x.length - 1) return y[i];
    return y[i] + ((y[i + 1] - y[i]) * (at - x[i])) / (x[i + 1] - x[i]);
  });
}
