// Answers the page's questions from the data inside an exported page, as the server does from its runs.
//
// `globalThis.AMAGO_EXPORT` is what `amago/dashboard/export_data.py` made: for each run its row, its metrics with
// thinned values, and for rows that metrics share the place of each on every axis.

import { bandOverRuns } from "./offline_bands.js";
import { attempts, matrix } from "./offline_evaluations.js";

/** What the server would answer to `path`; a POST if there is a `body`. Throws an Error that can be shown. */
export async function answer(path, body) {
  const exported = globalThis.AMAGO_EXPORT;
  const { pathname, searchParams } = new URL(path, "http://exported.invalid/");
  const parts = pathname.split("/").filter(Boolean).map(decodeURIComponent).slice(1);
  if (body !== undefined) return ask(POST, parts[0])(exported, body);
  if (parts[0] !== "runs" || parts.length === 1) return ask(GET, parts[0])(exported);
  return ask(ABOUT_A_RUN, parts[2])(runOf(exported, parts[1]), searchParams);
}

function ask(table, question) {
  if (!Object.hasOwn(table, question)) throw new Error("An exported page does not hold this.");
  return table[question];
}

const GET = {
  runs: ({ runs, roots, now, version }) => ({ runs: runs.map(({ row }) => row), roots, now, version }),
  changes: () => ({ cursor: "exported", changed: {}, list_changed: false }),
};

const ABOUT_A_RUN = {
  overview: (run) => run.overview,
  config: (run) => run.config,
  files: (run) => run.files,
  log: ({ log }, query) => {
    const size = Number(query.get("bytes") ?? 65536);
    return { ...log, text: log.text.slice(-size) };
  },
};

const POST = {
  metrics: (exported, { runs }) => catalogue(exported, runsOf(exported, runs)),
  series: (exported, { runs, metrics, x, range }) => ({
    series: runsOf(exported, runs).flatMap((run) =>
      metrics.map((metric) => series(run, metric, x, range)).filter(Boolean)),
  }),
  bands: (exported, body) => ({ bands: bands(exported, body) }),
  values: (exported, { run, metric, x }) => ({ values: values(runOf(exported, run), metric, x) }),
  matrix: (exported, { run, section, x }) => matrix(runOf(exported, run), section, x, series),
  attempts: (exported, { runs, section, x }) => attempts(runsOf(exported, runs), section, x, series),
  diff: (exported, { runs }) => ({ rows: diff(runsOf(exported, runs).map((run) => run.config.config)) }),
};

function runOf(exported, id) {
  const run = exported.runs.find((candidate) => candidate.id === id);
  if (!run) throw new Error("This exported page does not hold that run.");
  if (run.row.error) throw new Error(run.row.error);
  return run;
}

function runsOf(exported, ids) {
  return ids.map((id) => runOf(exported, id));
}

/** The metrics of several runs in sections. `exported.order` is the order of the sections. */
function catalogue(exported, runs) {
  const found = new Map();
  for (const run of runs) {
    for (const metric of run.metrics) {
      const known = found.get(metric.name) ?? { ...metric, runs: [], count: 0 };
      known.runs.push(run.id);
      known.count = Math.max(known.count, metric.count);
      known.single = known.count <= 1;
      found.set(metric.name, known);
    }
  }
  const metrics = [...found.values()].sort((a, b) => a.order - b.order);
  const names = exported.sections.filter((name) => metrics.some(({ section }) => section === name));
  const menu = new Set(runs.flatMap((run) => run.menu));
  const defaults = new Set(runs.map((run) => run.default_axis));
  return {
    axes: exported.axes.filter((axis) => menu.has(axis)),
    default_axis: defaults.size === 1 ? [...defaults][0] : "total_frames",
    sections: names.map((name) => ({
      name, metrics: metrics.filter(({ section }) => section === name),
    })),
  };
}

/** One metric of one run over an axis, as the server's /api/series has it; null if there is none. */
function series(run, metric, axis, range = null) {
  const found = Object.hasOwn(run.series, metric) ? run.series[metric] : axisAsSeries(run, metric);
  if (found === null) return null;
  const { group, n, ...columns } = found;
  const places = Object.hasOwn(run.groups[group], axis) ? run.groups[group][axis] : [];
  const [lowest, highest] = range ?? [-Infinity, Infinity];
  const kept = [...places.keys()].filter((i) =>
    places[i] !== null && places[i] >= lowest && places[i] <= highest);
  const pick = (column) => (column ? kept.map((i) => column[i]) : null);
  return {
    run: run.id, metric, n: columns.low ? n : kept.length, x: kept.map((i) => places[i]),
    y: pick(columns.y), low: pick(columns.low), high: pick(columns.high),
  };
}

/** An axis is drawn over another one at the rows of the metrics that have most of them. */
function axisAsSeries({ groups, longest }, axis) {
  if (longest === null || !Object.hasOwn(groups[longest], axis)) return null;
  const y = groups[longest][axis];
  return { group: longest, n: y.length, y };
}

function bands(exported, { groups, metrics, x, points = 400, statistic = "mean", band = "std" }) {
  const lines = [];
  for (const { label, runs } of groups) {
    const members = runsOf(exported, runs);
    for (const metric of metrics) {
      const curves = members.map((run) => series(run, metric, x)).filter(Boolean);
      if (curves.length === 0) continue;
      const line = bandOverRuns(curves, { points, statistic, band });
      lines.push({ group: label, metric, runs: curves.length, ...line });
    }
  }
  return lines;
}

function values(run, metric, axis) {
  if (!Object.hasOwn(run.values, metric)) {
    const numbers = series(run, metric, axis);
    return numbers ? numbers.x.map((x, i) => ({ x, value: numbers.y[i] })) : [];
  }
  const kept = run.values[metric];
  const places = Object.hasOwn(kept.axes, axis) ? kept.axes[axis] : [];
  return places.map((x, i) => ({ x, value: kept.values[i] }));
}

function diff(configs) {
  const leaves = configs.map((config) => new Map(flat(config)));
  const keys = [...new Set(leaves.flatMap((each) => [...each.keys()]))].sort();
  const missing = { missing: true };
  return keys
    .map((key) => ({ key, values: leaves.map((each) => (each.has(key) ? each.get(key) : missing)) }))
    .filter(({ values: all }) => new Set(all.map((value) => JSON.stringify(value))).size > 1);
}

function flat(config, prefix = "") {
  return Object.entries(config).flatMap(([name, value]) => {
    const isNested = value !== null && typeof value === "object" && !Array.isArray(value);
    if (isNested && Object.keys(value).length > 0) return flat(value, `${prefix}${name}.`);
    return [[`${prefix}${name}`, value]];
  });
}
