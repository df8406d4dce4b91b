import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Lines } from "../../../amago/dashboard/static/js/lines.js";

/** What the page would do at its next frame. */
let frames = [];
globalThis.requestAnimationFrame = (work) => frames.push(work);
const nextFrame = () => frames.splice(0).forEach((work) => work());

const line = (body, run, metric) => ({
  run,
  metric,
  x: [1],
  y: [body.points],
  low: null,
  high: null,
});
let asked;
let context;

beforeEach(() => {
  asked = [];
  const post = async (path, body) => {
    asked.push({ path, body });
    if (path === "/api/bands") {
      return {
        bands: body.groups.map(({ label }) => ({
          ...line(body, null, body.metrics[0]),
          group: label,
        })),
      };
    }
    return {
      series: body.runs.flatMap((run) => body.metrics.map((metric) => line(body, run, metric))),
    };
  };
  context = {
    api: { post },
    connection: 0,
    runs: new Map([
      ["a", { version: 1 }],
      ["b", { version: 1 }],
    ]),
  };
});

const wanted = (metric, more = {}) => ({
  metric,
  runs: ["a", "b"],
  groups: null,
  statistic: "mean",
  band: "std",
  axis: "Epoch",
  range: null,
  points: 10,
  ...more,
});

async function fetchAll(lines, ...all) {
  const answers = all.map((each) => lines.fetch(each));
  nextFrame();
  return Promise.all(answers);
}

test("all charts that appear in one frame are fetched with one request", async () => {
  const [one, two] = await fetchAll(new Lines(context), wanted("m1"), wanted("m2"));
  assert.equal(asked.length, 1);
  assert.deepEqual(asked[0].body.metrics, ["m1", "m2"]);
  assert.deepEqual(
    [one, two].flat().map(({ run, metric }) => `${run} ${metric}`),
    ["a m1", "b m1", "a m2", "b m2"],
  );
});

test("what is there already is not fetched again", async () => {
  const lines = new Lines(context);
  assert.equal(lines.kept(wanted("m")), null);
  await fetchAll(lines, wanted("m"));
  assert.equal(lines.kept(wanted("m")).length, 2);
  await fetchAll(lines, wanted("m"));
  assert.equal(asked.length, 1);
});

test("only the runs that changed are fetched again", async () => {
  const lines = new Lines(context);
  await fetchAll(lines, wanted("m"));
  context.runs.set("b", { version: 2 });
  await fetchAll(lines, wanted("m"));
  assert.deepEqual(asked[1].body.runs, ["b"]);
});

test("everything is fetched again after the server was gone", async () => {
  const lines = new Lines(context);
  await fetchAll(lines, wanted("m"));
  context.connection += 1;
  assert.equal(lines.kept(wanted("m")), null);
});

test("another axis or another part of it is another line", async () => {
  const lines = new Lines(context);
  await fetchAll(lines, wanted("m"), wanted("m", { axis: "Step" }), wanted("m", { range: [0, 1] }));
  assert.deepEqual(
    asked.map(({ body }) => [body.x, body.range]),
    [
      ["Epoch", null],
      ["Step", null],
      ["Epoch", [0, 1]],
    ],
  );
});

test("groups are fetched as bands", async () => {
  const groups = [{ label: "g", runs: ["a", "b"] }];
  const [[band]] = await fetchAll(new Lines(context), wanted("m", { groups, statistic: "iqm" }));
  assert.equal(asked[0].path, "/api/bands");
  assert.equal(asked[0].body.statistic, "iqm");
  assert.equal(band.group, "g");
});

test("a run without this metric gives an empty line", async () => {
  context.api.post = async () => ({ series: [] });
  const [lines] = await fetchAll(new Lines(context), wanted("m"));
  assert.deepEqual(
    lines.map(({ run, x }) => [run, x]),
    [
      ["a", []],
      ["b", []],
    ],
  );
});

test("a failed request reaches every chart that waits for it", async () => {
  context.api.post = async () => {
    throw new Error("no");
  };
  const answers = await Promise.allSettled(
    await (async () => {
      const lines = new Lines(context);
      const all = [lines.fetch(wanted("m1")), lines.fetch(wanted("m2"))];
      nextFrame();
      return all;
    })(),
  );
  assert.deepEqual(
    answers.map(({ status }) => status),
    ["rejected", "rejected"],
  );
});
