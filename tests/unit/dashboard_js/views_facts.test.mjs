import assert from "node:assert/strict";
import { test } from "node:test";

import {
  commitText, compareFacts, facts, sessionRows, statusText,
} from "../../../amago/dashboard/static/js/facts.js";

const RUN = { id: "a", name: "cartpole", group: null, frames: 12_000, epoch: 3, gradient_steps: 40 };
const OVERVIEW = {
  command: ["python", "train.py", "--name", "two words"], cwd: "/somewhere", host: "box", pid: 7,
  platform: "Linux", python: "3.11.9", versions: { torch: "2.8.0" }, environment: {}, seed: 0,
  git: { commit: "0123456789abcdef", is_dirty: true }, started: 1000, ended: null, running_s: 60,
  status: "running", folder: "/runs/cartpole", writers: ["learner"], sessions: [{}], gaps: [],
  summary: { "val/Return": 1.5 },
};

const textOf = (groups, label) =>
  groups.flatMap(({ rows }) => rows).find((row) => row.label === label)?.text;

test("the facts of a run are in words", () => {
  const groups = facts(RUN, OVERVIEW);
  assert.equal(textOf(groups, "Status"), "Running");
  assert.equal(textOf(groups, "Ended"), "still running");
  assert.equal(textOf(groups, "Command"), "python train.py --name 'two words'");
  assert.equal(textOf(groups, "Git commit"), "0123456789 with uncommitted changes");
  assert.equal(textOf(groups, "Times started"), "1");
  assert.equal(textOf(groups, "Gaps in the record"), "none");
});

test("a seed of zero is a seed", () => {
  assert.equal(textOf(facts(RUN, OVERVIEW), "Seed"), "0");
});

test("what is not known is empty, and empty lists are left out", () => {
  const bare = Object.fromEntries(Object.keys(OVERVIEW).map((key) => [key, null]));
  const groups = facts({ ...RUN, frames: null }, { ...bare, sessions: [], gaps: [] });
  assert.equal(textOf(groups, "Seed"), "");
  assert.equal(textOf(groups, "Frames"), "");
  assert.equal(textOf(groups, "Command"), "");
  assert.deepEqual(groups.map(({ title }) => title), ["Run", "Where it ran"]);
});

test("a commit without changes, or unknown, says so", () => {
  assert.equal(commitText({ commit: "abcdef0123456789", is_dirty: false }), "abcdef0123");
  assert.equal(commitText({ commit: "abcdef0123456789", is_dirty: null }), "abcdef0123");
  assert.equal(commitText(null), "");
  assert.equal(statusText(undefined), "Unknown");
});

test("facts of several runs stand in the same rows, and what differs is marked", () => {
  const other = { ...OVERVIEW, host: "node-2", versions: { torch: "2.8.0", numpy: "2.3" } };
  const groups = compareFacts([facts(RUN, OVERVIEW), facts({ ...RUN, id: "b" }, other)]);
  const rows = groups.flatMap(({ rows: each }) => each);
  const row = (label) => rows.find((each) => each.label === label);
  assert.deepEqual(row("Computer"), {
    label: "Computer", texts: ["box", "node-2"], differs: true,
  });
  assert.equal(row("torch").differs, false);
  assert.deepEqual(row("numpy").texts, ["", "2.3"]);
  assert.equal(row("numpy").differs, true);
});

test("a session says when it began, from where, and what changed", () => {
  const [first, second] = sessionRows([
    { t: 1, gen: 0, step: 0, status: "stopped", changes: {}, writer: "learner" },
    { t: 2, gen: 1, step: 40, status: null, changes: { "experiment.batch_size": [24, null] } },
  ], "running");
  assert.deepEqual([first.number, first.step, first.status, first.changes], [1, 0, "Stopped", []]);
  assert.equal(second.number, 2);
  assert.deepEqual(second.changes, [
    { key: "experiment.batch_size", before: "24", after: "null" },
  ]);
});

test("a session without an end is running only if it is the last of a running run", () => {
  const sessions = [
    { t: 1, gen: 0, step: 0, status: null, writer: "learner" },
    { t: 2, gen: 1, step: 0, status: null, writer: "learner" },
    { t: 2, gen: 0, step: 0, status: null, writer: "collector-a" },
  ];
  const words = (status) => sessionRows(sessions, status).map((session) => session.status);
  assert.deepEqual(words("running"), ["No end recorded", "Running", "Running"]);
  assert.deepEqual(words("crashed"), Array(3).fill("No end recorded"));
});
