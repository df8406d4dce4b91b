// The matrix of environments and the results by attempt, in an exported page. Which metric belongs to which
// environment and attempt is in the data; `series(run, metric, axis)` gives the values.

const TIMES = 6;

/** The environment x metric matrix of a section, as /api/matrix has it. */
export function matrix(run, section, axis, series) {
  const { envs, metrics, names } = evaluation(run, section);
  const cell = (name) => {
    const found = name === null ? null : series(run, name, axis);
    if (!found) return null;
    const last = run.metrics.find((metric) => metric.name === name).last;
    return { last, spark: found.y };
  };
  return { envs, metrics, cells: names.map((row) => row.map(cell)) };
}

/** Every family of attempts of `runs`, as /api/attempts has it. */
export function attempts(runs, section, axis, series) {
  const charts = new Map();
  for (const run of runs) {
    for (const family of evaluation(run, section).families) {
      for (const [env, names] of chartsOf(family)) {
        const key = JSON.stringify([family.title, env]);
        const chart = charts.get(key) ?? { title: family.title, env, attempts: [], lines: [] };
        charts.set(key, chart);
        add(chart, family.attempts, lines(run, names, axis, series));
      }
    }
  }
  return { families: [...charts.values()] };
}

function evaluation(run, section) {
  const nothing = { envs: [], metrics: [], names: [], families: [] };
  return Object.hasOwn(run.evaluations, section) ? run.evaluations[section] : nothing;
}

function chartsOf({ names }) {
  const single = names.map(([env, row]) => [env, [row]]);
  return names.length > 1 ? [[null, names.map(([, row]) => row)], ...single] : single;
}

function lines(run, names, axis, series) {
  const curves = names.map((row) => row.map((name) => (name ? series(run, name, axis) : null)));
  const present = curves.flat().filter(Boolean);
  const times = trainingTimes(present.flatMap(({ x, y }) => x.filter((_, i) => y[i] !== null)));
  return times
    .map((at) => {
      const y = names[0].map((_, attempt) => meanAt(curves.map((row) => row[attempt]), at));
      return { run: run.id, x: at, y };
    })
    .filter(({ y }) => y.some((value) => value !== null));
}

function meanAt(curves, at) {
  const values = curves
    .map((curve) => (curve ? curve.y[curve.x.lastIndexOf(at)] : undefined))
    .filter((value) => value !== undefined && value !== null);
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

/** At most six of the values in `xs`, spread evenly, the first and the last included. */
function trainingTimes(xs) {
  const sorted = [...new Set(xs)].sort((a, b) => a - b);
  if (sorted.length <= TIMES) return sorted;
  const [first, last] = [sorted[0], sorted.at(-1)];
  const chosen = Array.from({ length: TIMES }, (_, i) => {
    const wanted = first + ((last - first) * i) / (TIMES - 1);
    return sorted.reduce((best, x) => (Math.abs(x - wanted) < Math.abs(best - wanted) ? x : best));
  });
  return [...new Set(chosen)];
}

/** Adds a run's lines; runs with different attempts get the union of them. */
function add(chart, attemptsOfRun, added) {
  const union = [...new Set([...chart.attempts, ...attemptsOfRun])].sort((a, b) => a - b);
  const spread = (y, from) => union.map((attempt) => y[from.indexOf(attempt)] ?? null);
  for (const line of chart.lines) line.y = spread(line.y, chart.attempts);
  chart.lines.push(...added.map((line) => ({ ...line, y: spread(line.y, attemptsOfRun) })));
  chart.attempts = union;
}
