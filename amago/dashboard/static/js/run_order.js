// Which runs the list shows and in what order, which are selected at first, and how lines are
// labelled. Pure.

import { compile } from "./search.js";

const latest = (run) => run.started ?? run.updated ?? 0;
const descending = (value) => (one, other) =>
  (value(other) ?? -Infinity) - (value(one) ?? -Infinity);

/** Ways to sort the list: key -> [what the user reads, order]. */
export const SORTS = {
  newest: ["Newest first", descending(latest)],
  name: ["Name", (one, other) => one.name.localeCompare(other.name, "en", { numeric: true })],
  return: ["Best last return", descending((run) => run.last_return)],
  frames: ["Most frames", descending((run) => run.frames)],
  status: ["Running first", descending((run) => (run.status === "running" ? 1 : 0))],
};

/**
 * The runs whose name, group or folder matches the pattern, in order; all of them for an invalid
 * pattern.
 * @returns {{runs: Object[], error: string}}
 */
export function listed(runs, pattern, sort) {
  const { matches, error } = compile(pattern);
  const test = matches ?? (() => true);
  const found = runs.filter((run) =>
    [run.name, run.group, run.folder].some((text) => text && test(text)),
  );
  const order = (SORTS[sort] ?? SORTS.newest)[1];
  return {
    runs: found.sort(
      (one, other) => order(one, other) || SORTS.newest[1](one, other) || SORTS.name[1](one, other),
    ),
    error,
  };
}

/**
 * The selection of a first visit: what is being trained now (the newest five), else the newest run.
 */
export function firstSelection(runs) {
  const readable = runs.filter((run) => !run.error).sort(SORTS.newest[1]);
  const running = readable.filter((run) => run.status === "running").slice(0, 5);
  return (running.length > 0 ? running : readable.slice(0, 1)).map((run) => run.id);
}

/**
 * What each run's line is called: its name, with the folder where two of the runs have the same
 * name.
 * @returns {Map<string, string>} run id -> label
 */
export function labelsOf(runs) {
  const times = new Map();
  for (const run of runs) times.set(run.name, (times.get(run.name) ?? 0) + 1);
  return new Map(
    runs.map((run) => [run.id, times.get(run.name) > 1 ? `${run.name} (${run.folder})` : run.name]),
  );
}
