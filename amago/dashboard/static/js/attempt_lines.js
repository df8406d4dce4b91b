// What the picture of results by attempt draws: its choices, its panels and its scales.

import { extent, ticks } from "./scale.js";

/** `[{title, envs: [name | null]}]` of an answer of /api/attempts; null is the mean over all. */
export function choices(families) {
  const titles = [...new Set(families.map(({ title }) => title))];
  return titles.map((title) => ({
    title,
    envs: families.filter((family) => family.title === title).map(({ env }) => env),
  }));
}

/** The family that is chosen, else the nearest there is: same title, mean before an environment. */
export function chosenFamily(families, title, env) {
  const same = families.filter((family) => family.title === title);
  const among = same.length ? same : families.filter((f) => f.title === families[0]?.title);
  return among.find((family) => family.env === env) ?? among[0] ?? null;
}

/** A title without its placeholder: "Trial {i} Success" is "Trial Success". */
export function titleText(title) {
  return title.replace(/\s*\{i\}\s*/, " ").trim() || "Value";
}

/** Lines of each run, earliest first: `[{run, lines: [{x, y, strength}]}]`; strength 0 to 1. */
export function panelsOf({ lines }) {
  const runs = [...new Set(lines.map(({ run }) => run))];
  return runs.map((run) => {
    const own = lines.filter((line) => line.run === run).sort((a, b) => a.x - b.x);
    const strength = (i) => (own.length > 1 ? i / (own.length - 1) : 1);
    return { run, lines: own.map(({ x, y }, i) => ({ x, y, strength: strength(i) })) };
  });
}

/**
 * `{low, high, marks}` for the y-axis of all panels: 0 to 1 if all values are shares, else from
 * zero or below to the round number above the largest.
 */
export function valueAxis({ lines }) {
  const range = extent(lines.flatMap(({ y }) => y)) ?? { low: 0, high: 1 };
  const isShare = range.low >= 0 && range.high <= 1;
  const low = isShare ? 0 : Math.min(0, range.low);
  const high = isShare ? 1 : Math.max(0, range.high);
  const marks = ticks(low, high === low ? low + 1 : high);
  const step = marks.length > 1 ? marks[1] - marks[0] : 1;
  const all = [...marks];
  while (all[0] > low) all.unshift(clean(all[0] - step));
  while (all[all.length - 1] < high) all.push(clean(all[all.length - 1] + step));
  return { low: all[0], high: all[all.length - 1], marks: all };
}

function clean(value) {
  return Number(value.toPrecision(12));
}

/** Which of `number` attempts are labelled: all if there is room, else every second, fifth ... */
export function labelled(number, most = 12) {
  const step = [1, 2, 5, 10, 20, 50, 100].find((each) => number / each <= most) ?? number;
  return Array.from({ length: number }, (_, i) => i).filter((i) => i % step === 0);
}
