// What a run says about itself, in the words of the page: groups of a label and a text.

import { count, date, duration, number } from "./format.js";
import { quoteCommand } from "./quote.js";
import { valueText } from "./settings.js";

const STATUS = { running: "Running", finished: "Finished", crashed: "Crashed", stopped: "Stopped" };

/** The word for a status. */
export function statusText(status) {
  return STATUS[status] ?? valueText(status ?? "Unknown");
}

/** The commit as one reads it: shortened, and whether files were changed since. */
export function commitText(git) {
  if (!git?.commit) return "";
  const state = git.is_dirty ? " with uncommitted changes" : "";
  return `${git.commit.slice(0, 10)}${state}`;
}

/**
 * Groups `[{title, rows: [{label, text}]}]` of everything short about a run; what is not known
 * has the text "".
 * @param run an entry of /api/runs
 * @param overview the answer of /api/runs/{id}/overview
 */
export function facts(run, overview) {
  return [
    { title: "Run", rows: runFacts(run, overview) },
    { title: "Where it ran", rows: placeFacts(overview) },
    { title: "Last values", rows: pairs(overview.summary, number) },
    { title: "Package versions", rows: pairs(overview.versions) },
    { title: "Environment variables", rows: pairs(overview.environment) },
  ].filter(({ rows }) => rows.length > 0);
}

function runFacts(run, overview) {
  const { started, ended, running_s: seconds, sessions = [], gaps = [] } = overview;
  return [
    row("Status", statusText(overview.status)),
    row("Group", run.group ?? ""),
    row("Started", known(started, date)),
    row("Ended", overview.status === "running" ? "still running" : known(ended, date)),
    row("Time of running", known(seconds, duration)),
    row("Frames", known(run.frames, count)),
    row("Epoch", known(run.epoch, count)),
    row("Gradient steps", known(run.gradient_steps, count)),
    row("Seed", known(overview.seed, valueText)),
    row("Times started", String(sessions.length)),
    row("Gaps in the record", gaps.length ? String(gaps.length) : "none"),
  ];
}

function placeFacts(overview) {
  return [
    row("Command", quoteCommand(overview.command ?? [])),
    row("Started in", overview.cwd ?? ""),
    row("Run folder", overview.folder ?? ""),
    row("Computer", overview.host ?? ""),
    row("System", overview.platform ?? ""),
    row("Python", overview.python ?? ""),
    row("Git commit", commitText(overview.git)),
    row("Process number", known(overview.pid, String)),
    row("Written by", (overview.writers ?? []).join(", ")),
  ];
}

function pairs(values, write = valueText) {
  return Object.entries(values ?? {}).map(([label, value]) => row(label, known(value, write)));
}

function row(label, text) {
  return { label, text };
}

function known(value, write) {
  return value === null || value === undefined ? "" : write(value);
}

/**
 * The facts of several runs side by side: `[{title, rows: [{label, texts, differs}]}]`. A label
 * that only some runs have stands in all of them.
 */
export function compareFacts(factsOfRuns) {
  const titles = distinct(factsOfRuns.flatMap((groups) => groups.map(({ title }) => title)));
  return titles.map((title) => {
    const tables = factsOfRuns.map((groups) => {
      const group = groups.find((candidate) => candidate.title === title);
      return new Map((group?.rows ?? []).map(({ label, text }) => [label, text]));
    });
    const labels = distinct(tables.flatMap((table) => [...table.keys()]));
    const rows = labels.map((label) => {
      const texts = tables.map((table) => table.get(label) ?? "");
      return { label, texts, differs: new Set(texts).size > 1 };
    });
    return { title, rows };
  });
}

function distinct(values) {
  return [...new Set(values)];
}

/**
 * Each start of a run: `[{writer, number, started, step, status, changes: [{key, before, after}]}]`.
 * A session without an end goes on, if it is its writer's last and the run does; else it was killed.
 */
export function sessionRows(sessions, runStatus) {
  const isLast = ({ writer, gen }) =>
    sessions.every((other) => other.writer !== writer || other.gen <= gen);
  const statusOf = (session) => {
    if (session.status) return statusText(session.status);
    return runStatus === "running" && isLast(session) ? "Running" : "No end recorded";
  };
  return sessions.map((session) => ({
    writer: session.writer ?? "",
    number: (session.gen ?? 0) + 1,
    started: session.t,
    step: session.step,
    status: statusOf(session),
    changes: Object.entries(session.changes ?? {}).map(([key, [before, after]]) => ({
      key, before: valueText(before), after: valueText(after),
    })),
  }));
}
