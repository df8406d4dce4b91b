// Values that several runs recorded at different times, on one slider.

/** Every x at which any run has a value, in order, each once: `[{values: [{x, value}]}] -> [x]`. */
export function positions(runs) {
  const all = runs.flatMap(({ values }) => values.map(({ x }) => x));
  return [...new Set(all.filter((x) => Number.isFinite(x)))].sort((a, b) => a - b);
}

/** The last value at or before `x`; null if there is none yet. */
export function valueAt(values, x) {
  let found = null;
  for (const point of values) {
    if (point.x <= x && (found === null || point.x >= found.x)) found = point;
  }
  return found;
}
